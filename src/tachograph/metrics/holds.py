"""What few records have: holds, children that others fill, extra keys, a promise to be kept.

A record with holds waits after its scope until each is released or late: the one that comes last
closes and emits it, on whichever thread that happens.
"""

from __future__ import annotations

from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from tachograph._base.clock import clock
from tachograph._base.forks import ForkLock
from tachograph.formats.plan import Notes, RecordPlan
from tachograph.metrics.deadlines import deadlines
from tachograph.metrics.life import HELD, OPEN
from tachograph.metrics.statistics import statistics

__all__ = ["Hold", "Late", "More", "released_hold"]

_C = TypeVar("_C")


class Hold:
    """Keeps a record from being emitted until it is released, or its time is up.

    Use it as `with record.hold(timeout=5):` in the work that outlives the scope, or call
    `release()`.
    """

    __slots__ = ("_more", "_name", "_settled")

    def __init__(self, more: More | None, name: str) -> None:
        self._more = more
        self._name = name
        self._settled = more is None

    @property
    def released(self) -> bool:
        """Whether it holds no longer: released, expired, or the record was emitted."""
        return self._settled

    def release(self) -> None:
        """Let the record go; a second call is a no-op."""
        more = self._more
        if more is not None:
            more.settle(self, expired=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.release()


def released_hold() -> Hold:
    """Return a hold of nothing, for a record that was emitted."""
    return Hold(None, "")


class Late(Generic[_C]):
    """A child record in the hands of other code; made by `WideEvent.open`.

    Use it as `with late as child:`; at the end the child's fields are taken into its parent.
    """

    __slots__ = ("_child", "_hold", "_more", "closed")

    def __init__(self, more: More, child: _C, hold: Hold | None) -> None:
        self._more = more
        self._child = child
        self._hold = hold
        self.closed = False
        """Whether the child was handed back."""

    @property
    def child(self) -> _C:
        """The child record."""
        return self._child

    @property
    def parent_closed(self) -> bool:
        """Whether the parent was emitted, so that nothing more can come of the work."""
        return self._more.over

    def close(self) -> None:
        """Hand the child back with the values it has; a second call is a no-op."""
        if not self.closed:
            self.closed = True
            if self._hold is not None:
                self._hold.release()

    def __enter__(self) -> _C:
        return self._child

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class More:
    """The rarely used part of a record; made when it is first needed."""

    __slots__ = (
        "_ended",
        "_error",
        "_holds",
        "_incomplete",
        "_late",
        "_lock",
        "_record",
        "extra",
        "impatient",
        "kept",
        "over",
    )

    def __init__(self) -> None:
        self._lock = ForkLock()
        self._record: Any = None  # while its scope has ended and holds are open
        self._error: BaseException | None = None
        self._ended = 0
        self._holds: list[Hold] = []
        self._late: dict[str, Late[Any]] = {}
        self._incomplete: list[str] = []
        self.extra: dict[str, Any] = {}
        self.kept = False
        self.impatient = False
        """Whether `flush_now()` was called."""
        self.over = False
        """Whether the record was emitted or discarded."""

    def hold(self, timeout: float, name: str = "hold") -> Hold:
        """Take a hold that lasts at most *timeout* seconds."""
        hold = Hold(self, name)
        with self._lock:
            self._holds.append(hold)
        deadlines.after(timeout, lambda: self.settle(hold, expired=True))
        return hold

    def open(self, path: str, child: _C, wait: float | None) -> Late[_C] | None:
        """Hand out the child at *path*; None when it was handed out before."""
        with self._lock:
            if path in self._late:
                statistics.children_opened_twice += 1
                return None
            late = self._late[path] = Late(self, child, None)
        if wait is not None:
            late._hold = self.hold(wait, path)
        return late

    def waits(self, record: Any, now: int, error: BaseException | None) -> bool:
        """Tell whether *record*, whose scope has just ended, must wait; if so, keep it."""
        with self._lock:
            if record._state != OPEN or self.impatient or self.over:
                return False
            if all(hold.released for hold in self._holds):
                return False
            record._state = HELD
            self._record, self._error, self._ended = record, error, now
            return True

    def settle(self, hold: Hold, *, expired: bool) -> None:
        """Note that *hold* holds no longer; emit the record if it was the last."""
        with self._lock:
            if hold._settled:
                return
            hold._settled = True
            if expired and not self.over:
                statistics.holds_expired += 1
                self._note(hold._name)
            record = self._record
            if record is None or not all(other.released for other in self._holds):
                return
            self._record = None
        record._finish(clock.monotonic_ns(), self._error, self._ended)

    def hurry(self) -> None:
        """Wait no longer: emit now if the scope has ended, else at its end."""
        with self._lock:
            self.impatient = True
            record, self._record = self._record, None
        if record is not None:
            record._finish(clock.monotonic_ns(), self._error, self._ended)

    def complete(
        self, plan: RecordPlan, values: tuple[Any, ...], notes: Notes | None
    ) -> tuple[tuple[Any, ...], Notes | None]:
        """Return what is emitted: without children that were not handed back, with the extras."""
        with self._lock:
            self.over = True
            for hold in self._holds:
                if not hold._settled:
                    hold._settled = True
                    self._note(hold._name)
            missing = [path for path, late in self._late.items() if not late.closed]
        for path in missing:
            self._note(path)
            inside = f"{path}."
            values = tuple(
                None if field.attribute.startswith(inside) else value
                for field, value in zip(plan.fields, values, strict=True)
            )
        if self._incomplete or self.extra:
            notes = notes or Notes()
            notes = notes._replace(
                incomplete=(*notes.incomplete, *self._incomplete), extra=tuple(self.extra.items())
            )
        return values, notes

    def drop(self) -> None:
        """Note that the record was discarded, and end it if it was waiting."""
        with self._lock:
            self.over = True
            for hold in self._holds:
                hold._settled = True
            record, self._record = self._record, None
        if record is not None:
            record._finish(clock.monotonic_ns(), self._error, self._ended)

    def _note(self, name: str) -> None:
        if name not in self._incomplete:
            self._incomplete.append(name)


# ruff: noqa: SLF001 -- a hold, a late child and a record's rest are parts of one thing
