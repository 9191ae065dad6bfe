"""The life of a record: opened, current, ended; what the native core does, in Python.

There is one context variable, the innermost open record; each record knows the one that was
innermost before it. So opening a record costs one change of the context, however many children it
has, and `current()` walks outwards until it meets a record or a child of the wanted class.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from contextvars import ContextVar, Token
from types import TracebackType
from typing import Any, Self

from tachograph._base.clock import clock

__all__ = ["CHILD", "DISCARDED", "DONE", "HELD", "NEW", "OPEN", "PureLife", "finder", "innermost"]

# The states of a record. A child follows its parent and is never emitted by itself; a held one
# waits, after its scope, for what was taken from it.
NEW, OPEN, DONE, DISCARDED, CHILD, HELD = range(6)

innermost: ContextVar[Any] = ContextVar("tachograph.innermost", default=None)


class PureLife:
    """The slots and methods that every record has besides its fields."""

    __slots__ = ("_more", "_outer", "_started_ns", "_state", "_time_ns", "_token")

    _parts: dict[type, Callable[[Any], Any]]
    _more: Any
    _outer: Any
    _started_ns: int
    _state: int
    _time_ns: int
    _token: Token[Any] | None

    def __enter__(self) -> Self:
        if self._state == NEW:
            self._time_ns = clock.time_ns()
            self._started_ns = clock.monotonic_ns()
            self._push()
            self._state = OPEN
            self._opened()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._token is None:
            return
        now = clock.monotonic_ns()
        self._pause()
        self._finish(now, exc)

    def _opened(self) -> None:
        """Start the children and raise the gauges; generated."""

    def _finish(self, now: int, error: BaseException | None, ended: int | None = None) -> None:
        """Close and emit, or wait for holds; generated."""

    def _push(self) -> None:
        outer = innermost.get()
        # Records that are over are left out, so that no chain of them can grow.
        while outer is not None and outer._token is None and outer._state in (DONE, DISCARDED):
            outer = outer._outer
        self._outer = self._outer if outer is self else outer
        self._token = innermost.set(self)

    def _pause(self) -> None:
        """Be current no longer, for a while."""
        token = self._token
        if token is not None:
            self._token = None
            # ValueError: ended in another context than it began; that one is gone.
            with contextlib.suppress(ValueError):
                innermost.reset(token)

    def _resume(self) -> None:
        """Be current again."""
        if self._token is None and self._state == OPEN:
            self._push()


def finder(cls: type, inert: Any) -> Callable[[], Any]:
    """Return the function that finds the innermost open record of *cls*, or else *inert*."""
    get = innermost.get

    def current() -> Any:
        record = get()
        while record is not None:
            part = record._parts.get(cls)
            if part is not None:
                return part(record)
            record = record._outer
        return inert

    return current


# ruff: noqa: SLF001 -- records know each other
