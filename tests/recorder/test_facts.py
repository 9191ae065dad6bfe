"""The self-test: what asyncio is made of here, and what happens where that is not found."""

from __future__ import annotations

import asyncio
from asyncio import base_events, events, tasks
from typing import Any

import pytest

from tachograph.recorder import facts
from tachograph.recorder.core import is_native
from tachograph.recorder.facts import find_facts, report


def nothing(*name: object) -> None:
    """Keep no name."""


def test_everything_is_found_here() -> None:
    """On this interpreter no part is missing; without the native core that alone is told."""
    found = find_facts(nothing, ())

    assert set(found.problems) == (set() if is_native else {"native core"})
    assert found.values["handle"] is events.Handle
    assert found.values["base_loop"] is base_events.BaseEventLoop
    assert found.values["step_wrapper"].__name__ == "TaskStepMethWrapper"


@pytest.mark.skipif(not is_native, reason="places in memory are the native core's")
def test_places_are_where_the_fields_lie() -> None:
    """Each place was found in one object; another one has its field there too."""
    found = find_facts(nothing, ())

    async def empty() -> None:
        pass

    async def main() -> None:
        coroutine = empty()
        task = asyncio.ensure_future(coroutine)
        assert facts._places(task, coroutine) == [found.values["offset_task_coro"]]
        await task

    asyncio.run(main())


def test_it_runs_within_a_loop_too() -> None:
    """A recorder that is started by a running program finds the same, and disturbs no task."""

    async def main() -> Any:
        before = asyncio.current_task()
        found = find_facts(nothing, ())
        assert asyncio.current_task() is before
        return found

    assert "steps" not in asyncio.run(main()).problems


def test_an_unknown_asyncio_costs_the_hooks_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is not as expected is told as a problem; nothing is raised, nothing is hooked."""
    monkeypatch.setattr(facts, "_HANDLE_FIELDS", {"offset_callback": "_no_such_field"})
    found = find_facts(nothing, ())

    assert found.values == {}
    assert "asyncio is not as expected here" in found.problems["steps"]


@pytest.mark.skipif(not is_native, reason="places in memory are the native core's")
def test_a_state_that_is_not_found_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a future's state lies elsewhere the outcome is asked of the task instead."""
    monkeypatch.setattr(facts, "_places", lambda owner, wanted: [])
    loop = facts._Probe()
    found = facts.Facts()
    facts._find_outcome(found, loop)

    assert "outcomes" in found.problems
    assert "offset_future_state" not in found.values


def test_tasks_of_python_are_known() -> None:
    """The step and the wake-up of asyncio's task class in Python are among the facts."""
    found = find_facts(nothing, ())
    python_task: Any = tasks._PyTask  # type: ignore[attr-defined]

    assert found.values["py_step"] is python_task._Task__step
    assert found.values["py_wakeup"] is python_task._Task__wakeup


def test_an_error_is_told_as_a_handle_tells_it() -> None:
    """The exception handler gets the message, the exception and the handle, as from asyncio."""
    told: list[dict[str, Any]] = []
    loop = asyncio.new_event_loop()
    loop.set_exception_handler(lambda _, context: told.append(context))

    def fails() -> None:
        raise ValueError("on purpose")

    handle = events.Handle(fails, (), loop)
    handle._run()
    error = ValueError("on purpose")
    report(handle, error)
    loop.close()

    assert [context["message"] for context in told] == [told[0]["message"]] * 2
    assert told[1]["exception"] is error
    assert told[1]["handle"] is handle
