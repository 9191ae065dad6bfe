"""Tasks that end badly are told once each, and what the program logs stays as it is."""

from __future__ import annotations

import asyncio
import dataclasses
import gc
import logging
import re
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.recorder.reading import segments
from tests.recorder.sources.recordings import record, told
from tests.recorder.test_recording import start

from tachograph.recorder.core import core
from tachograph.recorder.events import EventBuffer
from tachograph.recorder.sources import SourcesConfig
from tachograph.recorder.sources.hygiene import Hygiene
from tachograph.trace.files import read_file
from tachograph.trace.model import Outcome, Step, StepFlag, Trace

ONLY: dict[str, Any] = {"task_hygiene": True}
NONE = dataclasses.asdict(SourcesConfig.none())
MODULE = "tests.recorder.sources.test_hygiene"


def kinds(trace: Trace) -> list[tuple[str, int]]:
    """Return what became of tasks: the kind and the id."""
    return [(event["kind"], event["task_id"]) for event in told(trace, "tacho:TaskHygiene")]


def ids(trace: Trace, name: str) -> list[int]:
    """Return the ids of the tasks made here whose coroutine's name ends so, in their order."""
    places = {n: task.location or "" for n, task in trace.tasks.items() if not task.began_before}
    # Names are the process's: there may be callbacks of another test's by the same one.
    ours = (n for n, place in places.items() if not place.startswith("callback:"))
    return sorted(n for n in ours if places[n].endswith(name))


async def fails() -> None:
    """A coroutine that raises."""
    raise LookupError("never told")


def line_of(function: Any, offset: int) -> str:
    """Return a place in this file as it is told."""
    return f"test_hygiene.py:{function.__code__.co_firstlineno + offset} {MODULE}."


def test_exceptions_of_tasks(tmp_path: Path, run: Callable[..., Any]) -> None:
    """Type and place, never the text; and whether somebody has asked for it [events 7]."""

    async def main() -> None:
        task = asyncio.create_task(fails())
        await asyncio.wait([task])
        assert isinstance(task.exception(), LookupError)
        asyncio.create_task(fails())  # noqa: RUF006 -- nobody will ask
        await asyncio.sleep(0.01)
        with pytest.raises(TimeoutError):
            await asyncio.create_task(times_out())

    async def times_out() -> None:
        async with asyncio.timeout(0):
            await asyncio.sleep(1)

    trace = record(tmp_path, main, run=run, **ONLY)
    asked, unasked, late = told(trace, "tacho:TaskError")

    assert ids(trace, ".fails") == [asked["task_id"], unasked["task_id"]]
    assert ("LookupError", True) == (asked["error_type"], asked["retrieved"])
    assert ("LookupError", False) == (unasked["error_type"], unasked["retrieved"])
    assert asked["location"].endswith(line_of(fails, 2) + "fails")
    # Raised within asyncio: told is the program's own line.
    assert late["location"].endswith("test_exceptions_of_tasks.times_out")
    assert [("exception_never_retrieved", unasked["task_id"])] == kinds(trace)
    assert b"never told" not in b"".join(p.read_bytes() for p in tmp_path.rglob("names"))
    assert not [e for e in trace.events if "never told" in repr(e.values)]


def test_an_exception_of_a_future_that_nobody_asks_for(
    tmp_path: Path, run: Callable[..., Any]
) -> None:
    """It has no task: 0."""

    async def main() -> None:
        asyncio.get_running_loop().create_future().set_exception(KeyError("x"))
        gc.collect()

    assert [("exception_never_retrieved", 0)] == kinds(record(tmp_path, main, run=run, **ONLY))


def test_tasks_that_go_while_they_wait(tmp_path: Path, run: Callable[..., Any]) -> None:
    """Told with their ids, and no longer alive: outcome 3."""

    async def waits() -> None:
        await asyncio.get_running_loop().create_future()

    async def main() -> None:
        asyncio.create_task(waits())  # noqa: RUF006 -- that is the mistake
        await asyncio.sleep(0)
        gc.collect()

    known = core.table_sizes()["tasks_known"]
    trace = record(tmp_path, main, run=run, **ONLY)
    (lost,) = ids(trace, ".waits")

    assert [("destroyed_pending", lost)] == kinds(trace)
    assert 3 == trace.tasks[lost].outcome
    assert core.table_sizes()["tasks_known"] <= known


def test_a_task_that_went_is_not_told_as_living(tmp_path: Path) -> None:
    """Its end is told in one segment, and the next one's head has it no more; others it has."""
    it, home = start(tmp_path, sources=SourcesConfig(**{**NONE, **ONLY}))
    gone: list[int | None] = []

    async def waits() -> None:
        await asyncio.get_running_loop().create_future()

    async def stays() -> None:
        await asyncio.sleep(60)

    async def main() -> None:
        left = asyncio.create_task(stays())
        gone.append(core.task_id(asyncio.create_task(waits())))
        await asyncio.sleep(0)
        gc.collect()
        it.dump()
        await asyncio.sleep(0)
        left.cancel()

    asyncio.run(main())
    it.close()
    first, second = (read_file(path, strict=True) for path in segments(home))
    (number,) = gone

    assert number is not None
    assert 3 == first.tasks[number].outcome
    assert number not in second.tasks
    assert 1 == len([task for task in second.tasks.values() if task.began_before
                     and (task.location or "").endswith(".stays")])  # fmt: skip


def test_an_end_is_told_behind_the_last_step(waiting: EventBuffer) -> None:
    """Not at once: the step may still be in a ring. At the next turn, with the time it was."""
    source = Hygiene()

    async def main() -> asyncio.Task[None]:
        return asyncio.create_task(fails())

    task = asyncio.run(main())
    source.handled({"message": "Task was destroyed but it is pending!", "task": task})
    before = time.monotonic_ns()
    assert 0 == len(waiting)
    source.turn(before)
    (event,) = waiting.take(10)

    assert ("destroyed_pending", 0) == event.values[:2]
    assert event.time_ns <= before


def test_requests_to_cancel_that_are_swallowed(tmp_path: Path, run: Callable[..., Any]) -> None:
    """A task that returns or raises something else though it was asked to be cancelled."""

    async def swallows() -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            return

    async def changes() -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            raise LookupError from None

    async def behaves() -> None:
        await asyncio.sleep(60)

    async def main() -> None:
        tasks = [asyncio.create_task(c()) for c in (swallows, changes, behaves)]
        await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        assert tasks[1].exception() is not None
        with pytest.raises(TimeoutError):  # cancels this task, and takes it back
            async with asyncio.timeout(0.001):
                await asyncio.sleep(60)

    trace = record(tmp_path, main, run=run, **ONLY)

    assert [("cancel_swallowed", *ids(trace, n)) for n in (".swallows", ".changes")] == kinds(trace)
    assert ["LookupError"] == [event["error_type"] for event in told(trace, "tacho:TaskError")]


def test_coroutines_that_nobody_awaits(tmp_path: Path) -> None:
    """Told with the task that forgot it, and where it was made if the interpreter knows."""

    async def forgotten() -> None: ...

    async def main() -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            forgotten()  # type: ignore[unused-coroutine]
            sys.set_coroutine_origin_tracking_depth(1)
            try:
                forgotten()  # type: ignore[unused-coroutine]
            finally:
                sys.set_coroutine_origin_tracking_depth(0)

    trace = record(tmp_path, main, **ONLY)
    first, second = told(trace, "tacho:TaskHygiene")
    (task,) = ids(trace, ".main")
    what = f"{MODULE}.test_coroutines_that_nobody_awaits.forgotten"

    assert [("never_awaited", task)] * 2 == kinds(trace)
    assert what == first["spawn_loc"]
    assert line_of(main, 6).partition(" ")[0] in second["spawn_loc"]
    assert second["spawn_loc"].endswith(f" {what}")


PROGRAM = """
import asyncio, gc, logging, sys, warnings
from pathlib import Path
warnings.simplefilter("always")
logging.basicConfig(format="%(name)s %(levelname)s %(pathname)s %(lineno)s %(message)s")

async def never(): ...
async def fails(): raise ValueError("x")
async def waits(): await asyncio.get_running_loop().create_future()

async def main():
    never()
    asyncio.create_task(fails(), name="a")
    asyncio.create_task(waits(), name="b")
    await asyncio.sleep(0.01)
    gc.collect()
    asyncio.get_running_loop().set_exception_handler(lambda loop, c: print(c["message"]))
    asyncio.create_task(fails(), name="c")
    await asyncio.sleep(0.01)

run = asyncio.run
if sys.argv[1] == "uvloop":
    import uvloop
    run = uvloop.run
if len(sys.argv) > 2:
    from tachograph import recorder
    with recorder.start(recorder.RecorderConfig(directory=Path(sys.argv[2]))):
        run(main())
else:
    run(main())
"""


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_what_is_logged_stays_as_it_is(tmp_path: Path, loop: str) -> None:
    """The same warnings with the same lines, the same messages, with a recorder and without."""
    if loop == "uvloop":
        pytest.importorskip("uvloop")
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    plain, recorded = (
        subprocess.run(
            [sys.executable, str(program), loop, *more], capture_output=True, text=True, timeout=60,
            check=True,
        )
        for more in ((), (str(tmp_path / "traces"),))
    )  # fmt: skip

    assert "was never awaited" in plain.stderr
    assert "program.py:12: RuntimeWarning" in plain.stderr
    assert "Task was destroyed but it is pending" in plain.stderr
    assert plain.stdout == recorded.stdout
    assert lines(plain.stderr) == lines(recorded.stderr)


def lines(text: str) -> list[str]:
    """Return what was logged, but for whether the collector took a task or its coroutine first."""
    return re.sub(r"coro=<waits\(\) [^>]*>", "", text).splitlines()


def test_hooks_are_taken_out(tmp_path: Path) -> None:
    """At the end everything is as before; while they stand they raise nothing."""
    warner = warnings._warn_unawaited_coroutine  # type: ignore[attr-defined]
    handler = asyncio.base_events.BaseEventLoop.call_exception_handler

    async def main() -> None:
        assert asyncio.base_events.BaseEventLoop.call_exception_handler is not handler
        assert warnings._warn_unawaited_coroutine is not warner  # type: ignore[attr-defined]
        loop = asyncio.get_running_loop()
        heard: list[Any] = []
        loop.set_exception_handler(lambda _, context: heard.append(context))
        for odd in ({}, {"message": 5}, {"message": "Task was destroyed but it is pending!"}):
            loop.call_exception_handler(odd)
        assert 3 == len(heard)

    record(tmp_path, main, **ONLY)

    assert warnings._warn_unawaited_coroutine is warner  # type: ignore[attr-defined]
    assert asyncio.base_events.BaseEventLoop.call_exception_handler is handler


def test_what_fails_in_a_hook_is_counted() -> None:
    """A context that makes no sense costs itself."""
    source = Hygiene()
    source.hear(source.handled, {"message": "Task was destroyed but it is pending!"})

    assert 1 == source.counts()["hygiene_failures"]


def test_late_timers_are_steps_of_the_clock(tmp_path: Path) -> None:
    """No event is written for them: a step with flag 8 tells how late it is."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.call_later(0.001, lambda: None)
        time.sleep(0.03)
        await asyncio.sleep(0.01)

    def is_late(step: Step) -> bool:
        return bool(step.flags & StepFlag.TIMER) and (step.delay_ns or 0) > 1_000_000

    trace = record(tmp_path, main, **ONLY)
    late = [step for step in trace.steps if is_late(step)]

    assert [] == told(trace, "tacho:LateTimer")
    assert any((trace.tasks[step.task].location or "").endswith(".main.lambda") for step in late)
    assert max(step.delay_ns or 0 for step in late) >= 25_000_000


def test_many_failures_are_bounded(tmp_path: Path) -> None:
    """What waits to be told has a limit, and what is beyond it is counted."""
    source = Hygiene()
    for number in range(5_000):
        source._task_ended(object(), number, ValueError(), 0)

    assert 5_000 - 4_096 == source.counts()["task_errors_lost"]
    assert len(source._ended) <= 4_096


def test_off_when_it_is_not_wanted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Nothing is told, and the outcome still stands in the step."""

    async def main() -> None:
        with pytest.raises(LookupError):
            await asyncio.create_task(fails())

    with caplog.at_level(logging.ERROR):
        trace = record(tmp_path, main)

    assert Hygiene.wanted(SourcesConfig.none()) is None
    assert [] == told(trace, "tacho:TaskError", "tacho:TaskHygiene")
    assert [Outcome.RAISED] == [trace.tasks[n].outcome for n in ids(trace, ".fails")]
