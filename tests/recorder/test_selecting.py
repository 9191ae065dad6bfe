"""Parks of asyncio's own loops, whenever the recorder starts."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from tests.recorder.programs import PARK, Event, hooks, record, steps, take, what

from tachograph.recorder import outliving
from tachograph.recorder.core import core


@contextmanager
def recording() -> Iterator[None]:
    """Record from now on; take the hooks out in the end."""
    take()
    hooks.install()
    outliving.enable(True)
    try:
        yield
    finally:
        outliving.enable(False)
        hooks.uninstall()


def sleeps(events: list[Event], at_least_ns: int) -> list[Event]:
    """Return the parks of at least a length."""
    return [event for event in events if event.type == PARK and event.duration >= at_least_ns]


def loops() -> list[Any]:
    """Return one factory of each kind of loop that is recorded here."""
    found: list[Any] = [pytest.param(asyncio.new_event_loop, id="asyncio")]
    if core.__name__.endswith("_loop"):
        import uvloop

        found.append(pytest.param(uvloop.new_event_loop, id="uvloop"))
    return found


async def nap() -> None:
    """Sleep for a hundredth of a second."""
    await asyncio.sleep(0.01)


@pytest.mark.parametrize("factory", loops())
def test_a_sleep_is_a_park(factory: Any) -> None:
    """As long as the loop had nothing to do: no step of the lane overlaps it."""

    def run(coroutine: Any) -> None:
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(coroutine)

    events = record(nap, run=run)

    (park,) = sleeps(events, 8_000_000)
    assert park.duration < 10**9
    end = park.t0 + park.duration
    assert not [s for s in steps(events) if s.t0 < end and s.t0 + s.duration > park.t0]


@pytest.mark.parametrize("factory", loops())
def test_a_recorder_may_start_within_a_running_loop(factory: Any) -> None:
    """The loop's waits are parks from its next turn on, as of a loop that began later."""

    async def main() -> None:
        await nap()
        with recording():
            await asyncio.sleep(0)
            await nap()
            await nap()

    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(main())
        events = take()
        # The loop is itself again: it runs, and closes, and nothing more is recorded.
        runner.run(nap())

    assert len(sleeps(events, 2_000_000)) == 2
    assert "main" in [what(events, step.task) for step in steps(events)]
    assert take() == []


@pytest.mark.parametrize("factory", loops())
def test_a_recorder_may_start_while_another_thread_runs_a_loop(factory: Any) -> None:
    """That loop's own thread has its waits recorded, once it has run a step."""
    turns, done = threading.Semaphore(0), threading.Event()
    failed: list[BaseException] = []

    async def main() -> None:
        while not done.is_set():
            turns.release()
            await nap()

    def run() -> None:
        try:
            with asyncio.Runner(loop_factory=factory) as runner:
                runner.run(main())
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    assert turns.acquire(timeout=10)
    with recording():
        for _ in range(6):
            assert turns.acquire(timeout=10)
    # The hooks went while it ran; it goes on, ends and closes as if they had never been there.
    assert turns.acquire(timeout=10)
    done.set()
    thread.join(10)
    events = take()

    assert not thread.is_alive()
    assert failed == []
    assert len(sleeps(events, 8_000_000)) >= 3
    assert "main" in [what(events, step.task) for step in steps(events)]


def test_a_selectors_own_method_comes_back() -> None:
    """After the loop's run, and where the hooks go while it runs."""

    async def main() -> None:
        selector = asyncio.get_running_loop()._selector  # type: ignore[attr-defined]
        with recording():
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            seen.append("select" in vars(selector))
        seen.append("select" in vars(selector))

    seen: list[bool] = []
    asyncio.run(main())

    assert seen == [True, False]


def test_somebody_elses_select_is_left_alone() -> None:
    """A selector with a method of its own keeps it; the loop runs without parks."""
    calls: list[Any] = []

    async def main() -> None:
        selector = asyncio.get_running_loop()._selector  # type: ignore[attr-defined]
        stock = selector.select

        def select(timeout: float | None = None) -> Any:
            calls.append(timeout)
            return stock(timeout)

        selector.select = select
        with recording():
            await nap()
        assert vars(selector)["select"] is select

    asyncio.run(main())

    assert calls
    assert sleeps(take(), 0) == []


def test_loops_that_take_turns_are_met_once() -> None:
    """Two loops on one thread: each one's waits are recorded, whichever ran before."""

    def both(coroutine: Any) -> None:
        coroutine.close()
        first, second = asyncio.new_event_loop(), asyncio.new_event_loop()
        for _ in range(2):
            first.run_until_complete(nap())
            second.run_until_complete(nap())
        first.close()
        second.close()

    started = time.monotonic_ns()
    events = record(nap, run=both)

    found = sleeps(events, 8_000_000)
    assert len(found) == 4
    assert all(park.t0 >= started for park in found)
