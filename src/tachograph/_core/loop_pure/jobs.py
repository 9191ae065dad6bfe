"""What loops give to threads: jobs, each a step on the lane of the thread that runs it."""

from __future__ import annotations

import functools
import threading
from collections import deque
from typing import Any

from tachograph._core.loop_pure.lane import (
    CHECKPOINT_NS,
    LONG_DURATION,
    PARK,
    RAISED,
    RETURNED,
    SPAWN,
    Lane,
    here,
    lane_for_jobs,
    lane_if_any,
    now_ns,
    span,
    state,
)
from tachograph._core.loop_pure.tasks import job_name, new_id

__all__ = [
    "Pool",
    "job",
    "job_counts",
    "job_hook",
    "jobs",
    "jobs_forget",
    "spawn_job",
    "take_jobs",
]

_MOST_LOOSE = 4_096
_RETURNED, _RAISED, _CANCELLED = range(3)


class Pool:
    """An executor: how many of its jobs wait and run."""

    def __init__(self, name: str, limit: int) -> None:
        self.name, self.limit = name, limit
        self.waiting = self.running = 0


class _Own:
    submit: Any = None
    opaque: Any = None
    pools: dict[int, Any] = {}  # noqa: RUF012 -- there is one
    make_pool: Any = None
    on = False
    loose: deque[tuple[Any, ...]] = deque()  # noqa: RUF012
    counts: dict[str, int]

    def begin(self) -> None:
        names = ("recorded", "without_lane", "cancelled", "lost")
        self.counts = {f"jobs_{name}": 0 for name in names}
        self.loose.clear()
        # Pools are counted by several threads, and `+=` is no single step here. A job may be
        # collected while its thread counts.
        self.lock = threading.RLock()


_own = _Own()
_own.begin()


def _count(pool: Pool, waiting: int, running: int) -> None:
    with _own.lock:
        pool.waiting += waiting
        pool.running += running


class Job:
    """Calls what a thread is to call and records the job; adds a frame to its tracebacks."""

    def __init__(self, lane: Lane, function: Any, first: Any, pool: Pool) -> None:
        self._function, self._pool, self._begun = function, pool, False
        self._id, self._submitted_ns, self._waker = new_id(), now_ns(), lane.waker
        self._name = job_name(function, first)
        _count(pool, 1, 0)
        lane.push(self._submitted_ns, self._id, lane.waker, 0, 0, self._name, SPAWN, 0, 0)

    def __call__(self, *args: Any, **named: Any) -> Any:
        if self._begun:
            return self._function(*args, **named)
        self._begun = True
        _count(self._pool, -1, 1)
        recording = state.enabled and _own.on
        lane = lane_for_jobs() if recording else None
        t0, outcome = now_ns(), RAISED
        before = None if lane is None else self._begin(lane, t0)
        try:
            found = self._function(*args, **named)
            outcome = RETURNED
            return found
        finally:
            now = now_ns()
            _count(self._pool, 0, -1)
            is_here = bool(getattr(here, "lane", None) is lane)
            if lane is not None and before is not None and is_here:
                self._end(lane, before, now, outcome)
            elif recording and lane is None and state.enabled:
                how = _RETURNED if outcome == RETURNED else _RAISED
                self._loose(now, now - t0, how, threading.get_native_id())
                _own.counts["jobs_without_lane"] += 1

    def _begin(self, lane: Lane, t0: int) -> tuple[tuple[int, ...], int]:
        if lane.is_for_jobs and not lane.open[0]:
            idle = lane.idle_ns if 0 < lane.idle_ns < t0 else t0
            duration, flags = span(t0 - idle, LONG_DURATION)
            lane.push(idle, 0, 0, duration, 0, 0, PARK, flags, 0)
        if lane.open[0]:
            lane.put_open(t0, 0)
        before = lane.open, lane.waker
        queue = min(self._pool.waiting, 65_535)
        delay = max(0, t0 - self._submitted_ns)
        lane.open = (self._id, t0, self._waker, delay, queue, 0)
        lane.waker = self._id
        return before

    def _end(self, lane: Lane, before: tuple[tuple[int, ...], int], now: int, outcome: int) -> None:
        outer, waker = before
        lane.put_open(now, outcome)
        if now - lane.open[1] > CHECKPOINT_NS:
            lane.checkpoint(now)
        lane.go_on(outer, waker if outer[0] else lane.waker, now)
        lane.idle_ns = now
        _own.counts["jobs_recorded"] += 1

    def _loose(self, ended_ns: int, run_ns: int, outcome: int, tid: int) -> None:
        if len(_own.loose) >= _MOST_LOOSE:
            _own.counts["jobs_lost"] += 1
            return
        queue_ns = max(0, ended_ns - run_ns - self._submitted_ns)
        name = self._pool.name
        row = (self._id, tid, name, self._name, queue_ns, run_ns, ended_ns, outcome)
        _own.loose.append(row)

    def __del__(self) -> None:
        if not self._begun:
            _count(self._pool, -1, 0)
            if state.enabled and _own.on:
                self._loose(now_ns(), 0, _CANCELLED, 0)
                _own.counts["jobs_cancelled"] += 1
            return
        lane = getattr(here, "lane", None)
        if lane is not None and not lane.open[0] and lane.waker == self._id:
            lane.waker = 0  # what the thread does now is not for this job any more

    def __repr__(self) -> str:
        return repr(self._function)

    def __getattr__(self, name: str) -> Any:
        if name == "_function":
            raise AttributeError(name)
        return getattr(self._function, name)


def job_hook(cls: type, stock: Any, opaque: Any, pools: dict[int, Any], make_pool: Any) -> Any:
    """Return the hook of an executor's submit."""
    _own.submit, _own.opaque, _own.pools, _own.make_pool = stock, opaque, pools, make_pool
    return functools.update_wrapper(submit, stock)


def submit(self: Any, fn: Any, /, *args: Any, **kwargs: Any) -> Any:
    """Submits a callable to be executed with the given arguments."""
    lane = lane_if_any() if _own.on else None
    if lane is not None and not (_own.opaque is not None and isinstance(self, _own.opaque)):
        try:
            pool = _own.pools.get(id(self))
            if pool is None:
                pool = _own.pools[id(self)] = _own.make_pool(self)
            fn = Job(lane, fn, args[0] if args else None, pool)
        except Exception:  # noqa: BLE001 -- the recorder never breaks what it records
            lane.errors += 1
    return _own.submit(self, fn, *args, **kwargs)


def jobs(on: object) -> None:
    """Record jobs, or not."""
    _own.on = bool(on)


def job(function: Any, pool: Pool) -> Any:
    """Return a callable that records the job around it."""
    lane = lane_if_any() if _own.on else None
    return function if lane is None else Job(lane, function, None, pool)


def spawn_job(function: Any) -> tuple[int, int] | None:
    """Note a job of elsewhere; return its id and name, or None."""
    lane = lane_if_any() if _own.on else None
    if lane is None:
        return None
    number, name = new_id(), job_name(function, None)
    lane.push(now_ns(), number, lane.waker, 0, 0, name, SPAWN, 0, 0)
    return number, name


def take_jobs() -> list[tuple[Any, ...]]:
    """Return the jobs that no lane tells."""
    return [_own.loose.popleft() for _ in range(len(_own.loose))]


def job_counts() -> dict[str, int]:
    """Return what became of jobs."""
    return dict(_own.counts)


def jobs_forget() -> None:
    """In a forked child: the parent tells of its own."""
    _own.on = False
    _own.begin()
