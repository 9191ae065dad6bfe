"""Spans: named stretches of time within a task, parents by context."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from types import TracebackType
from typing import Any, Self

from tachograph._base.clock import clock
from tachograph.recorder.core import core
from tachograph.recorder.events import EventKind, buffer

__all__ = [
    "SPAN",
    "Span",
    "current_number",
    "field_text",
    "new_number",
    "open_spans",
    "others",
    "span",
]

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

others: list[Callable[[], int | None]] = []
"""Each returns the number of the innermost span that another library has open in this context."""


def open_spans() -> Iterator[Span]:
    """Yield the recorder's own spans that are open in this context, the innermost first."""
    each = _current.get()
    while each is not None:
        outer = each._outer  # noqa: SLF001
        if each._token is not None:  # noqa: SLF001 -- a task's context may outlive a span
            yield each
        each = outer


def new_number() -> int:
    """Return the number of a span that begins now; a later one has a higher number."""
    return next(_numbers)


def current_number() -> int | None:
    """Return the number of the innermost span of this context, whoever opened it; None at the top.

    All of them enclose what runs here, so the one that began last is the innermost.
    """
    outer = _current.get()
    found = 0 if outer is None else outer._number  # noqa: SLF001
    for other in others:
        found = max(found, other() or 0)
    return found or None


class Span:
    """A stretch of time, from `with` or `async with` to its end. Never raises, never swallows.

    Attributes:
        name: What it is.
        fields: Facts, which may be added to until the end; written as texts.
    """

    __slots__ = ("_number", "_outer", "_parent", "_started_ns", "_token", "fields", "name")

    def __init__(self, name: str, fields: dict[str, Any]) -> None:
        self.name = name
        self.fields = fields
        self._number = 0
        self._parent: int | None = None
        self._outer: Span | None = None
        self._started_ns = 0
        self._token: Any = None

    def __enter__(self) -> Self:
        if buffer.is_open and self._token is None:
            self._parent = current_number()
            self._number = new_number()
            self._outer = _current.get()
            self._token = _current.set(self)
            self._started_ns = clock.monotonic_ns()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.end("Ok" if exc is None else exc_type.__name__ if exc_type else "Error")

    def end(self, outcome: str = "Ok") -> None:
        """End it, where there is no `with` block that does."""
        token, self._token = self._token, None
        if token is None:
            return
        now = clock.monotonic_ns()
        with contextlib.suppress(ValueError):  # ended in another context than it began
            _current.reset(token)
        self._outer = None
        texts = {name: field_text(value) for name, value in dict(self.fields).items()}
        buffer.add(
            SPAN,
            (
                self._number,
                self._parent,
                running_task_id(),
                self.name,
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


def field_text(value: Any) -> str:
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
    known = core.running_task()
    if known != 0:
        return known
    # Not a step that was recorded: one of debug mode, or begun before the recorder.
    import asyncio  # noqa: PLC0415 -- the recorder may be imported where no loop ever runs

    try:
        task = asyncio.current_task()
    except RuntimeError:
        return None
    return None if task is None else core.task_id(task)
