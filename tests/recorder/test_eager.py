"""Tasks that begin at once, on each kind of loop: steps within the step that makes them."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from typing import Any

import pytest
from tests.recorder.programs import (
    CALLBACK,
    CONTINUED,
    EAGER,
    RAISED,
    RETURNED,
    SPAWN,
    Clock,
    record,
    steps,
    what,
)

from tachograph.recorder.core import core

if sys.version_info < (3, 12):
    pytest.skip("eager tasks are new in Python 3.12", allow_module_level=True)


def begin_at_once() -> asyncio.AbstractEventLoop:
    """Let the running loop's tasks be eager; return the loop."""
    loop = asyncio.get_running_loop()
    loop.set_task_factory(asyncio.eager_task_factory)
    return loop


@pytest.fixture
def run(run: Callable[..., Any]) -> Callable[..., Any]:
    """What runs a program, on each kind of loop that eager tasks can be made on."""

    async def can() -> bool:
        began: list[bool] = []

        async def begin() -> None:
            began.append(True)

        loop, coroutine = begin_at_once(), begin()
        try:
            task = loop.create_task(coroutine)
        except TypeError:
            coroutine.close()
            return False
        finally:
            loop.set_task_factory(None)
        at_once = bool(began)
        await task
        return at_once

    if not run(can()):
        pytest.skip("on this uvloop and Python no task of the factory's begins at once")
    return run


def test_eager_tasks_are_steps_within_their_creators(run: Callable[..., Any]) -> None:
    """A task that runs at once has a spawn and a step; its creator's step is cut around it."""

    async def quick(clock: Clock) -> None:
        clock.advance(10)

    async def slow(clock: Clock) -> None:
        clock.advance(100)
        await asyncio.sleep(0)
        clock.advance(200)

    async def main(clock: Clock) -> None:
        begin_at_once()
        clock.advance(1)
        await asyncio.create_task(quick(clock))
        clock.advance(2)
        task = asyncio.create_task(slow(clock))
        clock.advance(3)
        await task

    events = record(main, Clock(), run=run)

    found = [
        (what(events, s.task), s.duration, bool(s.flags & EAGER), bool(s.flags & CONTINUED))
        for s in steps(events)
        if not s.flags & CALLBACK
    ]
    assert found[:7] == [
        ("main", 1, False, False),
        ("quick", 10, True, False),
        ("main", 2, False, True),
        ("slow", 100, True, False),
        ("main", 3, False, True),
        ("slow", 200, False, False),
        ("main", 0, False, False),
    ]
    spawns = [what(events, e.task) for e in events if e.type == SPAWN and e.flags & EAGER]
    assert spawns[:2] == ["quick", "slow"]


def test_a_hundred_eager_tasks_are_a_hundred_spawns_and_steps(run: Callable[..., Any]) -> None:
    """Tasks that finish at once are all there, and none is kept."""

    async def quick() -> None:
        pass

    async def main() -> None:
        loop = begin_at_once()
        for _ in range(100):
            loop.create_task(quick())

    known = core.table_sizes()["tasks_known"]
    events = record(main, run=run)

    quick_steps = [s for s in steps(events) if what(events, s.task) == "quick"]
    assert len(quick_steps) == 100
    assert all(s.outcome == RETURNED and s.flags & EAGER for s in quick_steps)
    assert core.table_sizes()["tasks_known"] == known


def test_who_begins_and_who_wakes_is_told(run: Callable[..., Any]) -> None:
    """An eager task is its creator's, what it wakes is its own; its next steps have its id."""

    async def waits(future: asyncio.Future[None]) -> None:
        await future

    async def wakes(future: asyncio.Future[None]) -> None:
        future.set_result(None)
        await asyncio.sleep(0)
        raise LookupError

    async def main() -> None:
        loop = begin_at_once()
        future = loop.create_future()
        tasks = loop.create_task(waits(future)), loop.create_task(wakes(future), name="known")
        assert tasks[1].get_name() == "known"
        await asyncio.gather(*tasks, return_exceptions=True)

    events = record(main, run=run)

    ids = {what(events, e.task): e.task for e in events if e.type == SPAWN and e.flags & EAGER}
    of = {name: [s for s in steps(events) if s.task == number] for name, number in ids.items()}
    (main_id,) = {s.task for s in steps(events) if what(events, s.task) == "main"}
    assert [s.waker for s in of["waits"]] == [main_id, ids["wakes"]]
    assert [s.waker for s in of["wakes"]] == [main_id, ids["wakes"]]
    assert [s.outcome for s in of["waits"]] == [0, RETURNED]
    assert [s.outcome for s in of["wakes"]] == [0, RAISED]


def test_a_factory_that_fails_fails_as_ever(run: Callable[..., Any]) -> None:
    """Its error comes out, nothing is told of the task, and the next ones are recorded."""

    async def quick() -> None:
        pass

    def refuses(*_: Any, **__: Any) -> Any:
        raise LookupError("no tasks today")

    async def main() -> None:
        loop = begin_at_once()
        loop.set_task_factory(refuses)
        refused = quick()
        with pytest.raises(LookupError, match="no tasks today"):
            loop.create_task(refused)
        refused.close()
        begin_at_once()
        loop.create_task(quick())

    events = record(main, run=run)

    assert len([s for s in steps(events) if what(events, s.task) == "quick"]) == 1
