"""Tasks that end badly, and what becomes of it.

The core tells of each task that ended with an exception, or though it was asked to be cancelled;
the loops' exception handler of exceptions that nobody asked for and of tasks that went while they
waited; the interpreter's warning of coroutines that nobody awaited. What is logged stays as it is.
"""

from __future__ import annotations

import sys
import types
import warnings
from asyncio import base_events, events, tasks
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tachograph._base.clock import clock
from tachograph.recorder.core import core, is_native
from tachograph.recorder.events import EventKind, buffer
from tachograph.recorder.names import clean, coroutine_name, module_of, short_path
from tachograph.recorder.patches import put, take_back
from tachograph.recorder.sources.config import SourcesConfig
from tachograph.recorder.sources.turns import Imports
from tachograph.trace.events import EVENTS

__all__ = ["Hygiene"]

ERROR = EventKind.builtin(EVENTS["tacho:TaskError"])
HYGIENE = EventKind.builtin(EVENTS["tacho:TaskHygiene"])
END = EventKind.builtin(EVENTS["TaskTerminateEvent"])

_DESTROYED = 3  # the outcome of a task that went while it waited
_NOT_RETRIEVED = "exception was never retrieved"
_PENDING = "Task was destroyed but it is pending!"
_HANDLER = "call_exception_handler"
_WARNER = "_warn_unawaited_coroutine"
_MOST = 4_096
_SETTLED_NS = 50_000_000
_PLUMBING = tuple(f"{Path(m.__file__ or '').parent}/" for m in (base_events, sys.modules[__name__]))

_active: Hygiene | None = None  # hooks that had to stay serve the recorder that is there


class Hygiene:
    """The hooks, and the events of what they hear."""

    name = "hygiene"

    def __init__(self) -> None:
        self.failed = 0
        self.lost = 0
        # When, whose, which, where: an exception is told a little later, with what became of it.
        self._errors: deque[tuple[int, int, str, str | None]] = deque()
        # When, which, what: a task's end is told at a turn, for its last step is on file then.
        self._destroyed: deque[tuple[int, int, str | None]] = deque()
        self._not_retrieved: set[int] = set()
        # The ids of tasks that have ended by the addresses of those, which have one no more.
        self._ended: dict[int, int] = {}
        self._places: dict[tuple[types.CodeType, int], str] = {}
        self._imports = Imports()

    @classmethod
    def wanted(cls, config: SourcesConfig) -> Hygiene | None:
        """Return it if it is on."""
        return cls() if config.task_hygiene else None

    def start(self) -> None:
        """Put the hooks in."""
        global _active  # noqa: PLW0603 -- one recorder per process
        _active = self
        core.note_ends(self._note_end)
        put(base_events.BaseEventLoop, _HANDLER, _handler_hook)
        self._look_for_uvloop()
        if _is_as_expected(getattr(warnings, _WARNER, None)):
            put(warnings, _WARNER, _warner_hook)

    def _look_for_uvloop(self) -> None:
        loop = getattr(sys.modules.get("uvloop"), "Loop", None)
        # The twin's hook has a frame, which would stand in what uvloop logs as the line that did.
        if loop is not None and is_native:
            put(loop, _HANDLER, _handler_hook)

    def stop(self) -> None:
        """Emit what is left, and put back what was there."""
        global _active  # noqa: PLW0603
        core.note_ends(None)
        _active = None
        take_back(base_events.BaseEventLoop, _HANDLER)
        loop = getattr(sys.modules.get("uvloop"), "Loop", None)
        if loop is not None:
            take_back(loop, _HANDLER)
        take_back(warnings, _WARNER)
        self._tell(clock.monotonic_ns())

    def forget(self) -> None:
        """In a forked child: hear nothing; the hooks stay for its own recorder."""
        global _active  # noqa: PLW0603
        _active = None

    def turn(self, now_ns: int) -> None:
        """Emit the exceptions that have had time to be asked for."""
        if self._imports.changed():
            self._look_for_uvloop()
        self._tell(now_ns - _SETTLED_NS)

    def _tell(self, until_ns: int) -> None:
        while self._destroyed:
            when, number, what = self._destroyed.popleft()
            buffer.add(HYGIENE, ("destroyed_pending", number, what), when)
            if number:
                buffer.add(END, (number, _DESTROYED), when)
        while self._errors and self._errors[0][0] <= until_ns:
            when, number, kind, place = self._errors.popleft()
            retrieved = number not in self._not_retrieved
            self._not_retrieved.discard(number)
            buffer.add(ERROR, (number, kind, place, retrieved), when)

    def metadata(self) -> dict[str, str]:
        """Return nothing: events tell it all."""
        return {}

    def counts(self) -> dict[str, Any]:
        """Return what was not told."""
        return {"task_errors_lost": self.lost, "hygiene_failures": self.failed}

    # ------------------------------------------------------------------ what the hooks hear

    def hear(self, call: Callable[..., None], *args: Any) -> None:
        """Take note of something. Never raises."""
        try:
            call(*args)
        except Exception:  # noqa: BLE001 -- in the middle of the program's work
            self.failed += 1

    def _note_end(self, *ended: Any) -> None:
        self.hear(self._task_ended, *ended)

    def _task_ended(
        self, task: Any, number: int, error: BaseException | None, cancels: int
    ) -> None:
        if cancels > 0:
            buffer.add(HYGIENE, ("cancel_swallowed", number, _what(task)))
        if error is None:
            return
        if len(self._ended) >= _MOST:
            self._ended.pop(next(iter(self._ended)), None)
        self._ended[id(task)] = number
        if len(self._errors) >= _MOST:
            self.lost += 1
            return
        kind = type(error)
        name = clean(f"{kind.__module__}.{kind.__qualname__}".removeprefix("builtins."))
        self._errors.append((clock.monotonic_ns(), number, name, self._place(error)))

    def _place(self, error: BaseException) -> str | None:
        """Return where it was raised: the innermost line that is not asyncio's, if there is one."""
        found: types.TracebackType | None = None
        trace = error.__traceback__
        while trace is not None:
            own = not trace.tb_frame.f_code.co_filename.startswith(_PLUMBING)
            if own or found is None or found.tb_frame.f_code.co_filename.startswith(_PLUMBING):
                found = trace
            trace = trace.tb_next
        if found is None:
            return None
        code, line = found.tb_frame.f_code, found.tb_lineno
        place = self._places.get((code, line))
        if place is None:
            if len(self._places) >= _MOST:
                self._places.clear()
            what = f"{module_of(code.co_filename)}.{code.co_qualname}"
            place = self._places[code, line] = clean(
                f"{short_path(code.co_filename)}:{line} {what}"
            )
        return place

    def handled(self, context: dict[str, Any]) -> None:
        """Take note of what a loop's exception handler is told."""
        message = context.get("message")
        if message == _PENDING:
            task = context["task"]
            number, what = core.task_id(task) or 0, _what(task)
            if number:
                core.forget_task(task)
            if len(self._destroyed) < _MOST:
                self._destroyed.append((clock.monotonic_ns(), number, what))
            else:
                self.lost += 1
        elif isinstance(message, str) and message.endswith(_NOT_RETRIEVED):
            future = context["future"]
            number = self._ended.pop(id(future), 0)
            if number and len(self._not_retrieved) < _MOST:
                self._not_retrieved.add(number)
            buffer.add(HYGIENE, ("exception_never_retrieved", number, _what(future)))

    def not_awaited(self, coroutine: Any) -> None:
        """Take note of a coroutine that nobody awaited."""
        task = None
        if events._get_running_loop() is not None:  # noqa: SLF001 -- else asking raises
            task = tasks.current_task()
        number = 0 if task is None else core.task_id(task) or 0
        what = coroutine_name(coroutine)
        origin = getattr(coroutine, "cr_origin", None)
        if origin:
            file, line, _ = origin[0]
            what = f"{short_path(file)}:{line} {what}"
        buffer.add(HYGIENE, ("never_awaited", number, clean(what)))


def _what(future: Any) -> str | None:
    """Return the coroutine of a task; None for a plain future."""
    get = getattr(future, "get_coro", None)
    coroutine = None if get is None else get()
    return None if coroutine is None else clean(coroutine_name(coroutine))


def _handler_hook(stock: Any) -> Any:
    return core.listener(_handled, stock)


def _handled(_: Any, context: Any) -> None:
    source = _active
    if source is not None:
        source.hear(source.handled, context)


def _is_as_expected(warner: Any) -> bool:
    return isinstance(warner, types.FunctionType) and "warn" in warner.__code__.co_names


def _warner_hook(stock: Any) -> Any:
    """Return the interpreter's own function with another `warn` in it.

    One around it would be a frame more, and the warning would name another line.
    """
    names = {**stock.__globals__, "warn": _warn}
    if "_wm" in names:  # since Python 3.14 it asks the module
        names["_wm"] = _Warnings(names["_wm"])
    return types.FunctionType(stock.__code__, names, stock.__name__)


class _Warnings:
    def __init__(self, stock: Any) -> None:
        self._stock = stock
        self.warn = _warn

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stock, name)


def _warn(message: Any, category: Any = None, stacklevel: int = 1, source: Any = None) -> None:
    hygiene = _active
    if hygiene is not None and source is not None:
        hygiene.hear(hygiene.not_awaited, source)
    warnings.warn(message, category, stacklevel=stacklevel + 1, source=source)
