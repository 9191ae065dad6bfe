"""From objects to ids: which task a callback runs, when it begins to exist and when it ends."""

from __future__ import annotations

import contextvars
import functools
import inspect
import sys
import types
from pathlib import Path
from typing import Any

from tachograph._core.loop_pure.lane import (
    CALLBACK,
    CANCELLED,
    CONTINUED,
    RAISED,
    RETURNED,
    SPAWN,
    Lane,
    now_ns,
    state,
)

__all__ = ["end_of", "is_new", "job_name", "new_id", "note_spawn", "spawn_name", "who_is"]

_MOST_CALLBACKS, _MOST_SPAWNS = 4_096, 16_384
_HERE = str(Path(__file__).parent)


def new_id() -> int:
    """Return an id that was never used."""
    state.last_id += 1
    return state.last_id


def _task_of(callback: Any) -> Any:
    facts = state.facts
    owner = getattr(callback, "__self__", None)
    if owner is None:
        return None
    if type(callback) is facts.get("step_wrapper"):
        return owner
    if type(callback) is types.BuiltinMethodType:
        wakeup = facts.get("wakeup")
        same = wakeup is not None and callback.__name__ == wakeup.__name__
        return owner if same and isinstance(owner, facts["task"]) else None
    if type(callback) is types.MethodType:
        function = callback.__func__
        return owner if function in (facts.get("py_step"), facts.get("py_wakeup")) else None
    return None


def _coro_of(task: Any) -> Any:
    # Asked of asyncio's class: a subclass may answer with anything.
    known = state.facts["task"]
    return known.get_coro(task) if isinstance(task, known) else task._coro


def _is_coroutine(coro: object) -> bool:
    return isinstance(coro, types.CoroutineType | types.GeneratorType)


def is_new(coro: Any) -> bool:
    """Tell whether a coroutine or generator has not begun."""
    if isinstance(coro, types.CoroutineType):
        return inspect.getcoroutinestate(coro) == inspect.CORO_CREATED
    if isinstance(coro, types.GeneratorType):
        return inspect.getgeneratorstate(coro) == inspect.GEN_CREATED
    return False


def who_is(lane: Lane, callback: Any) -> tuple[Any, int, int]:
    """Return the task that a callback runs (None for a plain one), its id and its flags."""
    task = _task_of(callback)
    if task is None:
        return None, _callback_group(callback), CALLBACK
    number = state.tasks.get(id(task))
    if number is None:
        number = state.tasks[id(task)] = new_id()
        state.adopted += 1
        if state.tracks:
            name = _named(None, 0, _coro_of(task))
            lane.push(now_ns(), number, 0, 0, 0, name, SPAWN, CONTINUED, 0)
    return task, number, 0


def note_spawn(lane: Lane, callback: Any) -> None:
    """Note a task that begins to exist if *callback* is the first step of one."""
    kind = type(callback)
    if kind is not state.facts.get("step_wrapper") and not (
        kind is types.MethodType and callback.__func__ is state.facts.get("py_step")
    ):
        return
    task = callback.__self__
    coro = _coro_of(task)
    unknown = not _is_coroutine(coro) and coro is not None and id(task) not in state.tasks
    if not (is_new(coro) or unknown):
        return
    if lane.candidate is not None and lane.candidate[2] is coro:
        number, waker, _ = lane.candidate
    else:
        number, waker = new_id(), lane.waker
    if id(task) in state.tasks:
        state.replaced += 1
    state.tasks[id(task)] = number
    if state.tracks:
        lane.push(now_ns(), number, waker, 0, 0, spawn_name(coro), SPAWN, 0, 0)


def end_of(task: Any, number: int = 0) -> int:
    """Return the flags of a task that ended, and forget it; 0 while it goes on.

    Args:
        task: Whose step has just ended.
        number: Its id, where the table does not have it.
    """
    if not task.done():
        return 0
    number = state.tasks.pop(id(task), number)
    if task.cancelled():
        return CANCELLED
    error = task._exception
    if state.note_end is not None:
        cancels = task.cancelling()
        if error is not None or cancels:
            state.note_end(task, number, error, cancels)
    return RAISED if error is not None else RETURNED


def _tell(*name: Any) -> None:
    try:
        state.facts["note_name"](*name)
    except Exception:  # noqa: BLE001 -- a name costs itself only
        state.failed += 1


def _key_of(callback: Any) -> tuple[object, Any]:
    """Return what stays the same of a callable however often it is made, and what it calls."""
    function = callback.__func__ if isinstance(callback, types.MethodType) else callback
    if isinstance(function, types.FunctionType):
        return function.__code__, function
    if isinstance(function, types.BuiltinFunctionType):
        return (function.__name__, type(function.__self__)), function
    return type(function), function


def _callback_group(callback: Any) -> int:
    for _ in range(4):
        if type(callback) is not functools.partial:
            break
        callback = callback.func
    key, function = _key_of(callback)
    number = state.callbacks.get(key)
    if number is not None:
        return number
    if len(state.callbacks) >= _MOST_CALLBACKS:
        state.full += 1
        if not state.other_callbacks:
            state.other_callbacks = new_id()
            _tell(0, state.other_callbacks, None, 0, None)
        return state.other_callbacks
    number = state.callbacks[key] = new_id()
    _tell(0, number, function, 0, None)
    return number


def spawn_name(coro: Any) -> int:
    """Return the number of the place that makes a task, and of what it runs."""
    frame: types.FrameType | None = sys._getframe(1)
    plumbing = (*state.facts["plumbing"], _HERE)
    while frame is not None and frame.f_code.co_filename.startswith(plumbing):
        frame = frame.f_back
    if frame is None:
        return _named(None, 0, coro)
    return _named(frame.f_code, frame.f_lineno, coro)


def job_name(callback: Any, first: Any) -> int:
    """Return the number of what a job calls; *first* is its first argument."""
    for _ in range(4):
        if type(callback) is functools.partial:
            args, callback = callback.args, callback.func
            if _is_run_of_context(callback) and args:
                callback = args[0]
        elif first is not None and _is_run_of_context(callback):
            callback, first = first, None
        else:
            break
    key, function = _key_of(callback)
    number = state.spawns.get((key, "job"))
    if number is not None:
        return number
    if len(state.spawns) >= _MOST_SPAWNS:
        state.full += 1
        return 0
    number = state.spawns[key, "job"] = len(state.spawns) + 1
    _tell(3, number, function, 0, None)
    return number


def _is_run_of_context(callback: Any) -> bool:
    return isinstance(getattr(callback, "__self__", None), contextvars.Context)


def _named(maker: types.CodeType | None, line: int, coro: Any) -> int:
    what = getattr(coro, "cr_code", None) or getattr(coro, "gi_code", None)
    key = (what or type(coro), maker, line)
    number = state.spawns.get(key)
    if number is not None:
        return number
    if len(state.spawns) >= _MOST_SPAWNS:
        state.full += 1
        return 0
    number = state.spawns[key] = len(state.spawns) + 1
    _tell(1, number, maker, line, coro)
    return number
