"""`WideEvent`: a record class is read once, when it is defined, and compiled.

A subclass declares fields; its methods are generated for exactly these (`generate`), its plan is
what formats compile encoders from (`plan`). Everything that is wrong with a declaration is raised
at once. Invariant: an opened record is emitted exactly once, unless it is discarded.
"""

from __future__ import annotations

import atexit
import contextvars
import gc
import sys
import types
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Self, TypeVar, dataclass_transform

from tachograph._base.clock import clock
from tachograph._base.ratelimit import warn_once
from tachograph.errors import DeclarationError
from tachograph.formats.plan import FieldPlan, Notes, RecordPlan
from tachograph.metrics.body import Body
from tachograph.metrics.declaration import Declared, declare
from tachograph.metrics.descriptors import descriptor_of
from tachograph.metrics.fields import InstrumentSpec, MetricSpec, TimestampSpec, metric, slot
from tachograph.metrics.generate import (
    DISCARDED,
    NEW,
    OPEN,
    careful_closer,
    constructor,
    has_state,
    scope_methods,
)
from tachograph.metrics.inert import done_class, inert_class
from tachograph.metrics.names import STYLES
from tachograph.metrics.output import emit
from tachograph.metrics.plan import child_paths, closings, hidden, problems_of_names
from tachograph.metrics.scope import scoped
from tachograph.metrics.statistics import statistics

__all__ = ["RecordInfo", "WideEvent"]

_F = TypeVar("_F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True, eq=False)
class RecordInfo:
    """What is known of a record class, as `__wide_event__` on it.

    Attributes:
        plan: The emitted fields, as formats see them.
        declared: The declared attributes, in order.
        style: The class's own rename style, or None.
        variable: Holds the innermost open record of the class.
        done: The class that an emitted record becomes.
        close_carefully: Closes a record field by field.
    """

    plan: RecordPlan
    declared: tuple[Declared, ...]
    style: str | None
    variable: contextvars.ContextVar[Any]
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
        caller = sys._getframe(1)  # noqa: SLF001 -- names in annotations are those of the class body
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
        if problems:
            listed = "\n  ".join(problems)
            msg = f"{name} is not a valid wide event:\n  {listed}"
            raise DeclarationError(msg)
        slots = _prepare_namespace(namespace, own, inherited)
        cls = super().__new__(mcls, name, bases, {**namespace, "__slots__": slots})
        _compile(cls, plan, fields, closing, style)
        return cls

    def __init__(
        cls, name: str, bases: tuple[type, ...], body: Body, /, *, rename: str | None = None
    ) -> None:
        super().__init__(name, bases, dict(body))


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
    inert: Any = object.__new__(inert_class(cls))
    variable: contextvars.ContextVar[Any] = contextvars.ContextVar(
        f"tachograph.{cls.__qualname__}", default=inert
    )
    done = done_class(cls)
    children = child_paths(fields)
    info = RecordInfo(plan, fields, style, variable, done, careful_closer(closing))
    by_path = {"": info}
    for parent, attribute in children:
        path = f"{parent}.{attribute}".removeprefix("self.")
        owner = by_path[parent.removeprefix("self").removeprefix(".")]
        child = next(f.child for f in owner.declared if f.attribute == attribute)
        by_path[path] = child.__wide_event__
    methods = scope_methods(
        plan,
        fields,
        closing,
        children,
        {path: found.variable for path, found in by_path.items()},
        lambda path: by_path[path].done,
    )
    for name, method in methods.items():
        method.__qualname__ = f"{cls.__qualname__}.{name}"
        setattr(target, name, method)
    target.__init__.__qualname__ = f"{cls.__qualname__}.__init__"
    target.__wide_event__ = info
    # The variable's own method: the cheapest possible way to the current record.
    target.current = staticmethod(variable.get)
    _fill_inert(inert, fields)


def _fill_inert(inert: Any, fields: tuple[Declared, ...]) -> None:
    """Give the inert record a value for each slot, so that reading it does not raise."""
    put = object.__setattr__
    for name in ("_state", "_started_ns", "_time_ns"):
        put(inert, name, 0)
    put(inert, "_tokens", None)
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


class _Life:
    """The slots every record has; apart, so that type checkers do not take them for fields."""

    __slots__ = ("_started_ns", "_state", "_time_ns", "_tokens")

    _started_ns: int
    _state: int
    _time_ns: int
    _tokens: tuple[contextvars.Token[Any], ...] | None


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
        if self._state in (NEW, OPEN):
            self._state = DISCARDED

    def emit(self) -> None:
        """End the record now; for one-off records that need no scope."""
        self.__enter__()
        self.__exit__(None, None, None)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: types.TracebackType | None,
    ) -> None:
        return None

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

    def __del__(self) -> None:
        try:
            if self._state == OPEN:
                _emit_leaked(self)
        except AttributeError:
            pass  # never initialised


_RESERVED_ATTRIBUTES = frozenset(name for name in dir(WideEvent) if not name.startswith("__"))


def _emit_leaked(record: WideEvent) -> None:
    """Emit a record whose scope never ended, marked as incomplete."""
    info = type(record).__wide_event__
    record._state = DISCARDED  # noqa: SLF001 -- it ends here, whatever still refers to it
    statistics.leaked_records += 1
    values, notes = info.close_carefully(record, clock.monotonic_ns(), None)
    emit(info.plan, record._time_ns, values, notes._replace(incomplete=("scope",)))  # noqa: SLF001
    for field in info.declared:
        counter = getattr(field.spec, "counter", None)
        if counter is not None:
            counter.add(-1)
    warn_once(
        f"leaked {info.plan.name}",
        f"A {info.plan.name} was opened and never ended; it is emitted with `_incomplete`. Open it "
        "with `with` or `async with`.",
    )


def emit_open_records() -> None:
    """Emit every record whose scope is still open; for the end of the process (LC-10)."""
    for record in gc.get_objects():
        # By type, not isinstance: foreign objects may answer `__class__` with a side effect.
        if _is_record(type(record)) and getattr(record, "_state", None) == OPEN:
            _emit_leaked(record)


atexit.register(emit_open_records)
