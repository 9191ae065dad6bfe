"""`WideEvent`: one typed record with a lifetime.

Invariant: an opened record is emitted exactly once, unless it is discarded or sampled out.
"""

from __future__ import annotations

import atexit
import gc
import types
from collections.abc import Callable, Iterable
from operator import attrgetter
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeVar

from tachograph._base.clock import clock
from tachograph._base.forks import tell_in_children
from tachograph._base.ratelimit import warn_once
from tachograph._core import native
from tachograph.formats.plan import RecordPlan
from tachograph.metrics.compiler import RecordInfo, WideEventMeta, is_record_class
from tachograph.metrics.fields import InstrumentSpec
from tachograph.metrics.holds import Hold, Late, More, released_hold
from tachograph.metrics.life import DISCARDED, HELD, NEW, OPEN, PureLife, innermost
from tachograph.metrics.output import Destination, emit
from tachograph.metrics.plan import child_paths
from tachograph.metrics.scope import scoped
from tachograph.metrics.statistics import statistics

__all__ = ["WideEvent"]

_F = TypeVar("_F", bound=Callable[..., Any])
_C = TypeVar("_C")

# The slots every record has are those of a base, so that type checkers do not take them for fields.
if TYPE_CHECKING or native is None:  # noqa: SIM108 -- checkers do not follow an expression
    _Life = PureLife
else:
    _Life = native.Record


class WideEvent(_Life, metaclass=WideEventMeta):
    """One typed record with a lifetime, emitted exactly once, when its scope ends.

    Subclass it and declare fields; `rename=` sets the style of emitted names: `preserve` (default),
    `snake_case`, `kebab-case`, `camelCase`, `PascalCase`, `SCREAMING_SNAKE_CASE`. Open a record
    with `with` or `async with`; code further down fills it through `current()`. The line is written
    when the scope has ended, however it ended; the exception passes through unchanged.

    Example:
        >>> class Checkout(WideEvent, rename="PascalCase"):
        ...     cart_id: str
        ...     items: int = 0
        >>> with Checkout(cart_id="c-1") as event:
        ...     event.items += 1
    """

    __slots__ = ()

    __wide_event__: ClassVar[RecordInfo]

    @classmethod
    def current(cls) -> Self:
        """Return the innermost open record of this class in this context.

        Outside any scope it is an inert record: what is written to it vanishes and is counted as
        `orphan_writes`, nothing raises, and it is false in a condition. Tasks and
        `asyncio.to_thread` see their creator's record; `run_in_executor` does not copy the context.
        """
        raise NotImplementedError

    @classmethod
    def scope(cls, **fields: Any) -> Callable[[_F], _F]:
        """Return a decorator that opens a record around each call.

        It takes functions, coroutine functions, generators and async generators; for generators the
        record ends at exhaustion, close or error, and is current while their body runs.

        Args:
            fields: Initial values, as for the constructor.
        """
        return scoped(lambda: cls(**fields))

    def discard(self) -> None:
        """Emit nothing for this record. Has no effect after the emission."""
        if self._state in (NEW, OPEN, HELD):
            self._state = DISCARDED
            if self._more is not None:
                self._more.drop()

    def keep(self) -> None:
        """Emit this record whatever the samplers say; it stands for itself alone."""
        self._rest().kept = True

    def hold(self, timeout: float = 30.0) -> Hold:
        """Put the emission off until the returned hold is released, for work after the scope.

        The record is emitted when its scope has ended and every hold is released or *timeout*
        seconds old; an expired one is named in the line's `_incomplete`. Until then its fields can
        be assigned; timers stop at the end of the scope.

        Args:
            timeout: Seconds from now.

        Raises:
            ValueError: *timeout* is not a positive number.
        """
        if not timeout > 0:
            msg = f"hold: expected a timeout in seconds above 0, got {timeout!r}."
            raise ValueError(msg)
        if self._state in (NEW, OPEN, HELD):
            return self._rest().hold(timeout)
        statistics.late_holds += 1
        return released_hold()

    def open(self, child: _C, *, wait: float | None = 30.0) -> Late[_C] | None:
        """Hand a child of this record to other code, which gives it back by closing it.

        The record waits for it up to *wait* seconds after now, or with None not at all. A child
        that is not back when the record is emitted is left out and named in `_incomplete`.

        Args:
            child: A child of this record, as `record.open(record.handler)`.
            wait: Seconds from now, or None.

        Returns:
            The child, for `with late as child:`; None if it was handed out before.

        Raises:
            ValueError: *child* is no child of this record.
        """
        path = next((p for p in _children(type(self)) if attrgetter(p)(self) is child), None)
        if path is None:
            msg = f"open: expected a child of this {type(self).__name__}, got {child!r}."
            raise ValueError(msg)
        if self._state not in (NEW, OPEN, HELD):
            statistics.late_holds += 1
            return None
        return self._rest().open(path, child, wait)

    def flush_now(self) -> None:
        """Wait for no hold: emit at once if the scope has ended, else when it ends."""
        if self._more is not None:
            self._more.hurry()
        elif self._state == OPEN:
            self._rest().impatient = True

    @property
    def extra(self) -> dict[str, Any]:
        """Keys that are known only at run time, with numbers or texts; at most 32 are written.

        They stand after the declared fields, by exactly these names.
        """
        return self._rest().extra

    def _rest(self) -> More:
        more: More | None = self._more
        if more is None:
            more = self._more = More()
        return more

    def emit(self) -> None:
        """End the record now; for one-off records that need no scope."""
        self.__enter__()
        self.__exit__(None, None, None)

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: types.TracebackType | None,
    ) -> None:
        self.__exit__(exc_type, exc, traceback)

    def __repr__(self) -> str:
        parts = [
            f"{field.attribute}={getattr(self, field.attribute, None)!r}"
            for field in type(self).__wide_event__.declared
            if not isinstance(field.spec, InstrumentSpec)
        ]
        return f"{type(self).__name__}({', '.join(parts)})"


def _children(cls: type) -> list[str]:
    declared = cls.__wide_event__.declared  # type: ignore[attr-defined]
    return [
        f"{parent}.{attribute}".removeprefix("self.") for parent, attribute in child_paths(declared)
    ]


def _emit_leaked(record: Any) -> None:
    """Emit a record whose scope never ended, or that still waits, marked as incomplete."""
    info = type(record).__wide_event__
    what = "hold" if record._state == HELD else "scope"
    if what == "scope":
        statistics.leaked_records += 1
    record._state = DISCARDED  # it ends here, whatever still refers to it
    now = clock.monotonic_ns()
    values, notes = info.close_carefully(record, now, None, now)
    notes = notes._replace(incomplete=(what,))
    if record._more is not None:
        values, notes = record._more.complete(info.plan, values, notes)
        notes = notes._replace(incomplete=tuple(dict.fromkeys(notes.incomplete)))
    for field in info.declared:
        counter = getattr(field.spec, "counter", None)
        if counter is not None:
            counter.add(-1)
    emit(info.plan, record._time_ns, values, notes)
    if what == "scope":
        warn_once(
            f"leaked {info.plan.name}",
            f"A {info.plan.name} was opened and never ended; it is emitted with `_incomplete`. "
            "Open it with `with` or `async with`.",
        )


def problems_of_classes(destinations: Iterable[Destination]) -> list[str]:
    """Return what the formats of *destinations* find wrong with the classes defined so far."""
    plans: dict[RecordPlan, None] = {}
    classes = WideEvent.__subclasses__()
    while classes:
        cls = classes.pop()
        plans[cls.__wide_event__.plan] = None
        # What records become after their end are subclasses too, of the same plan.
        classes += cls.__subclasses__()
    return [problem for each in destinations for plan in plans for problem in each.problems(plan)]


class _Birth:
    """When this process began; what was opened before a fork is the parent's to emit."""

    def __init__(self) -> None:
        self.ns = -1
        tell_in_children(self)

    def forget_parent(self) -> None:
        """Note the time of the fork."""
        self.ns = clock.monotonic_ns()


_birth = _Birth()


def emit_open_records() -> None:
    """Emit every record whose scope is still open; for the end of the process (LC-10)."""
    for record in gc.get_objects():
        # By type, not isinstance: foreign objects may answer `__class__` with a side effect.
        if not is_record_class(type(record)) or record._started_ns < _birth.ns:
            continue
        if getattr(record, "_state", None) in (OPEN, HELD):
            _emit_leaked(record)


def _finalize(record: Any) -> None:
    """Emit a record that nobody can end any more."""
    if getattr(record, "_state", None) == OPEN:
        _emit_leaked(record)


if native is None:
    setattr(PureLife, "__del__", _finalize)  # noqa: B010 -- for checkers records have none
else:
    native.bind(innermost, _finalize)

atexit.register(emit_open_records)
# ruff: noqa: SLF001 -- a record and its class know each other
