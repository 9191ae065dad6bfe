"""Collections and the GIL, timed."""

from __future__ import annotations

import threading
import time
from collections import deque

from tachograph._core.loop_pure.lane import here, lane_if_any, now_ns

_MOST = 1_024
_SHORT_NS = 100_000
_NO_LANE = 255


class _Pauses:
    """What the module knows."""

    def __init__(self) -> None:
        self.began = 0
        self.dropped = 0
        self.waiting: deque[tuple[int, ...]] = deque()


_pauses = _Pauses()


def collected(phase: str, info: dict[str, int]) -> None:
    """Note a collection; for `gc.callbacks`."""
    now = now_ns()
    if phase == "start":
        _pauses.began = now
        return
    began, _pauses.began = _pauses.began, 0
    duration, generation = now - began, info.get("generation", 0)
    if not began or (generation == 0 and duration < _SHORT_NS):
        return
    if len(_pauses.waiting) >= _MOST:
        _pauses.dropped += 1
        return
    lane = lane_if_any()
    number, tid, task = (
        (_NO_LANE, threading.get_native_id(), 0)
        if lane is None
        else (lane.number, lane.tid, lane.open[0])
    )
    counts = info.get("collected", 0), info.get("uncollectable", 0)
    _pauses.waiting.append((now, number, tid, task, duration, generation, *counts))


def pauses() -> list[tuple[int, ...]]:
    """Return the collections that were noted."""
    waiting = _pauses.waiting
    return [waiting.popleft() for _ in range(len(waiting))]


def pauses_dropped() -> int:
    """Return how many were not."""
    return _pauses.dropped


def gil_wait(sleep_ns: int) -> int | None:
    """Sleep; return how much too long it took, None on the thread of a loop.

    What the system's clock is late is part of it: some 0.1 ms.
    """
    if getattr(here, "lane", None) is not None:
        return None
    begun = time.monotonic_ns()
    time.sleep(sleep_ns / 1e9)
    return max(0, time.monotonic_ns() - begun - sleep_ns)
