"""Steps, spawns and wakes of scripted programs, against what must come out."""

from __future__ import annotations

import asyncio
import functools
import threading
from typing import Any

import pytest
from tests.recorder import programs
from tests.recorder.programs import (
    BY_CALLBACK,
    BY_IO,
    BY_THREAD,
    BY_TIMER,
    CALLBACK,
    CANCELLED,
    CONTINUED,
    NUMBER,
    RAISED,
    RETURNED,
    SPAWN,
    TIMER,
    Clock,
    Event,
    record,
    steps,
    what,
)

from tachograph.recorder.core import core

OUTCOMES = {0: "", RETURNED: "returned", RAISED: "raised", CANCELLED: "cancelled"}


def told(events: list[Event], *, callbacks: bool = False) -> list[str]:
    """Return each step as `name duration delay outcome`, as long as the main task lives."""
    found = []
    for step in steps(events):
        name = what(events, step.task)
        if step.flags & CALLBACK and not callbacks:
            continue
        parts = [name, str(step.duration), str(step.delay), OUTCOMES[step.outcome]]
        found.append(" ".join(part for part in parts if part))
        if name == "main" and step.outcome:
            break
    return found


def waker(events: list[Event], step: Event) -> str:
    """Return who woke the task of a step."""
    kind, number = step.waker & ~NUMBER, step.waker & NUMBER
    if kind in (0, BY_CALLBACK):
        return what(events, number) if number else "nobody"
    return {BY_IO: "io", BY_TIMER: "timer", BY_THREAD: "thread"}[kind]


def test_records_each_step_with_its_duration_and_delay() -> None:
    """A step lasts from its start to its end; its delay is the time since it was made ready."""

    async def child(clock: Clock, ns: int) -> None:
        clock.advance(ns)
        await asyncio.sleep(0)
        clock.advance(2 * ns)

    async def main(clock: Clock) -> None:
        first = asyncio.create_task(child(clock, 10))
        second = asyncio.create_task(child(clock, 100))
        clock.advance(5)
        await first
        await second

    events = record(main, Clock())

    assert told(events) == [
        "main 5 0",
        "child 10 5",
        "child 100 15",
        "child 20 100 returned",
        "child 200 20 returned",
        "main 0 200 returned",
    ]


def test_says_who_made_a_task_and_where() -> None:
    """A spawn names the parent task, the nearest line outside asyncio, and the coroutine."""

    async def grandchild() -> None:
        pass

    async def child() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(grandchild())

    async def main() -> None:
        await asyncio.gather(child())

    events = record(main)

    spawns = {what(events, e.task): e for e in events if e.type == SPAWN}
    assert spawns["child"].waker == spawns["main"].task
    assert spawns["grandchild"].waker == spawns["child"].task
    assert "tests/recorder/test_steps.py:" in programs.place(spawns["grandchild"])
    assert programs.place(spawns["grandchild"]).endswith(
        "test_says_who_made_a_task_and_where.grandchild"
    )


def test_says_how_a_task_ended() -> None:
    """The last step of a task says whether it returned, raised or was cancelled."""

    async def raises() -> None:
        raise ValueError

    async def waits() -> None:
        await asyncio.sleep(60)

    async def returns() -> int:
        return 1

    async def main() -> None:
        tasks = [asyncio.create_task(each()) for each in (raises, waits, returns)]
        await asyncio.sleep(0)
        tasks[1].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    events = record(main)

    ends = {what(events, s.task): OUTCOMES[s.outcome] for s in steps(events) if s.outcome}
    assert ends["raises"] == "raised"
    assert ends["waits"] == "cancelled"
    assert ends["returns"] == "returned"
    assert ends["main"] == "returned"


def test_says_who_woke_a_task() -> None:
    """A wake names the task or callback that caused it, the timer, the selector or the thread."""

    async def getter(queue: asyncio.Queue[int]) -> None:
        await queue.get()

    async def main() -> None:
        queue: asyncio.Queue[int] = asyncio.Queue()
        task = asyncio.create_task(getter(queue))
        await asyncio.sleep(0)
        queue.put_nowait(1)
        await task
        await asyncio.sleep(0.000_1)
        loop, event = asyncio.get_running_loop(), asyncio.Event()
        thread = threading.Thread(target=loop.call_soon_threadsafe, args=(event.set,))
        thread.start()
        await event.wait()
        thread.join()

    events = record(main)

    found = [(what(events, s.task), waker(events, s)) for s in steps(events)]
    assert ("getter", "main") in found
    assert ("main", "getter") in found
    assert ("_set_result_unless_cancelled", "timer") in found
    assert ("main", "_set_result_unless_cancelled") in found
    assert ("set", "thread") in found
    assert ("_read_from_self", "io") in found
    assert ("main", "set") in found


def test_a_timer_says_how_late_it_was() -> None:
    """The delay of a timer's step is the time since it was due."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        done = loop.create_future()
        loop.call_later(0.001, done.set_result, None)
        await done

    (step,) = [s for s in steps(record(main)) if s.flags & TIMER]

    assert 0 < step.delay < 10**9


def test_locks_events_and_timeouts_are_wakes_like_any() -> None:
    """What a lock, an event or a time-out sets free is woken by whoever did it."""

    async def holder(lock: asyncio.Lock, event: asyncio.Event) -> None:
        async with lock:
            await event.wait()

    async def contender(lock: asyncio.Lock) -> None:
        async with lock:
            pass

    async def main() -> None:
        lock, event = asyncio.Lock(), asyncio.Event()
        first = asyncio.create_task(holder(lock, event))
        second = asyncio.create_task(contender(lock))
        await asyncio.sleep(0)
        event.set()
        await asyncio.gather(first, second)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):  # one that is over at once sets no timer
                await asyncio.sleep(60)

    events = record(main)

    found = [(what(events, s.task), waker(events, s)) for s in steps(events)]
    assert ("holder", "main") in found
    assert ("contender", "holder") in found
    assert ("_on_timeout", "timer") in found
    assert ("main", "_on_timeout") in found


def test_a_loop_within_a_step_cuts_it() -> None:
    """No two steps are open on a lane: the outer one is cut, its parts sum to its own time."""

    def inner_loop(clock: Clock) -> None:
        async def inner() -> None:
            clock.advance(1_000)

        running, current = asyncio.get_running_loop(), asyncio.current_task()
        assert current is not None
        asyncio.tasks._leave_task(running, current)
        asyncio._set_running_loop(None)
        loop = asyncio.new_event_loop()
        try:
            loop.run_until_complete(inner())
        finally:
            loop.close()
            asyncio._set_running_loop(running)
            asyncio.tasks._enter_task(running, current)

    async def main(clock: Clock) -> None:
        clock.advance(1)
        inner_loop(clock)
        clock.advance(2)

    events = record(main, Clock())

    mains = [s for s in steps(events) if what(events, s.task) == "main"]
    (inner,) = [s for s in steps(events) if what(events, s.task) == "inner"]
    assert inner.duration == 1_000
    assert sum(s.duration for s in mains) == 3
    assert [bool(s.flags & CONTINUED) for s in mains] == [False] + [True] * (len(mains) - 1)
    assert [s.outcome for s in mains if s.outcome] == [RETURNED]


def test_a_task_written_in_python_is_a_task() -> None:
    """Tasks of a class in Python, and subclasses of the native one, have ids and ends."""

    class Own(asyncio.Task[Any]):
        pass

    async def work() -> None:
        await asyncio.sleep(0)

    async def main() -> None:
        loop = asyncio.get_running_loop()
        await Own(work(), loop=loop)
        await asyncio.tasks._PyTask(work(), loop=loop)  # type: ignore[attr-defined]

    events = record(main)

    ends = [what(events, s.task) for s in steps(events) if s.outcome == RETURNED]
    assert ends.count("work") == 2
    assert len([e for e in events if e.type == SPAWN and what(events, e.task) == "work"]) == 2


def test_a_task_from_before_the_recorder_is_taken_up() -> None:
    """A loop that ran before is recorded from the next step on; its tasks get ids then."""

    async def main() -> None:
        core.enable(False)
        task = asyncio.create_task(asyncio.sleep(0.001))
        await asyncio.sleep(0)
        core.enable(True)
        await task

    events = record(main)

    adopted = [e for e in events if e.type == SPAWN and e.flags & CONTINUED]
    assert "sleep" in [what(events, e.task) for e in adopted]
    assert all(programs.place(e).startswith("unknown") for e in adopted)


def test_callbacks_have_the_names_of_what_they_call() -> None:
    """Plain callbacks are told by module and name, through partials and methods."""

    class Thing:
        def method(self) -> None:
            pass

    def function() -> None:
        pass

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.call_soon(function)
        loop.call_soon(functools.partial(function))
        loop.call_soon(Thing().method)
        heard: list[int] = []
        loop.call_soon(heard.append, 1)
        await asyncio.sleep(0)

    events = record(main)

    found = [what(events, s.task) for s in steps(events) if s.flags & CALLBACK]
    assert found[:4] == ["function", "function", "method", "append"]
    assert len({s.task for s in steps(events) if what(events, s.task) == "function"}) == 1


def test_several_loops_have_a_lane_each() -> None:
    """Loops in several threads are recorded apart; a lane ends with its thread."""

    async def work() -> None:
        await asyncio.sleep(0)

    async def main() -> None:
        threads = [threading.Thread(target=asyncio.run, args=(work(),)) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            await asyncio.to_thread(thread.join)

    events = record(main)

    assert len([s for s in steps(events) if what(events, s.task) == "work"]) == 6
    ended = [lane for lane in core.lanes() if lane.ended]
    assert ended
    for lane in ended:
        lane.close()
    assert not [lane for lane in core.lanes() if lane.ended]
