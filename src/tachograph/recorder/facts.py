"""What asyncio is made of on this interpreter, found by trying it: the self-test of the hooks.

The native core reads tasks and handles by where their fields lie. Nothing of that is assumed: each
place is looked for in objects made for the purpose, whose content is known. What is not found
exactly once is left out, with the reason; the parts that need it stay off, and the rest works.
"""

from __future__ import annotations

import collections
import contextlib
import gc
import heapq
import struct
import threading
import warnings
from asyncio import base_events, events, format_helpers, futures, tasks
from collections.abc import AsyncGenerator, Callable
from typing import Any

from tachograph.recorder.core import core, is_native

__all__ = ["Facts", "find_facts"]

_HANDLE_FIELDS = {
    "offset_callback": "_callback",
    "offset_args": "_args",
    "offset_cancelled": "_cancelled",
    "offset_loop": "_loop",
    "offset_traceback": "_source_traceback",
    "offset_repr": "_repr",
    "offset_context": "_context",
}
_TIMER_FIELDS = {"offset_when": "_when", "offset_scheduled": "_scheduled"}


class Facts:
    """What the self-test found.

    Attributes:
        values: For the native core's `configure`; empty when steps cannot be recorded.
        problems: What does not work here, each with the reason, by the name of the part.
    """

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}
        self.problems: dict[str, str] = {}


def find_facts(note_name: Callable[..., None], plumbing: tuple[str, ...]) -> Facts:
    """Return what the hooks need to know of asyncio. Never raises.

    Args:
        note_name: Is told what each number stands for, see `names.py`.
        plumbing: Beginnings of the paths of files that make tasks for others.
    """
    facts = Facts()

    def find() -> None:
        try:
            _find(facts, note_name, plumbing)
        except Exception as error:  # noqa: BLE001 -- an unknown asyncio costs the hooks only
            facts.problems["steps"] = f"asyncio is not as expected here: {error!r}"
            facts.values = {}

    # On a thread of its own, which no loop runs on.
    thread = threading.Thread(target=find, name="tachograph-self-test")
    thread.start()
    thread.join()
    return facts


def _find(facts: Facts, note_name: Callable[..., None], plumbing: tuple[str, ...]) -> None:
    if not is_native:
        facts.problems["native core"] = (
            "The recorder's core was not built here; its twin in Python records the same events at "
            "several times the cost, without the wait for the GIL. Install with a C compiler."
        )
    for cls, fields in ((events.Handle, _HANDLE_FIELDS), (events.TimerHandle, _TIMER_FIELDS)):
        for name, field in fields.items():
            facts.values[name] = core.offset_of(vars(cls)[field])
    facts.values |= {
        "handle": events.Handle,
        "timer_handle": events.TimerHandle,
        "thread_handle": getattr(events, "_ThreadSafeHandle", None),  # new in Python 3.14
        "base_loop": base_events.BaseEventLoop,
        "task": tasks.Task,
        "stock_run": events.Handle._run,
        "report": report,
        "note_name": note_name,
        "plumbing": plumbing,
        "deque": collections.deque,
        "deque_append": collections.deque.append,
        "heappush": heapq.heappush,
    }
    for name in ("call_soon", "call_soon_threadsafe", "call_at", "create_task"):
        facts.values[f"stock_{name}"] = getattr(base_events.BaseEventLoop, name)
    _find_tasks(facts)


def report(handle: Any, error: BaseException) -> None:
    """Tell the loop's exception handler of a callback's exception, as a handle does."""
    callback = format_helpers._format_callback_source(handle._callback, handle._args)
    context = {
        "message": f"Exception in callback {callback}",
        "exception": error,
        "handle": handle,
    }
    if handle._source_traceback:
        context["source_traceback"] = handle._source_traceback
    handle._loop.call_exception_handler(context)


class _Probe:
    """A loop that keeps what a task hands to it, instead of running it."""

    def __init__(self) -> None:
        self.callbacks: list[Any] = []

    def get_debug(self) -> bool:
        return False

    def call_soon(self, callback: Any, *args: Any, context: Any = None) -> None:
        self.callbacks.append(callback)

    def call_exception_handler(self, context: Any) -> None:
        pass

    def is_running(self) -> bool:
        return False

    def create_future(self) -> Any:
        return futures.Future(loop=self)  # type: ignore[arg-type]


async def _waits(future: Any) -> None:
    await future


def _find_tasks(facts: Facts) -> None:
    python_task = getattr(tasks, "_PyTask", None)
    if python_task is not None:  # the class was written with the name `Task`
        facts.values["py_step"] = python_task._Task__step
        facts.values["py_wakeup"] = python_task._Task__wakeup
    if python_task is None or tasks.Task is python_task:
        facts.problems["native tasks"] = "asyncio's tasks are written in Python here."
        facts.values["task"] = type("NoNativeTask", (), {})
        return
    loop = _Probe()
    future = loop.create_future()
    coroutine = _waits(future)
    task = tasks.Task(coroutine, loop=loop)  # type: ignore[arg-type]
    task._log_destroy_pending = False  # type: ignore[attr-defined]
    step = loop.callbacks.pop()
    try:
        facts.values["step_wrapper"] = type(step)
        if is_native:
            facts.values["offset_wrapper_task"] = _place(step, task)
            facts.values["offset_task_coro"] = _place(task, coroutine)
        # Its first step makes it wait for the future, which then wakes it.
        events._set_running_loop(loop)  # type: ignore[arg-type]
        step()
        future.set_result(None)
        facts.values["wakeup"] = loop.callbacks.pop()
    finally:
        events._set_running_loop(None)
        with contextlib.suppress(BaseException):
            coroutine.close()
    if is_native:
        _find_outcome(facts, loop)
        _find_cancels(facts, loop)
        try:
            facts.values["wrappers"] = _find_wrappers(loop)
        except Exception as error:  # noqa: BLE001 -- it costs the places where tasks wait only
            facts.problems["await chains"] = f"What is awaited is not as expected here: {error!r}"


def _find_outcome(facts: Facts, loop: _Probe) -> None:
    """Find where a future keeps its state and its exception; else they are asked for."""
    pending, cancelled, failed, done = (loop.create_future() for _ in range(4))
    cancelled.cancel()
    error = ValueError("a probe")
    failed.set_exception(error)
    done.set_result(None)
    states = [core.words(each) for each in (pending, cancelled, failed, done)]
    # Only the state is 0, 1, 2, 2.
    places = [
        number for number, found in enumerate(zip(*states, strict=True)) if found == (0, 1, 2, 2)
    ]
    exception = _places(failed, error)
    failed.exception()  # looked at: so that nobody is told of it
    if len(places) == 1 and len(exception) == 1:
        facts.values["offset_future_state"] = places[0] * 4
        facts.values["offset_future_exception"] = exception[0]
    else:
        facts.problems["outcomes"] = "A future's state was not found; it is asked for instead."


def _find_wrappers(loop: _Probe) -> tuple[tuple[type, int], ...]:
    """Return the types that stand between links of a chain of awaits, and where the inner lies."""

    async def generate() -> AsyncGenerator[None, None]:
        yield None

    future, generator, coroutine = loop.create_future(), generate(), _waits(None)
    step, throw, wrapper, next_of = (
        generator.asend(None),
        generator.athrow(ValueError),
        coroutine.__await__(),
        anext(generator, None),
    )
    inner = [each for each in gc.get_referents(next_of) if each is not None]
    pairs = ((step, generator), (throw, generator), (wrapper, coroutine), (iter(future), future))
    try:
        found = [(type(owner), _place(owner, wanted)) for owner, wanted in pairs]
        return (*found, (type(next_of), _place(next_of, inner[0])))
    finally:
        with warnings.catch_warnings():  # none of them was meant to be awaited
            warnings.simplefilter("ignore")
            coroutine.close()
            step.close()
            del step, throw, next_of, inner, wrapper, pairs


def _find_cancels(facts: Facts, loop: _Probe) -> None:
    """Find where a task counts how often it is to be cancelled; else that is not told."""
    coroutine = _waits(loop.create_future())
    task = tasks.Task(coroutine, loop=loop)  # type: ignore[arg-type]
    task._log_destroy_pending = False  # type: ignore[attr-defined]
    states = []
    for _ in range(4):
        states.append(core.words(task))
        task.cancel()
    coroutine.close()
    loop.callbacks.clear()
    counted = [n for n, found in enumerate(zip(*states, strict=True)) if found == (0, 1, 2, 3)]
    if len(counted) == 1:
        facts.values["offset_task_cancels"] = counted[0] * 4
    else:
        facts.problems["cancels"] = "Where a task counts its cancellations was not found."


def _places(owner: object, wanted: object) -> list[int]:
    """Return where in *owner*'s memory the address of *wanted* stands."""
    words = core.words(owner)
    address = struct.unpack("=2I", struct.pack("=Q", id(wanted)))
    return [
        4 * index
        for index in range(0, len(words) - 1, 2)
        if (words[index], words[index + 1]) == address
    ]


def _place(owner: object, wanted: object) -> int:
    found = _places(owner, wanted)
    if len(found) != 1:
        msg = f"{type(wanted).__name__} in {type(owner).__name__}: found at {found}"
        raise LookupError(msg)
    return found[0]
