"""A loop's thread and what its hooks recorded; and what the core knows of this process."""

from __future__ import annotations

import struct
import threading
import time
import weakref
from collections import deque
from typing import Any

# t0, task, waker, duration, delay, name, type, flags, queue: loop/loop.h says what they mean.
EVENT = struct.Struct("=QQQIIIBBH")
EVENT_BYTES = EVENT.size

STEP, SPAWN, PARK, CHECKPOINT = 1, 2, 3, 4
LONG_DURATION, LONG_DELAY, CALLBACK, TIMER, EAGER, CONTINUED = 1, 2, 4, 8, 16, 32
RETURNED, RAISED, CANCELLED = 64, 128, 192
_KIND_SHIFT = 60
BY_CALLBACK, BY_IO, BY_TIMER, BY_THREAD = (kind << _KIND_SHIFT for kind in (1, 2, 3, 4))
CHECKPOINT_NS = 1_000_000
FIRST_POOL_LANE, MAX_LANES = 16, 64  # those between are of threads that run jobs
_MOST_POOL_SLOTS = 4_096
_UINT32 = 2**32 - 1
_UINT64 = 2**64 - 1

NO_STEP = (0, 0, 0, 0, 0, 0)  # task, t0, waker, delay, queue, flags


class State:
    """What the module knows; the native core has it in variables of its own."""

    def __init__(self) -> None:
        self.facts: dict[str, Any] = {}
        self.enabled = False
        self.tracks = True
        self.wait_every = 10
        self.fake_ns = -1
        self.lanes: list[Lane | None] = [None] * MAX_LANES
        self.slots = 32_768
        self.last_id = 1_023
        self.tasks: dict[int, int] = {}  # by address, as the native core has it
        self.adopted = self.replaced = self.refused = self.full = self.failed = 0
        self.callbacks: dict[object, int] = {}
        self.other_callbacks = 0
        self.spawns: dict[object, int] = {}
        self.note_end: Any = None  # is told of tasks that end badly


state = State()
"""The process's own."""

here = threading.local()
"""`lane` of each thread, and whether it was `refused` one."""


def now_ns() -> int:
    """Return the monotonic clock, or what a test stopped it at."""
    return state.fake_ns if state.fake_ns >= 0 else time.monotonic_ns()


def span(ns: int, flag: int) -> tuple[int, int]:
    """Return a span of time in 32 bits, and *flag* if it is in units of 1,024 ns."""
    ns &= _UINT64  # one of a clock that went back is the longest, as in the native core
    return (ns, 0) if ns <= _UINT32 else (min(ns >> 10, _UINT32), flag)


class Lane:
    """A thread and what its hooks recorded."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.tid = threading.get_native_id()
        self.drops = self.errors = self.tail = 0
        self.rests = False  # its hooks failed too often in this recording
        self.open = NO_STEP
        self.waker = 0
        self.unparked_ns = self.checked_ns = self.idle_ns = self.parks = 0
        self.loop: Any = None
        self.watched: Any = None
        self._queue: Any = None
        self.candidate: tuple[int, int, Any] | None = None  # id, waker, coroutine
        self._events: deque[bytes] = deque()
        self._thread = weakref.ref(threading.current_thread())

    @property
    def head(self) -> int:
        """How many events were ever written."""
        return self.tail + len(self._events)

    @property
    def capacity(self) -> int:
        """How many events its ring holds."""
        return min(state.slots, _MOST_POOL_SLOTS) if self.is_for_jobs else state.slots

    @property
    def is_for_jobs(self) -> bool:
        """Whether it is of a thread that runs jobs, and no loop."""
        return self.number >= FIRST_POOL_LANE

    @property
    def ready(self) -> int:
        """How many handles its loop's queue holds."""
        return len(self._queue) if type(self._queue) is deque else 0

    @property
    def open_step(self) -> tuple[int, int, int]:
        """Task, start and flags of the open step."""
        return self.open[0], self.open[1], self.open[5]

    @property
    def ended(self) -> bool:
        """Whether its thread is gone."""
        thread = self._thread()
        return thread is None or not thread.is_alive()

    def push(self, *event: int) -> None:
        """Write an event, or count it when there is no room."""
        if len(self._events) >= self.capacity:
            self.drops += 1
        else:
            self._events.append(EVENT.pack(*event))

    def read(self, most: int) -> bytes:
        """Return the oldest events, as many as given."""
        return b"".join(self._events[i] for i in range(min(most, len(self._events))))

    def release(self, count: int) -> None:
        """Forget the oldest events: they are on file."""
        for _ in range(min(count, len(self._events))):
            self._events.popleft()
            self.tail += 1

    def renew(self) -> None:
        """Begin with an empty ring."""
        self._events = deque()
        self.tail = self.drops = self.errors = 0
        self.rests = False

    def close(self) -> None:
        """Give the lane back; the thread has ended."""
        if state.lanes[self.number] is self:
            if getattr(here, "lane", None) is self:
                here.lane = None
            elif not self.ended:
                msg = "close: the lane's thread still runs"
                raise RuntimeError(msg)
            state.lanes[self.number] = None

    # ------------------------------------------------------------------ steps

    def meet(self, loop: Any) -> None:
        """Come to a loop: its waits are recorded from now on, and its queue is known."""
        self.loop = self.watched = loop
        if loop is not None:
            state.facts["on_loop"](loop)
        self._queue = getattr(loop, "_ready", None)

    def attach(self, loop: Any) -> None:
        """Know the queue of a loop."""
        self.loop = loop
        self._queue = getattr(loop, "_ready", None)

    def has_queue(self, queue: Any) -> bool:
        """Tell whether *queue* is that of its loop."""
        return self._queue is queue

    def queue(self) -> int:
        """Return how many handles are ready."""
        return min(self.ready, 65_535)

    def put_open(self, now: int, more: int) -> None:
        """Write the open step, which ends now or is cut now."""
        task, t0, waker, delay, queue, flags = self.open
        duration, long_duration = span(now - t0, LONG_DURATION)
        delay, long_delay = span(delay, LONG_DELAY)
        flags |= more | long_duration | long_delay
        self.push(t0, task, waker, duration, delay, 0, STEP, flags, queue)

    def go_on(self, outer: tuple[int, ...], waker: int, now: int) -> None:
        """Let a step that was interrupted go on."""
        task, t0, by, delay, queue, flags = outer
        if task:
            t0, by, delay, flags = now, 0, 0, flags | CONTINUED
        self.open = (task, t0, by, delay, queue, flags)
        self.waker = waker

    def checkpoint(self, now: int) -> None:
        """Write how much the thread ran so far, and waited for a processor."""
        self.checked_ns = now
        waited = _UINT64
        try:
            with open(f"/proc/self/task/{self.tid}/schedstat", "rb") as file:  # noqa: PTH123
                waited = int(file.read().split()[1])
        except (OSError, IndexError, ValueError):
            pass
        self.push(now, time.thread_time_ns(), waited, 0, 0, 0, CHECKPOINT, 0, 0)

    def parked(self, t0: int, now: int, events: int) -> None:
        """Write a wait for files."""
        duration, flags = span(now - t0, LONG_DURATION)
        self.push(t0, 0, 0, duration, 0, 0, PARK, flags, min(events, 65_535))
        self.parks += 1
        if now - self.checked_ns > CHECKPOINT_NS and self.parks % state.wait_every == 0:
            self.checkpoint(now)


def lane_if_any() -> Lane | None:
    """Return this thread's lane; None if it has none yet, or nothing is recorded."""
    found: Lane | None = getattr(here, "lane", None)
    return found if state.enabled and found is not None and not found.rests else None


def is_waker(lane: Lane, loop: Any) -> bool:
    """Tell whether what this thread does is known to the loop as a step: its own, or a job's."""
    return lane.loop is loop or bool(lane.is_for_jobs and lane.waker)


def lane_for_jobs() -> Lane | None:
    """Return this thread's lane, made when it is first asked for; None while none is free."""
    lane: Lane | None = getattr(here, "lane", None)
    if lane is None:
        for number in range(FIRST_POOL_LANE, MAX_LANES):
            if state.lanes[number] is None:
                lane = here.lane = state.lanes[number] = Lane(number)
                return lane
    return None if lane is None or lane.rests else lane


def lane_here() -> Lane | None:
    """Return this thread's lane, made when it is first asked for; None if there can be none."""
    lane: Lane | None = getattr(here, "lane", None)
    if lane is None and not getattr(here, "refused", False):
        for number in range(FIRST_POOL_LANE):
            if state.lanes[number] is None:
                lane = here.lane = state.lanes[number] = Lane(number)
                return lane
        here.refused = True
        state.refused += 1
    return None if lane is None or lane.rests else lane
