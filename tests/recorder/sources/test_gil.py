"""How long a thread waits for the GIL, who has it, and what of it is in a step."""

from __future__ import annotations

import asyncio
import contextlib
import random
import statistics
import sys
import threading
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from tests.recorder.programs import CHECKPOINT, Event, steps
from tests.recorder.programs import record as record_steps
from tests.recorder.sources.telling import events, record, stack

from tachograph.recorder.core import core, is_native
from tachograph.recorder.events import EventBuffer
from tachograph.recorder.sources.gil import Gil
from tachograph.recorder.sources.unavailable import Unavailable

native = pytest.mark.skipif(not is_native, reason="seen natively")


@contextlib.contextmanager
def hog() -> Iterator[int]:
    """A thread that computes in Python and never lets go of the GIL by itself; its system id."""
    over = threading.Event()

    def compute() -> None:
        while not over.is_set():
            for _ in range(5_000):
                pass

    thread = threading.Thread(target=compute)
    thread.start()
    assert thread.native_id is not None
    try:
        yield thread.native_id
    finally:
        over.set()
        thread.join()


def ran_and_stood_ns(tid: int) -> tuple[int, int]:
    """Return how long a thread ran, and stood in line for a processor."""
    with Path(f"/proc/self/task/{tid}/schedstat").open() as file:
        ran, stood, _ = map(int, file.read().split())
    return ran, stood


def probes(directory: Path) -> tuple[list[int], list[int]]:
    """Return what the recorder tells, and by how much a thread's own short sleeps are late."""
    late: list[int] = []

    def sleep() -> None:
        until = time.monotonic_ns() + 2_500_000_000
        while (begun := time.monotonic_ns()) < until:
            time.sleep(0.02)
            late.append(time.monotonic_ns() - begun - 20_000_000)

    async def main() -> None:
        await asyncio.to_thread(sleep)

    told = record(directory, main, gil=True)
    found = [e for e in events(told, "tacho:GilWait") if e["kind"] == 1]
    assert all(255 == e["worker_id"] and e["tid"] for e in found)
    assert 8 <= len(found) <= 52
    return [e["duration_ns"] for e in found], late


def test_nobody_waits_for_a_free_gil(tmp_path: Path) -> None:
    """The median is below a third of a millisecond; in Python the clock's lateness comes to it."""
    found, late = probes(tmp_path)

    assert statistics.median(found) < 330_000 + (0 if is_native else statistics.median(late))


@pytest.mark.parametrize("interval_ms", [5, 20])
def test_a_thread_that_computes_keeps_it_for_the_switch_interval(
    interval_ms: int, tmp_path: Path
) -> None:
    """The median is at least the interval, and at most 60 % more than another thread meets.

    The latter is the interval too, where there is a processor for whoever computes.
    """
    before = sys.getswitchinterval()
    sys.setswitchinterval(interval_ms / 1e3)
    try:
        with hog():
            found, late = probes(tmp_path)
    finally:
        sys.setswitchinterval(before)

    median_ms = statistics.median(found) / 1e6
    assert 0.9 * interval_ms <= median_ms
    assert median_ms <= 1.6 * max(interval_ms, statistics.median(late) / 1e6)


def test_it_is_tried_out_now_and_then(waiting: EventBuffer) -> None:
    """Not more often than every 50 ms, however often the drain looks; each try is an event."""
    asked: list[int] = []

    def wait(sleep_ns: int) -> int:
        asked.append(sleep_ns)
        return 7

    gil = Gil(wait)
    for now_ms in (1000, 1010, 1049, 1050, 1200):
        gil.turn(now_ms * 1_000_000)

    assert [1_000_000] * 3 == asked
    assert [7] * 3 == [event.values[2] for event in waiting.take(10)]
    assert {"gil_probes": 3} == gil.counts()


def test_a_loop_is_not_kept_waiting(waiting: EventBuffer) -> None:
    """On its own thread nothing is tried out: it would have to sleep."""
    found: list[int | None] = []

    async def main() -> None:
        await asyncio.sleep(0)
        found.append(core.gil_wait(1_000_000))
        Gil().turn(10**18)

    record_steps(main)

    assert [None] == found
    assert 0 == len(waiting)


def test_without_a_gil_there_is_nothing_to_try(monkeypatch: pytest.MonkeyPatch) -> None:
    """It says so and stays off."""
    monkeypatch.setattr(sys, "_is_gil_enabled", lambda: False, raising=False)

    with pytest.raises(Unavailable, match="without a GIL"):
        Gil().start()


@native
def test_who_holds_it_is_told_with_the_line(tmp_path: Path) -> None:
    """A thread that sorts keeps the loop waiting: told is that line of that thread."""
    numbers = [random.random() for _ in range(400_000)]
    tids: list[int] = []

    def hold() -> None:
        tids.append(threading.get_native_id())
        for _ in range(6):
            sorted(numbers)

    async def main() -> None:
        sorting = asyncio.create_task(asyncio.to_thread(hold))
        while not sorting.done():
            await asyncio.sleep(0.001)

    told = record(tmp_path, main, blocked_profile=True, cpu_sample_hz=250)

    held = events(told, "tacho:GilHolder")
    assert len(held) >= 3
    assert {0} == {e["worker_id"] for e in held}
    # Since when a step waits that the interpreter took the GIL from is not known.
    assert all(e["waited_ns"] >= (0 if e["task_id"] else 1_000_000) for e in held)
    line = hold.__code__.co_firstlineno + 3
    by = [(e["tid"], *stack(told, e)[:1]) for e in held]
    # The drain has it too, for a moment.
    assert by.count((tids[0], f"hold:{line}")) >= 0.75 * len(by), by


def length_ns(step: Event) -> int:
    """Return how long a step was; long ones are in units of 1,024 ns."""
    return step.duration << 10 if step.flags & 1 else step.duration


@native
def test_checkpoints_tell_what_a_step_waited_for_the_gil(tmp_path: Path) -> None:
    """Time − time on a processor − time in line for one, of a long step after a long one.

    The truth lies between what the other thread computed meanwhile, less what this one stood in
    line at the same time, and that with the other's time in line, when it may have had the GIL:
    the estimate too, within 15 %. Where processors are free, both are what the other computed.
    """
    truth: list[int] = []

    async def main() -> None:
        time.sleep(0.002)  # a step that ends with a checkpoint
        await asyncio.sleep(0)
        with hog() as tid:
            before, begun = ran_and_stood_ns(tid), time.thread_time_ns()
            while time.thread_time_ns() - begun < 150_000_000:
                pass
            truth.extend(b - a for a, b in zip(before, ran_and_stood_ns(tid), strict=True))

    found = record_steps(main)

    long = max(steps(found), key=length_ns)
    end = long.t0 + length_ns(long)
    marks = [e for e in found if e.type == CHECKPOINT]
    first, last = min(pairwise(marks), key=lambda pair: abs(pair[1].t0 - end))
    assert abs(last.t0 - end) < 2_048
    in_line = last.waker - first.waker
    waited = (last.t0 - first.t0) - (last.task - first.task) - in_line
    ran, stood = truth
    assert ran > 50_000_000
    assert 0.85 * ran - in_line <= waited <= 1.15 * (ran + stood)
