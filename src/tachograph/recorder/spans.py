"""Spans: named stretches of time within a task, parents by context."""

from __future__ import annotations

import contextlib
import itertools
from contextvars import ContextVar
from types import TracebackType
from typing import Any, Self

from tachograph._base.clock import clock
from tachograph.recorder.events import EventKind, buffer

__all__ = ["SPAN", "Span", "span"]

SPAN = EventKind(
    "tacho:Span",
    (
        ("span_id", "int", False),
        ("parent_span_id", "int", True),
        ("task_id", "int", True),
        ("span_name", "str", False),
        ("duration_ns", "int", False),
        ("outcome", "str", False),
        ("fields", "map", False),
    ),
    "A stretch of the program's time that ended at the event's own.",
)

_numbers = itertools.count(1)
_current: ContextVar[Span | None] = ContextVar("tachograph.span", default=None)


class Span:
    """A stretch of time, from `with` or `async with` to its end. Never raises, never swallows.

    Attributes:
        fields: Facts, which may be added to until the end; written as texts.
    """

    __slots__ = ("_name", "_number", "_parent", "_started_ns", "_token", "fields")

    def __init__(self, name: str, fields: dict[str, Any]) -> None:
        self._name = name
        self.fields = fields
        self._number = 0
        self._parent: int | None = None
        self._started_ns = 0
        self._token: Any = None

    def __enter__(self) -> Self:
        if buffer.is_open and self._token is None:
            self._number = next(_numbers)
            outer = _current.get()
            self._parent = None if outer is None else outer._number  # noqa: SLF001
            self._token = _current.set(self)
            self._started_ns = clock.monotonic_ns()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        token, self._token = self._token, None
        if token is None:
            return
        now = clock.monotonic_ns()
        with contextlib.suppress(ValueError):  # ended in another context than it began
            _current.reset(token)
        outcome = "Ok" if exc is None else exc_type.__name__ if exc_type else "Error"
        texts = {name: _text(value) for name, value in dict(self.fields).items()}
        buffer.add(
            SPAN,
            (
                self._number,
                self._parent,
                running_task_id(),
                self._name,
                now - self._started_ns,
                outcome,
                texts,
            ),
            now,
        )

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.__exit__(exc_type, exc, traceback)


def _text(value: Any) -> str:
    """Return a field as a text, now: a value may change later. Never raises."""
    try:
        return str(value)
    except Exception:  # noqa: BLE001 -- a span never raises for what it is given
        return object.__repr__(value)


def span(name: str, /, **fields: Any) -> Span:
    """Return a stretch of time that the trace tells, for a `with` block.

    A span within another's time and context has that one as its parent, also in tasks that begin
    there.
    """
    return Span(name, fields)


def running_task_id() -> int | None:
    """Return the recorder's id of the task that runs here; None outside any, or if unknown."""
    import asyncio  # noqa: PLC0415 -- the recorder may be imported where no loop ever runs

    from tachograph.recorder.core import core  # noqa: PLC0415

    try:
        task = asyncio.current_task()
    except RuntimeError:
        return None
    return None if task is None else core.task_id(task)
