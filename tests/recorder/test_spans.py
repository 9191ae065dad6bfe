"""Spans: parents by context, outcomes, and nothing that reaches the program."""

from __future__ import annotations

import asyncio
import contextvars
from pathlib import Path
from typing import Any

import pytest
from tests.recorder.test_recording import start

from tachograph.recorder import Span, span
from tachograph.recorder.events import EventBuffer
from tachograph.recorder.spans import SPAN, running_task_id
from tachograph.testing import FakeClock


def take(waiting: EventBuffer) -> dict[str, dict[str, Any]]:
    """Take the spans that wait, by name."""
    fields = [name for name, *_ in SPAN.fields]
    found = [dict(zip(fields, each.values, strict=True)) for each in waiting.take(10**6)]
    return {each["span_name"]: each for each in found}


def test_a_span_is_told_at_its_end(waiting: EventBuffer) -> None:
    """With its duration, its fields as texts, and when it ended."""
    with FakeClock() as time:
        with span("load", key="k", shard=3) as it:
            time.advance(0.5)
            it.fields["rows"] = 7
        (event,) = waiting.take(9)

    assert 1_500_000_000 == event.time_ns
    assert (500_000_000, "Ok") == event.values[4:6]
    assert {"key": "k", "shard": "3", "rows": "7"} == event.values[6]


def test_a_field_may_be_called_name(waiting: EventBuffer) -> None:
    """The span's own name is given by place."""
    with span("load", name="n"):
        pass

    assert {"name": "n"} == take(waiting)["load"]["fields"]


def test_a_span_within_another_has_it_as_its_parent(waiting: EventBuffer) -> None:
    """The innermost open one of the context; none at the top."""
    with span("a"):
        with span("b"), span("c"):
            pass
        with span("d"):
            pass
    found = take(waiting)
    numbers = {name: each["span_id"] for name, each in found.items()}

    assert 4 == len(set(numbers.values()))
    parents = {name: each["parent_span_id"] for name, each in found.items()}
    a, b = numbers["a"], numbers["b"]
    assert {"a": None, "b": a, "c": b, "d": a} == parents


def test_tasks_that_begin_within_have_it_as_their_parent(waiting: EventBuffer) -> None:
    """Also when they outlive it; siblings do not see each other's."""

    async def child(name: str) -> None:
        async with span(name):
            await asyncio.sleep(0)
            await asyncio.sleep(0)

    async def main() -> None:
        async with span("outer"):
            tasks = [asyncio.create_task(child(name)) for name in ("x", "y")]
            await asyncio.sleep(0)
        await asyncio.gather(*tasks)
        async with span("after"):
            pass

    asyncio.run(main())
    found = take(waiting)

    outer = found["outer"]["span_id"]
    assert [outer, outer] == [found[name]["parent_span_id"] for name in ("x", "y")]
    assert found["after"]["parent_span_id"] is None


def test_an_exception_is_the_outcome_and_goes_on(waiting: EventBuffer) -> None:
    """A span swallows nothing."""
    with pytest.raises(KeyError), span("fails"):
        raise KeyError

    async def cancelled() -> None:
        async with span("waits"):
            await asyncio.sleep(60)

    async def main() -> None:
        task = asyncio.create_task(cancelled())
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(main())
    found = take(waiting)

    assert ["KeyError", "CancelledError"] == [found[n]["outcome"] for n in ("fails", "waits")]


class Mute:
    def __str__(self) -> str:
        raise RuntimeError

    __repr__ = __str__


def test_a_field_that_refuses_to_be_a_text_raises_nothing(waiting: EventBuffer) -> None:
    """The program's own code in a value never breaks the program (recorder.md row 27)."""
    with span("load", mute=Mute(), fine=1):
        pass
    fields = take(waiting)["load"]["fields"]

    assert "1" == fields["fine"]
    assert "Mute" in fields["mute"]


def test_nothing_is_told_while_it_is_off(waiting: EventBuffer) -> None:
    """A span that began before the start has no end that could be told (recorder.md row 19)."""
    waiting.is_open = False
    with span("before"):
        waiting.is_open = True
    with span("stopped"):
        waiting.is_open = False
    waiting.is_open = True

    assert {} == take(waiting)
    with span("top"):
        pass
    assert take(waiting)["top"]["parent_span_id"] is None


def test_a_span_can_be_used_again(waiting: EventBuffer) -> None:
    """Each time it is another one."""
    it = span("twice")
    numbers = []
    for _ in range(2):
        with it:
            pass
        numbers.append(take(waiting)["twice"]["span_id"])

    assert 2 == len(set(numbers))


def test_ending_in_another_context_raises_nothing(waiting: EventBuffer) -> None:
    """As asynchronous generators do it: the span is told all the same."""
    it = span("crosses")
    contextvars.copy_context().run(it.__enter__)
    it.__exit__(None, None, None)
    it.__exit__(None, None, None)

    assert ["crosses"] == list(take(waiting))


def test_no_task_no_id(waiting: EventBuffer) -> None:
    """Outside a loop, and of a task that nobody recorded, the id is left out."""

    async def main() -> None:
        with span("inside"):
            pass

    with span("outside"):
        pass
    asyncio.run(main())
    found = take(waiting)

    assert [None, None] == [found[name]["task_id"] for name in ("outside", "inside")]


def test_the_task_that_runs(tmp_path: Path) -> None:
    """In its steps, whatever ran in between; in a callback, a thread or debug mode's steps too.

    A callback and a thread are no task, though the recorder knows each by a number.
    """
    found: dict[str, int | None] = {}

    def note(name: str) -> None:
        found[name] = running_task_id()

    async def child() -> None:
        note("child")
        await asyncio.sleep(0)
        note("child again")

    async def main(name: str) -> None:
        note(name)
        task = asyncio.create_task(child())
        asyncio.get_running_loop().call_soon(note, "callback")
        await asyncio.to_thread(note, "thread")
        await task
        note(f"{name} again")

    it, _ = start(tmp_path)
    asyncio.run(main("main"))
    asyncio.run(main("debugged"), debug=True)
    it.close()

    assert found["callback"] is found["thread"] is None
    assert None not in (found["main"], found["child"])
    assert found["main"] != found["child"]
    assert (found["main"], found["child"]) == (found["main again"], found["child again"])
    assert found["debugged"] == found["debugged again"]


def test_is_a_span() -> None:
    """The type has a public name, for annotations."""
    assert isinstance(span("x"), Span)
