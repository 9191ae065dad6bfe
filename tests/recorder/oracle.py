"""A loop that writes down itself what happens on it, in plain Python, apart from the recorder.

It looks at asyncio from outside: at handles when they are queued and when they run, at what is
running meanwhile, at its own clock, which moves only when it or the program says so. What it wrote
is compared with what a segment tells. Load it with `load()`: the recorder must take its frames for
asyncio's own, or every task would be made here.
"""

from __future__ import annotations

import asyncio
import inspect
import sys
import threading
import types
from pathlib import Path
from typing import Any, NamedTuple

import tachograph

# These stand in what is compared; the numbers are those of docs/format.md.
TASK, CALLBACK, IO, TIMER, THREAD = range(5)
FLAG_CALLBACK, FLAG_TIMER = 4, 8
RETURNED, RAISED, CANCELLED = 64, 128, 192
ASYNCIO = str(Path(asyncio.__file__).parent)
handles: Any = asyncio.events
PLUMBING = (ASYNCIO, str(Path(tachograph.__file__).parent))  # the twin's hooks are Python


class Who(NamedTuple):
    """What runs or woke: a task or a callback by itself, or a kind with a number."""

    kind: int
    what: Any


NOBODY = Who(TASK, None)


class Step(NamedTuple):
    """A handle that ran."""

    start_ns: int
    end_ns: int
    queued_ns: int
    who: Who
    waker: Who
    depth: int
    flags: int


class Spawn(NamedTuple):
    """A task that began to exist."""

    time_ns: int
    task: Any
    waker: Who
    place: str


class Park(NamedTuple):
    """A wait in the selector that could be long."""

    start_ns: int
    end_ns: int
    files: int


class Notes:
    """What the loop wrote down."""

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self.spawns: list[Spawn] = []
        self.parks: list[Park] = []
        self.kept: list[Any] = []  # no object may have another's address


_Loop: Any = asyncio.SelectorEventLoop  # whose inside no stub tells


class OracleLoop(_Loop):  # type: ignore[misc]
    """A loop that writes down what happens.

    Args:
        clock: With `ns` and `advance(ns)`.
        notes: Where to.
    """

    def __init__(self, clock: Any, notes: Notes) -> None:
        self.clock = clock
        self.notes = notes
        self.running: list[Who] = []
        self.queued: dict[Any, tuple[int, Who]] = {}
        self.seen: set[Any] = set()
        self.unparked_ns = 0
        self.noting = threading.Lock()
        super().__init__()

    def time(self) -> float:
        return float(self.clock.ns / 1e9)

    # What puts handles on the queue.

    def call_soon(self, callback: Any, *args: Any, context: Any = None) -> Any:
        waker = self.running[-1] if self.running else NOBODY
        self._note_spawn(callback, waker)
        return self._note(super().call_soon(callback, *args, context=context), waker)

    def call_soon_threadsafe(self, callback: Any, *args: Any, context: Any = None) -> Any:
        here = threading.get_ident() == getattr(self, "_thread_id", None)
        waker = Who(THREAD, threading.get_native_id())
        if here or self.clock.loop_thread == threading.get_ident():
            waker = self.running[-1] if self.running else NOBODY
        now = self.clock.ns
        with self.noting:  # the loop may run it at once
            handle = super().call_soon_threadsafe(callback, *args, context=context)
            self.queued[handle] = now, waker
        return handle

    def _note(self, handle: Any, waker: Who) -> Any:
        self.queued[handle] = self.clock.ns, waker
        return handle

    def _note_spawn(self, callback: Any, waker: Who) -> None:
        task = getattr(callback, "__self__", None)
        if not isinstance(task, asyncio.Task) or task in self.seen:
            return
        coroutine: Any = task.get_coro()
        if inspect.getcoroutinestate(coroutine) != inspect.CORO_CREATED:
            return
        self.seen.add(task)
        place = f"{place_of_caller()} {coroutine.__qualname__}"
        self.notes.spawns.append(Spawn(self.clock.ns, task, waker, place))

    # Its turns.

    def _run_once(self) -> None:
        timers = [handle.when() for handle in self._scheduled if not handle.cancelled()]
        waits = not self._ready and not self._stopping
        self.blocks = waits and (not timers or min(timers) > self.time())
        self.park_ns = self.clock.ns
        super()._run_once()

    def _process_events(self, event_list: Any) -> None:
        self.unparked_ns = self.clock.ns
        if self.blocks:
            self.notes.parks.append(Park(self.park_ns, self.unparked_ns, len(event_list)))
        super()._process_events(event_list)
        if not self._ready and not event_list:
            timers = [handle.when() for handle in self._scheduled if not handle.cancelled()]
            if timers:  # time passes until the next one is due, and a little longer
                due = int(min(timers) * 1e9)
                self.clock.advance(max(0, due - self.clock.ns) + 4_096)

    # Its steps.

    def run_handle(self, handle: Any, run: Any) -> None:
        callback = handle._callback
        task = getattr(callback, "__self__", None)
        is_task = isinstance(task, asyncio.Task) and not is_done_callback(callback)
        who = Who(TASK, task) if is_task else Who(CALLBACK, callback)
        self.notes.kept.append((handle, callback, task))
        self.clock.advance(16)
        start, depth = self.clock.ns, len(self._ready)
        flags = 0 if is_task else FLAG_CALLBACK
        with self.noting:
            noted = self.queued.pop(handle, None)
        if isinstance(handle, asyncio.TimerHandle):
            queued, waker = min(start, int(handle.when() * 1e9)), Who(TIMER, None)
            flags |= FLAG_TIMER
        elif noted is not None:
            queued, waker = noted
        else:
            queued, waker = self.unparked_ns, Who(IO, None)
        self.running.append(who)
        try:
            run(handle)
        finally:
            self.running.pop()
            if isinstance(task, asyncio.Task) and is_task and task.done():
                flags |= outcome(task)
            self.notes.steps.append(Step(start, self.clock.ns, queued, who, waker, depth, flags))


def outcome(task: Any) -> int:
    """How a task ended."""
    if task.cancelled():
        return CANCELLED
    return RETURNED if task._exception is None else RAISED


def is_done_callback(callback: Any) -> bool:
    """Whether it is a task's own method, but no step of it."""
    return isinstance(callback, types.MethodType) or getattr(callback, "__name__", "") not in (
        *("task_wakeup", "TaskStepMethWrapper", ""),
    )


def place_of_caller() -> str:
    """Where the program is: the nearest line outside asyncio."""
    frame: types.FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename.startswith(PLUMBING):
        frame = frame.f_back
    if frame is None:
        return "unknown"
    return f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}"


class watched_handles:  # noqa: N801 -- used as a function
    """While it is entered, every handle of an `OracleLoop` runs through the loop's notes."""

    def __enter__(self) -> None:
        self.stock = stock = handles.Handle._run

        def _run(handle: Any) -> None:
            loop = handle._loop
            if hasattr(loop, "run_handle"):
                loop.run_handle(handle, stock)
            else:
                stock(handle)

        handles.Handle._run = _run

    def __exit__(self, *exc: object) -> None:
        handles.Handle._run = self.stock


def load() -> Any:
    """Return this module with a file's name as if it were a part of asyncio."""
    module = types.ModuleType("oracle")
    name = str(Path(ASYNCIO) / "oracle.py")
    code = compile(Path(__file__).read_text(), name, "exec")
    module.__dict__["__file__"] = __file__
    sys.modules["oracle"] = module
    exec(code, module.__dict__)
    return module
