"""`WideEvent`: a record class is read once, when it is defined, and compiled.

A subclass declares fields; its methods are generated for exactly these (`generate`), its plan is
what formats compile encoders from (`plan`). Everything that is wrong with a declaration is raised
at once. Invariant: an opened record is emitted exactly once, unless it is discarded.
"""

from __future__ import annotations

import atexit
import gc
import sys
import types
from collections.abc import Callable
from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeVar, dataclass_transform

from tachograph._base.clock import clock
from tachograph._base.ratelimit import warn_once
from tachograph._core import native
from tachograph.errors import DeclarationError
from tachograph.formats.plan import FieldPlan, Notes, RecordPlan
from tachograph.metrics.body import Body
from tachograph.metrics.declaration import Declared, declare
from tachograph.metrics.descriptors import descriptor_of
from tachograph.metrics.direct import bind
from tachograph.metrics.fields import InstrumentSpec, MetricSpec, TimestampSpec, metric, slot
from tachograph.metrics.generate import careful_closer, constructor, has_state, scope_methods
from tachograph.metrics.holds import Hold, Late, More, released_hold
from tachograph.metrics.inert import done_class, inert_class
from tachograph.metrics.life import (
    DISCARDED,
    HELD,
    NEW,
    OPEN,
    PureLife,
    finder,
    innermost,
)
from tachograph.metrics.names import STYLES
from tachograph.metrics.output import emit
from tachograph.metrics.plan import child_paths, closings, hidden, problems_of_names
from tachograph.metrics.scope import scoped
from tachograph.metrics.statistics import statistics

__all__ = ["RecordInfo", "WideEvent"]

_F = TypeVar("_F", bound=Callable[..., Any])
_C = TypeVar("_C")


@dataclass(frozen=True, slots=True, eq=False)
class RecordInfo:
    """What is known of a record class, as `__wide_event__` on it.

    Attributes:
        plan: The emitted fields, as formats see them.
        declared: The declared attributes, in order.
        style: The class's own rename style, or None.
        done: The class that an emitted record becomes.
        close_carefully: Closes a record field by field.
    """

    plan: RecordPlan
    declared: tuple[Declared, ...]
    style: str | None
    done: type
    close_carefully: Callable[..., tuple[tuple[Any, ...], Notes]]

    @property
    def fields(self) -> tuple[FieldPlan, ...]:
        """The emitted fields in order, children in place."""
        return self.plan.fields


def _is_record(value: object) -> bool:
    return isinstance(value, WideEventMeta)


@dataclass_transform(kw_only_default=True, field_specifiers=(metric, slot))
class WideEventMeta(type):
    """Compiles a record class when it is defined."""

    @classmethod
    def __prepare__(cls, name: str, bases: tuple[type, ...], /, **kwargs: Any) -> Body:
        return Body()

    def __new__(
        mcls,
        name: str,
        bases: tuple[type, ...],
        body: Body,
        /,
        *,
        rename: str | None = None,
    ) -> WideEventMeta:
        """Read the body, check it, and return the compiled class.

        Raises:
            DeclarationError: Something is wrong; the message lists all of it.
        """
        namespace = dict(body)
        if not body["__annotations__"]:
            namespace.pop("__annotations__", None)
        if "WideEvent" not in globals():  # the base itself
            return super().__new__(mcls, name, bases, namespace)
        problems: list[str] = []
        if rename is not None and rename not in STYLES:
            problems.append(
                f"{name}: expected rename to be one of {', '.join(STYLES)}, got {rename!r}."
            )
            rename = None
        caller = sys._getframe(1)
        own = declare(name, body, frame=caller, is_record=_is_record, problems=problems)
        inherited, style = _inherited(name, bases, problems)
        style = rename or style
        fields = _merged(inherited, own)
        _check(name, fields, own, problems)
        closing = closings(fields, style)
        plan = RecordPlan(
            name, (namespace.get("__doc__") or "").strip(), tuple(c.plan for c in closing)
        )
        problems += problems_of_names(name, plan.fields)
        problems += [
            f"{name}.{method}: a record makes and ends itself. Use a classmethod to make one."
            for method in sorted(_OWN_METHODS & namespace.keys())
        ]
        if problems:
            raise _invalid(name, problems)
        slots = _prepare_namespace(namespace, own, inherited)
        cls = super().__new__(mcls, name, bases, {**namespace, "__slots__": slots})
        _compile(cls, plan, fields, closing, style)
        return cls

    def __init__(
        cls, name: str, bases: tuple[type, ...], body: Body, /, *, rename: str | None = None
    ) -> None:
        super().__init__(name, bases, dict(body))


def _invalid(name: str, problems: list[str]) -> DeclarationError:
    listed = "\n  ".join(problems)
    return DeclarationError(f"{name} is not a valid wide event:\n  {listed}")


def _inherited(
    name: str, bases: tuple[type, ...], problems: list[str]
) -> tuple[list[Declared], str | None]:
    fields: list[Declared] = []
    style: str | None = None
    for base in bases:
        info: RecordInfo | None = getattr(base, "__wide_event__", None)
        if info is not None:
            if fields:
                problems.append(f"{name}: a wide event extends one other, not several.")
            fields = list(info.declared)
            style = info.style
    return fields, style


def _merged(inherited: list[Declared], own: list[Declared]) -> tuple[Declared, ...]:
    fields = {field.attribute: field for field in inherited}
    fields.update({field.attribute: field for field in own})
    return tuple(fields.values())


def _check(
    name: str, fields: tuple[Declared, ...], own: list[Declared], problems: list[str]
) -> None:
    problems += [
        f"{name}.{field.attribute}: the name is taken by the record itself. Use another, and "
        "`name=` for the emitted one."
        for field in own
        if field.attribute in _RESERVED_ATTRIBUTES or field.attribute.startswith("_")
    ]
    times = [f.attribute for f in fields if isinstance(f.spec, TimestampSpec)]
    if len(times) > 1:
        problems.append(f"{name}: a record has one timestamp, got {', '.join(times)}.")


def _prepare_namespace(
    namespace: dict[str, Any], own: list[Declared], inherited: list[Declared]
) -> tuple[str, ...]:
    """Replace specifications by slots and descriptors; return the slots of the class."""
    taken = {field.attribute for field in inherited}
    slots = []
    for field in own:
        attribute, spec = field.attribute, field.spec
        if isinstance(spec, InstrumentSpec):
            namespace[attribute] = descriptor_of(attribute, hidden(attribute), spec)
            if has_state(spec) and attribute not in taken:
                slots.append(hidden(attribute))
        else:
            namespace.pop(attribute, None)
            if attribute not in taken:
                slots.append(attribute)
    return tuple(slots)


def _compile(
    cls: WideEventMeta,
    plan: RecordPlan,
    fields: tuple[Declared, ...],
    closing: Any,
    style: str | None,
) -> None:
    target: Any = cls
    target.__init__ = constructor(cls.__name__, fields)
    kind: Any = inert_class(cls)
    inert: Any = kind.__new__(kind)
    done = done_class(cls)
    children = child_paths(fields)
    info = RecordInfo(plan, fields, style, done, careful_closer(closing))
    by_path = {"": info}
    paths: dict[type, str] = {}
    for parent, attribute in children:
        path = f"{parent}.{attribute}".removeprefix("self.")
        owner = by_path[parent.removeprefix("self").removeprefix(".")]
        child = next(f.child for f in owner.declared if f.attribute == attribute)
        by_path[path] = child.__wide_event__
        paths[child] = path

    def done_at(path: str) -> type:
        return by_path[path].done

    methods = scope_methods(plan, fields, closing, children, done_at)
    for name, method in {"__init__": target.__init__, **methods}.items():
        method.__qualname__ = f"{cls.__qualname__}.{name}"
        setattr(target, name, method)
    target.__wide_event__ = info
    if native is None:
        target._parts = {cls: _itself} | {c: attrgetter(path) for c, path in paths.items()}
        target.current = staticmethod(finder(cls, inert))
    else:
        direct = bind(cls, fields, closing, children, inert, done_at)
        native.bind(cls, direct)
        object.__setattr__(plan, "direct", direct)
        target.current = staticmethod(direct.current)
    _fill_inert(inert, fields)


def _itself(record: Any) -> Any:
    return record


def _fill_inert(inert: Any, fields: tuple[Declared, ...]) -> None:
    """Give the inert record a value for each slot, so that reading it does not raise."""
    put = object.__setattr__
    for name in ("_state", "_started_ns", "_time_ns"):
        put(inert, name, 0)
    for name in ("_more",) if native is not None else ("_token", "_outer", "_more"):
        put(inert, name, None)
    for field in fields:
        if field.child is not None:
            put(inert, field.attribute, field.child.current())
        elif isinstance(field.spec, MetricSpec):
            default = field.spec.default
            put(inert, field.attribute, default if field.kind and _known(default) else None)
        elif has_state(field.spec):
            put(inert, hidden(field.attribute), None)


def _known(default: object) -> bool:
    return repr(default) != "MISSING"


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


_RESERVED_ATTRIBUTES = frozenset(name for name in dir(WideEvent) if not name.startswith("__"))


_OWN_METHODS = frozenset(("__init__", "__new__", "__enter__", "__exit__", "__del__", "__slots__"))


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
    emit(info.plan, record._time_ns, values, notes)
    for field in info.declared:
        counter = getattr(field.spec, "counter", None)
        if counter is not None:
            counter.add(-1)
    if what == "scope":
        warn_once(
            f"leaked {info.plan.name}",
            f"A {info.plan.name} was opened and never ended; it is emitted with `_incomplete`. "
            "Open it with `with` or `async with`.",
        )


def emit_open_records() -> None:
    """Emit every record whose scope is still open; for the end of the process (LC-10)."""
    for record in gc.get_objects():
        # By type, not isinstance: foreign objects may answer `__class__` with a side effect.
        if _is_record(type(record)) and getattr(record, "_state", None) in (OPEN, HELD):
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
