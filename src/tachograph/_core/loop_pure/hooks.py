"""The hooks: a step's beginning and end, and what puts steps on the queue."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from typing import Any

from tachograph._core.loop_pure.lane import (
    BY_CALLBACK,
    BY_IO,
    BY_THREAD,
    BY_TIMER,
    CALLBACK,
    CHECKPOINT_NS,
    EAGER,
    NO_STEP,
    SPAWN,
    TIMER,
    Lane,
    here,
    is_waker,
    lane_here,
    lane_if_any,
    now_ns,
    state,
)
from tachograph._core.loop_pure.tasks import end_of, is_new, new_id, note_spawn, spawn_name, who_is

__all__ = [
    "Select",
    "call_soon",
    "call_soon_threadsafe",
    "create_task",
    "listener",
    "make_handles",
    "run",
]


_MOST_ERRORS = 100


def begin(lane: Lane, handle: Any, callback: Any) -> tuple[Any, ...]:
    """Open a step; return what `end` needs."""
    task, number, flags = who_is(lane, callback)
    if handle._loop is not lane.loop or handle._loop is not lane.watched:
        lane.meet(handle._loop)
    now = now_ns()
    if isinstance(handle, state.facts["timer_handle"]):
        due = handle._when * 1e9 if type(handle._when) is float else -1
        delay = now - int(due) if 0 < due < now else 0
        waker, flags = BY_TIMER, flags | TIMER
    elif enqueued := getattr(handle, "_enqueued", 0):
        delay, waker = max(0, now - enqueued), handle._waker
    else:
        delay = max(0, now - lane.unparked_ns) if lane.unparked_ns else 0
        waker = BY_IO
    if lane.open[0]:
        lane.put_open(now, 0)
    outer = (task, lane.open, lane.waker)
    lane.open = (number, now, waker, delay, lane.queue(), flags)
    lane.waker = BY_CALLBACK | number if flags & CALLBACK else number
    return outer


def end(lane: Lane, task: Any, outer: tuple[int, ...], waker: int) -> None:
    """Close the open step."""
    ended = 0 if task is None else end_of(task)
    now = now_ns()
    lane.put_open(now, ended if state.tracks else 0)
    if now - lane.open[1] > CHECKPOINT_NS:
        lane.checkpoint(now)
    lane.go_on(outer, waker, now)


def make_handles(facts: dict[str, Any]) -> None:
    """Make the types of handles that know when they were queued.

    Python 3.14 has one with a lock for `call_soon_threadsafe`.
    """
    namespace = {"__slots__": ("_enqueued", "_waker"), "__module__": "asyncio.events"}
    for own, kind in (("own_handle", "handle"), ("own_thread_handle", "thread_handle")):
        base = facts.get(kind) or facts["handle"]
        facts[own] = type(base.__name__, (base,), dict(namespace))


def run(self: Any) -> None:
    """Call the callback: `Handle._run`."""
    lane = lane_here() if state.enabled else None
    callback, begun = self._callback, None
    if lane is not None and callback is not None:
        try:
            begun = begin(lane, self, callback)
        except Exception:  # noqa: BLE001 -- the recorder never breaks what it records
            _failed(lane)
    try:
        state.facts["stock_run"](self)
    finally:
        # The flag was read at the beginning: a step that was begun is ended.
        is_here = bool(getattr(here, "lane", None) is lane)
        if lane is not None and begun is not None and is_here and not lane.rests:
            try:
                end(lane, *begun)
            except Exception:  # noqa: BLE001
                _, lane.open, lane.waker = begun  # that step is lost, not those around it
                _failed(lane)
        # The traceback of a task that failed keeps this frame, which must not keep the task.
        del self, callback, begun


def _failed(lane: Lane) -> None:
    """Count an error of a hook; after many this thread rests until the next recording."""
    lane.errors += 1
    if lane.errors >= _MOST_ERRORS:
        lane.open, lane.waker = NO_STEP, 0
        lane.rests = True


def _queue(
    kind: str, loop: Any, callback: Any, args: tuple[Any, ...], context: Any, waker: int
) -> Any:
    handle = state.facts[kind](callback, args, loop, context)
    handle._enqueued = now_ns() if state.enabled else 0
    handle._waker = waker
    loop._ready.append(handle)
    return handle


def call_soon(self: Any, callback: Any, *args: Any, context: Any = None) -> Any:
    """Arrange for a callback to be called as soon as possible."""
    if self._closed or self._debug:
        return state.facts["stock_call_soon"](self, callback, *args, context=context)
    lane = lane_here() if state.enabled else None
    waker = 0
    if lane is not None:
        waker = lane.waker
        try:
            if not lane.has_queue(self._ready):
                lane.attach(self)
            note_spawn(lane, callback)
        except Exception:  # noqa: BLE001 -- a task's own class may refuse to tell its coroutine
            _failed(lane)
    return _queue("own_handle", self, callback, args, context, waker)


def call_soon_threadsafe(self: Any, callback: Any, *args: Any, context: Any = None) -> Any:
    """Like `call_soon`, but thread-safe."""
    if self._closed or self._debug:
        return state.facts["stock_call_soon_threadsafe"](self, callback, *args, context=context)
    lane = lane_if_any()
    waker = 0
    if lane is not None and is_waker(lane, self):
        waker = lane.waker
    elif state.enabled:
        waker = BY_THREAD | threading.get_native_id()
    handle = _queue("own_thread_handle", self, callback, args, context, waker)
    self._write_to_self()
    return handle


def create_task(self: Any, coro: Any, **named: Any) -> Any:
    """Schedule a coroutine object; one that begins at once cuts its creator's step."""
    stock = state.facts["stock_create_task"]
    lane = lane_if_any()
    if lane is None or lane.candidate is not None or self._task_factory is None:
        return stock(self, coro, **named)
    if not is_new(coro):
        return stock(self, coro, **named)
    outer, waker, t0 = lane.open, lane.waker, now_ns()
    number = lane.waker = new_id()
    lane.candidate = (number, waker, coro)
    try:
        task = stock(self, coro, **named)
    finally:
        lane.waker, lane.candidate = waker, None
    at_once = isinstance(task, state.facts["task"]) and id(task) not in state.tasks
    if at_once and not is_new(coro):
        try:
            _began_at_once(lane, task, coro, (number, waker, outer, t0))
        except Exception:  # noqa: BLE001
            _failed(lane)
    try:
        return task
    finally:
        del task, coro  # as in `run`: it may have failed at once


def _began_at_once(lane: Lane, task: Any, coro: Any, begun: tuple[int, int, Any, int]) -> None:
    """Cut the creator's step around the first step of its task."""
    number, waker, outer, t0 = begun
    now, name, ended = now_ns(), spawn_name(coro) if state.tracks else 0, end_of(task, number)
    if lane.open[0]:
        lane.put_open(t0, 0)
    if state.tracks:
        lane.push(t0, number, waker, 0, 0, name, SPAWN, EAGER, 0)
    lane.open = (number, t0, waker, 0, lane.queue(), EAGER)
    if not ended:
        state.tasks[id(task)] = number
    lane.put_open(now, ended if state.tracks else 0)
    lane.go_on(outer, waker, now)


def listener(observer: Callable[..., object], stock: Any) -> Any:
    """Return a method that tells someone of its arguments before it does its work."""

    def method(*args: Any, **named: Any) -> Any:
        with contextlib.suppress(Exception):  # the one who listens breaks nothing
            observer(*args, **named)
        return stock(*args, **named)

    method.__doc__ = stock.__doc__
    return method


class Select:
    """Waits for files as a selector does, and records the wait."""

    def __init__(self, stock: Callable[..., Any], keys: dict[int, Any], file: int) -> None:
        self.stock = stock

    def __call__(self, timeout: float | None = None) -> Any:
        lane = lane_if_any()
        if lane is None:
            return self.stock(timeout)
        t0 = now_ns()
        found = self.stock(timeout)
        now = lane.unparked_ns = now_ns()
        if timeout is None or timeout > 0:
            lane.parked(t0, now, len(found))
        return found
