"""What happens when a record class is defined: it is read once, checked and compiled.

A subclass of `WideEvent` declares fields; its methods are generated for exactly these (`generate`),
its plan is what formats compile encoders from (`plan`). Everything that is wrong with a declaration
is raised at once.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import Any, dataclass_transform

from tachograph._core import native
from tachograph.errors import DeclarationError
from tachograph.formats.plan import FieldPlan, Notes, RecordPlan
from tachograph.metrics.body import Body
from tachograph.metrics.declaration import Declared, declare
from tachograph.metrics.descriptors import descriptor_of
from tachograph.metrics.direct import bind
from tachograph.metrics.fields import InstrumentSpec, MetricSpec, TimestampSpec, metric, slot
from tachograph.metrics.generate import careful_closer, constructor, has_state, scope_methods
from tachograph.metrics.inert import done_class, inert_class
from tachograph.metrics.instruments import Outcome
from tachograph.metrics.life import finder
from tachograph.metrics.names import STYLES
from tachograph.metrics.plan import Traits, child_paths, closings, hidden
from tachograph.metrics.problems import problems_of_dimensions, problems_of_names

__all__ = ["RecordInfo", "WideEventMeta", "is_record_class"]

_OWN_METHODS = frozenset(("__init__", "__new__", "__enter__", "__exit__", "__del__", "__slots__"))


@dataclass(frozen=True, slots=True, eq=False)
class RecordInfo:
    """What is known of a record class, as `__wide_event__` on it.

    Attributes:
        plan: The emitted fields, as formats see them.
        declared: The declared attributes, in order.
        traits: What the class says about all its fields: style, prefix, dimensions, flags.
        done: The class that an emitted record becomes.
        close_carefully: Closes a record field by field.
        outcomes: Where its outcomes are, its children's too: `outcome`, `handler.outcome`.
    """

    plan: RecordPlan
    declared: tuple[Declared, ...]
    traits: Traits
    done: type
    close_carefully: Callable[..., tuple[tuple[Any, ...], Notes]]
    outcomes: tuple[str, ...]

    @property
    def fields(self) -> tuple[FieldPlan, ...]:
        """The emitted fields in order, children in place."""
        return self.plan.fields


def is_record_class(value: object) -> bool:
    """Tell whether *value* is a record class."""
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
        prefix: str | None = None,
        dimensions: Sequence[Sequence[str]] | None = None,
        high_resolution: bool | None = None,
        log_only: bool | None = None,
    ) -> WideEventMeta:
        """Read the body, check it, and return the compiled class.

        What is not given is taken from the wide event that the class extends.

        Args:
            name: Of the class.
            bases: Of the class, one wide event among them.
            body: Of the class.
            rename: The style of emitted names, one of `metrics.names.STYLES`.
            prefix: Stands before the emitted names of the fields and of children's, in that style.
            dimensions: Sets of emitted names of properties, by which CloudWatch groups the metrics.
            high_resolution: Keep metrics by the second in CloudWatch, unless a field says not to.
            log_only: Make no CloudWatch metrics of numbers, unless a field says to.

        Raises:
            DeclarationError: Something is wrong; the message lists all of it.
        """
        namespace = dict(body)
        if not body["__annotations__"]:
            namespace.pop("__annotations__", None)
        if not any(isinstance(base, WideEventMeta) for base in bases):  # the base itself
            return super().__new__(mcls, name, bases, namespace)
        problems: list[str] = []
        if rename is not None and rename not in STYLES:
            problems.append(
                f"{name}: expected rename to be one of {', '.join(STYLES)}, got {rename!r}."
            )
            rename = None
        caller = sys._getframe(1)  # noqa: SLF001 -- annotations name what the class body sees
        own = declare(name, body, frame=caller, is_record=is_record_class, problems=problems)
        inherited, traits = _inherited(name, bases, problems)
        given: dict[str, Any] = {
            "style": rename,
            "prefix": prefix,
            "dimensions": None if dimensions is None else tuple(tuple(s) for s in dimensions),
            "high_resolution": high_resolution,
            "log_only": log_only,
        }
        traits = replace(traits, **{k: v for k, v in given.items() if v is not None})
        fields = _merged(inherited, own)
        _check(name, bases, fields, own, problems)
        closing = closings(fields, traits)
        plan = RecordPlan(
            name,
            (namespace.get("__doc__") or "").strip(),
            tuple(c.plan for c in closing),
            traits.dimensions,
        )
        problems += problems_of_names(name, plan.fields)
        # Inherited sets too: a subclass may give their fields other names.
        sets = (traits.dimensions or None) if dimensions is None else dimensions
        problems += problems_of_dimensions(name, plan.fields, sets)
        problems += [
            f"{name}.{method}: a record makes and ends itself. Use a classmethod to make one."
            for method in sorted(_OWN_METHODS & namespace.keys())
        ]
        if problems:
            raise _invalid(name, problems)
        slots = _prepare_namespace(namespace, own, inherited)
        cls = super().__new__(mcls, name, bases, {**namespace, "__slots__": slots})
        _compile(cls, plan, fields, closing, traits)
        return cls

    def __init__(  # pyright: ignore[reportInconsistentConstructor]
        cls, name: str, bases: tuple[type, ...], body: Body, /, **options: Any
    ) -> None:
        super().__init__(name, bases, dict(body))


def _invalid(name: str, problems: list[str]) -> DeclarationError:
    listed = "\n  ".join(problems)
    return DeclarationError(f"{name} is not a valid wide event:\n  {listed}")


def _inherited(
    name: str, bases: tuple[type, ...], problems: list[str]
) -> tuple[list[Declared], Traits]:
    fields: list[Declared] = []
    traits = Traits()
    for base in bases:
        info: RecordInfo | None = getattr(base, "__wide_event__", None)
        if info is not None:
            if fields:
                problems.append(f"{name}: a wide event extends one other, not several.")
            fields = list(info.declared)
            traits = info.traits
    return fields, traits


def _merged(inherited: list[Declared], own: list[Declared]) -> tuple[Declared, ...]:
    fields = {field.attribute: field for field in inherited}
    fields.update({field.attribute: field for field in own})
    return tuple(fields.values())


def _check(
    name: str,
    bases: tuple[type, ...],
    fields: tuple[Declared, ...],
    own: list[Declared],
    problems: list[str],
) -> None:
    roots = (c for base in bases for c in base.__mro__ if is_record_class(c))
    root = next(c for c in roots if "__wide_event__" not in vars(c))
    reserved = {attribute for attribute in dir(root) if not attribute.startswith("__")}
    problems += [
        f"{name}.{field.attribute}: the name is taken by the record itself. Use another, and "
        "`name=` for the emitted one."
        for field in own
        if field.attribute in reserved or field.attribute.startswith("_")
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
    traits: Traits,
) -> None:
    target: Any = cls
    target.__init__ = constructor(cls.__name__, fields)
    kind: Any = inert_class(cls)
    inert: Any = kind.__new__(kind)
    done = done_class(cls)
    children = child_paths(fields)
    outcomes = tuple(f.attribute for f in plan.fields if Outcome.OK in (f.labels or ()))
    info = RecordInfo(plan, fields, traits, done, careful_closer(closing), outcomes)
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
        target._parts = {cls: _itself} | {c: attrgetter(path) for c, path in paths.items()}  # noqa: SLF001
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
