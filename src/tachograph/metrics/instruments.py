"""Fields that measure themselves: timer, stopwatch, gauge and the counter behind it, outcome.

An instrument is cheap until it is touched: a record keeps nothing for a timer that runs from start
to end. Closing turns each into a plain value.
"""

from __future__ import annotations

import enum
import sys
import threading
from types import TracebackType
from typing import TYPE_CHECKING, Self

from tachograph._base.clock import clock
from tachograph._base.gil import CHANGES_ARE_WHOLE
from tachograph._core import native
from tachograph.metrics.statistics import statistics

__all__ = ["Counter", "Outcome", "Span", "Stopwatch", "Timer", "outcome_of", "qualified_name"]


class Outcome(enum.Enum):
    """How a scope ended; emitted as the member's value, whatever the rename style."""

    OK = "Ok"
    ERROR = "Error"
    CANCELLED = "Cancelled"
    EXIT = "Exit"


def outcome_of(error: BaseException | None) -> Outcome:
    """Return the outcome of a scope that ended with *error*, or without one."""
    match error:
        case None:
            return Outcome.OK
        case GeneratorExit():
            return Outcome.CANCELLED
        case KeyboardInterrupt() | SystemExit():
            return Outcome.EXIT
        case _:
            # Not imported for this: where asyncio is not loaded, nothing of it was raised.
            asyncio = sys.modules.get("asyncio.exceptions")
            if asyncio is not None and isinstance(error, asyncio.CancelledError):
                return Outcome.CANCELLED
            return Outcome.ERROR


def qualified_name(error: BaseException) -> str:
    """Return the class of *error* as `module.Class`, without the module for builtins."""
    cls = type(error)
    if cls.__module__ == "builtins":
        return cls.__qualname__
    return f"{cls.__module__}.{cls.__qualname__}"


class Counter:
    """A number that any thread may change; never below zero.

    Args:
        value: What it starts with.
    """

    __slots__ = ("_lock", "_value", "underflows")

    def __init__(self, value: int = 0) -> None:
        self._lock = threading.Lock()
        self._value = value
        self.underflows = 0
        """How often it was asked to go below zero; each is a missing increment somewhere."""

    @property
    def value(self) -> int:
        """The number now."""
        return self._value

    def _add(self, amount: int = 1) -> int:
        """Add *amount*, which may be negative, and return the new number; it stops at zero."""
        value = self._value + amount
        if value < 0:
            self.underflows += 1
            value = 0
        self._value = value
        return value

    def _add_locked(self, amount: int = 1) -> int:
        """Add *amount*, which may be negative, and return the new number; it stops at zero."""
        with self._lock:
            return self._add(amount)

    add = _add if CHANGES_ARE_WHOLE else _add_locked

    def set(self, value: int) -> None:
        """Replace the number."""
        self._value = value

    def __repr__(self) -> str:
        return f"Counter({self._value})"


class Timer:
    """Time since the record started, until `stop()` or the record's end."""

    __slots__ = ("_started_ns", "_stopped_ns")

    def __init__(self, started_ns: int) -> None:
        self._started_ns = started_ns
        self._stopped_ns: int | None = None

    def stop(self) -> int:
        """Stop, and return the elapsed nanoseconds; a second call returns the first's value."""
        if self._stopped_ns is None:
            self._stopped_ns = clock.monotonic_ns()
        return self._stopped_ns - self._started_ns

    def elapsed_ns(self, now_ns: int) -> int:
        """Return the nanoseconds until the stop, or until *now_ns* while it runs."""
        stopped_ns = self._stopped_ns
        return (now_ns if stopped_ns is None else stopped_ns) - self._started_ns


class Stopwatch:
    """The sum of the spans that were measured with it; absent if there was none.

    Use it as `with event.downstream:` or through `start()`. Spans may overlap, in one task or in
    many; each counts in full. A span still open when the record closes counts until then.
    """

    # Strategy: subtract the time at each start, add it at each stop. The sum does not depend on
    # which start belongs to which stop, so overlapping spans need no list.
    __slots__ = ("_running", "_started", "_total_ns")

    def __init__(self) -> None:
        self._total_ns = 0
        self._running = 0
        self._started = 0

    def __enter__(self) -> Self:
        # The clock first: a change without a call in it is whole, whichever thread makes it.
        now_ns = clock.monotonic_ns()
        self._total_ns -= now_ns
        self._running += 1
        self._started += 1
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        now_ns = clock.monotonic_ns()
        if self._running:
            self._total_ns += now_ns
            self._running -= 1

    def start(self) -> Span:
        """Start a span and return it; it stops by its `stop()` or at the end of a `with`."""
        now_ns = clock.monotonic_ns()
        self._running += 1
        self._started += 1
        self._total_ns -= now_ns
        return Span(self, now_ns)

    def clear(self) -> None:
        """Forget every span, the open ones too."""
        self._total_ns = self._running = self._started = 0

    @property
    def spans(self) -> int:
        """How many spans there were, open ones included."""
        return self._started

    def elapsed_ns(self, now_ns: int) -> int | None:
        """Return the sum of all spans in nanoseconds, open ones until *now_ns*; None if none."""
        if not self._started:
            return None
        if self._running:
            return self._total_ns + self._running * now_ns
        return self._total_ns

    def close_ns(self, now_ns: int) -> int | None:
        """Do as `elapsed_ns`, for the last time: what is measured later is counted as too late."""
        self.__class__ = _Over  # pyright: ignore[reportAttributeAccessIssue]
        return self.elapsed_ns(now_ns)


class _Over(Stopwatch):
    """What a stopwatch turns into when its record has taken the sum."""

    __slots__ = ()

    def __enter__(self) -> Self:
        statistics.late("A stopwatch was started")
        return self

    def start(self) -> Span:
        """Return a span that measures nothing."""
        statistics.late("A stopwatch was started")
        span = Span(self, 0)
        span._open = False  # noqa: SLF001
        return span

    def clear(self) -> None:
        """Do nothing."""
        statistics.late("A stopwatch was cleared")


class Span:
    """One measurement of a stopwatch; ends once, by `stop`, `discard` or `overwrite`."""

    __slots__ = ("_open", "_started_ns", "_stopwatch")

    def __init__(self, stopwatch: Stopwatch, started_ns: int) -> None:
        self._stopwatch = stopwatch
        self._started_ns = started_ns
        self._open = True

    def stop(self) -> None:
        """Add the span to the stopwatch's sum."""
        if self._open:
            self._open = False
            self._stopwatch.__exit__(None, None, None)

    def discard(self) -> None:
        """End the span as if it had never started."""
        watch = self._stopwatch
        if self._open and isinstance(watch, _Over):
            self._open = False
            statistics.late("A span was discarded")
        elif self._open and watch._running:  # noqa: SLF001 -- a span is part of its stopwatch
            self._open = False
            watch._total_ns += self._started_ns  # noqa: SLF001
            watch._running -= 1  # noqa: SLF001
            watch._started -= 1  # noqa: SLF001

    def overwrite(self) -> None:
        """Make this span the stopwatch's only one, and end it."""
        if self._open and isinstance(self._stopwatch, _Over):
            self._open = False
            statistics.late("A stopwatch was overwritten")
        elif self._open:
            self._open = False
            elapsed_ns = clock.monotonic_ns() - self._started_ns
            self._stopwatch.clear()
            self._stopwatch._started = 1  # noqa: SLF001
            self._stopwatch._total_ns = elapsed_ns  # noqa: SLF001

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()


# The native twins are what records hold where they are; type checkers see the classes above.
if not TYPE_CHECKING and native is not None:
    Counter = native.Counter
    Timer = native.Timer
    Stopwatch = native.Stopwatch
    Span = native.Span
