"""From declared fields to the plan that formats compile and the expressions that close a record."""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from tachograph.formats.plan import FieldPlan
from tachograph.formats.quantities import Quantity
from tachograph.metrics.declaration import Declared
from tachograph.metrics.distributions import Distribution, Histogram, Mean
from tachograph.metrics.fields import (
    GaugeSpec,
    InstrumentSpec,
    LatestSpec,
    ManySpec,
    MetricSpec,
    OutcomeSpec,
    SlotSpec,
    StopwatchSpec,
    TimerSpec,
    TimestampSpec,
)
from tachograph.metrics.instruments import Counter, Outcome
from tachograph.metrics.names import join, restyle, suffixed
from tachograph.metrics.units import Unit, nanoseconds_of, text_of

__all__ = [
    "Closing",
    "PartlyError",
    "Traits",
    "child_paths",
    "closings",
    "hidden",
]


class PartlyError(TypeError):
    """A field could be read in part.

    Args:
        reason: What is wrong with the rest.
        value: What could be read; None if nothing.
    """

    def __init__(self, reason: str, value: object) -> None:
        super().__init__(reason)
        self.value = value


def hidden(attribute: str) -> str:
    """Return the name of the slot in which an instrument keeps its state."""
    return f"_{attribute}_state"


@dataclass(frozen=True, slots=True)
class Closing:
    """How one emitted field gets its plain value.

    Attributes:
        plan: The field as formats see it.
        expression: Python over `r` (the record), `r_child`… (its children by their path), `now` and
            `ended` (monotonic ns now and at the end of the scope), `error` (the scope's exception
            or None) and `names`.
        names: What the expression refers to.
        source: For the native core, how the value is read: its `READ_` name, the attribute of the
            slot, and the counter, member or function that belongs to it.
    """

    plan: FieldPlan
    expression: str
    names: dict[str, Any]
    source: tuple[str, str, Any] = ("READ_SLOT", "", None)


@dataclass(frozen=True, slots=True)
class Traits:
    """What a record class says about all its fields.

    Attributes:
        style: The rename style of its fields, None to take the enclosing record's.
        prefix: What stands before the emitted names of its fields and of its children's.
        dimensions: Sets of emitted names by which CloudWatch groups its metrics.
        high_resolution: Whether its metrics are kept by the second; None: unsaid.
        log_only: Whether its metrics are values only; None: unsaid.
    """

    style: str | None = None
    prefix: str = ""
    dimensions: tuple[tuple[str, ...], ...] = ()
    high_resolution: bool | None = None
    log_only: bool | None = None


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a field stands: the style and flags that hold there, and the prefixes before it."""

    style: str
    prefixes: tuple[tuple[str, str], ...]
    exact_prefixes: tuple[tuple[str, str], ...]
    high_resolution: bool
    log_only: bool


def child_paths(fields: Sequence[Declared], path: str = "self") -> list[tuple[str, str]]:
    """Return the children below a record as (path of the parent, attribute), parents first."""
    paths = []
    for field in fields:
        if field.child is not None:
            paths.append((path, field.attribute))
            paths.extend(
                child_paths(field.child.__wide_event__.declared, f"{path}.{field.attribute}")
            )
    return paths


def closings(
    fields: Sequence[Declared],
    traits: Traits,
    *,
    path: str = "",
    inherited: str = "preserve",
    prefixes: tuple[tuple[str, str], ...] = (),
    site: tuple[bool | None, bool | None] = (None, None),
    names: tuple[str, ...] = (),
) -> list[Closing]:
    """Return how each emitted field closes, children in place.

    Args:
        fields: The declared fields of one class.
        traits: What the class says about all of them.
        path: Dotted attributes from the outermost record to this one.
        inherited: The style of the enclosing record.
        prefixes: Prefixes so far, each with the style of its owner.
        site: What the place of use says: high resolution, log only.
        names: Attributes of the outermost record to this one, for the variables.
    """
    effective = traits.style or inherited
    # The class's own prefix covers its fields and its children's, but not a field's exact name.
    covering = (*prefixes, (traits.prefix, effective)) if traits.prefix else prefixes
    flags = [
        said if said is not None else bool(at)
        for said, at in zip((traits.high_resolution, traits.log_only), site, strict=True)
    ]
    place = _Place(effective, covering, prefixes, *flags)
    result = []
    for field in fields:
        attribute = f"{path}{field.attribute}"
        if field.child is not None:
            spec = field.spec
            assert isinstance(spec, SlotSpec)
            text = spec.prefix or ("" if spec.flatten else field.attribute)
            child = field.child.__wide_event__
            said = (spec.high_resolution, spec.log_only)
            result += closings(
                child.declared,
                child.traits,
                path=f"{attribute}.",
                inherited=effective,
                prefixes=(*covering, (text, effective)) if text else covering,
                site=tuple(s if s is not None else f for s, f in zip(said, flags, strict=True)),  # type: ignore[arg-type]
                names=(*names, field.attribute),
            )
        elif isinstance(field.spec, LatestSpec):
            result += _latest(field.spec, path, place)
        elif not isinstance(field.spec, TimestampSpec):
            variable = "_".join(("r", *names))
            result += _closings_of(field, attribute, variable, place)
    return result


def _latest(spec: LatestSpec, path: str, place: _Place) -> list[Closing]:
    if not hasattr(spec.record, "__latest__"):  # told by the declaration
        return []
    known = {plan.attribute: plan for plan in spec.record.__wide_event__.fields}
    prefixes = place.prefixes
    if spec.prefix:
        prefixes = (*prefixes, (spec.prefix, place.style))
    found = []
    for name in spec.fields:
        if name not in known:
            continue
        emitted = join(prefixes, name, place.style, exact=False)
        read = spec.record.__latest__.reader(name)
        key = f"latest_{spec.record.__name__}_{name}"
        plan = replace(known[name], attribute=f"{path}{name}", emitted=emitted, optional=True)
        closing = Closing(plan, f"{key}(None)", {key: read}, ("READ_CALL", name, read))
        found.append(_flagged(closing, spec, place))
    return found


def _closings_of(field: Declared, attribute: str, variable: str, place: _Place) -> list[Closing]:
    spec = field.spec
    exact = getattr(spec, "name", None)
    base = field.attribute if exact is None else exact
    prefixes = place.prefixes if exact is None else place.exact_prefixes
    emitted = join(prefixes, base, place.style, exact=exact is not None)
    if isinstance(spec, MetricSpec):
        return [
            _flagged(_plain(field, spec, attribute, emitted, variable, place.style), spec, place)
        ]
    assert isinstance(spec, InstrumentSpec)
    found = [
        _flagged(_instrument(field, spec, attribute, emitted, variable, place.style), spec, place)
    ]
    if isinstance(spec, StopwatchSpec) and spec.count:
        found.append(
            _count(field, spec, attribute, suffixed(emitted, "count", place.style), variable)
        )
    return found


def _flagged(closing: Closing, spec: MetricSpec | InstrumentSpec, place: _Place) -> Closing:
    """Return *closing* with what its field, its class or its place of use say of CloudWatch."""
    if closing.plan.kind != "metric":
        return closing
    high, log = spec.high_resolution, spec.log_only
    plan = replace(
        closing.plan,
        high_resolution=place.high_resolution if high is None else high,
        log_only=place.log_only if log is None else log,
        dimensions=tuple(sorted((spec.dimensions or {}).items())),
    )
    return replace(closing, plan=plan)


def _count(
    field: Declared, spec: StopwatchSpec, attribute: str, emitted: str, variable: str
) -> Closing:
    state = f"{variable}.{hidden(field.attribute)}"
    plan = FieldPlan(attribute, emitted, "metric", "int", None, True, spec.doc)
    value = f"(None if {state} is None else {state}.spans or None)"
    source = ("READ_CALL", field.attribute, _spans(hidden(field.attribute)))
    return Closing(plan, value, {}, source)


def _spans(state: str) -> Callable[[Any], int | None]:
    def value(record: Any) -> int | None:
        stopwatch = getattr(record, state)
        return None if stopwatch is None else stopwatch.spans or None

    return value


def _plain(
    field: Declared, spec: MetricSpec, attribute: str, emitted: str, variable: str, style: str
) -> Closing:
    kind = field.kind
    assert kind is not None
    value = f"{variable}.{field.attribute}"
    names: dict[str, Any] = {}
    source: tuple[str, str, Any] = ("READ_SLOT", field.attribute, None)
    unit, type_ = spec.unit, kind.type
    if not text_of(unit) and isinstance(spec.default, Quantity):
        unit = spec.default.unit
    if type_ == "timedelta":
        unit = unit if text_of(unit) else Unit.MILLISECONDS
        type_ = "float"
        own = attribute.replace(".", "_")
        key = f"one_{own}"
        one = names[key] = timedelta(microseconds=(nanoseconds_of(unit) or 0) / 1000)
        divided = names[f"divided_{own}"] = _divided(text_of(unit))
        source = ("READ_CALL", field.attribute, _divided_at(field.attribute, divided, one))
        value = f"(None if {value} is None else divided_{own}({value}, {key}))"
    elif kind.closes:
        source = ("READ_CALL", field.attribute, _own_close(field.attribute))
        value = f"(None if {value} is None else {value}.__tachograph_close__())"
    elif kind.kind == "list":
        # A copy, so that what is appended later is not in this record.
        names["copied"] = _copied
        value = f"(None if {value} is None else copied({value}))"
    elif kind.enum is not None and spec.numeric:
        source = ("READ_CALL", field.attribute, _member_value(field.attribute))
        value = f"(None if {value} is None else {value}.value)"
    if field.attribute == "error_type" and kind.optional:
        value = f"({value} if error is None or {value} is not None else qualified_name(error))"
    plan = FieldPlan(
        attribute,
        emitted,
        "property" if spec.as_property else "metric" if spec.numeric else kind.kind,
        "int" if spec.numeric else type_,
        text_of(unit),
        kind.optional,
        spec.doc,
        as_property=spec.as_property,
        labels=_labels(kind.enum, style, spec) if kind.enum and not spec.numeric else None,
        to_text=kind.to_text,
        python_type=kind.python_type,
    )
    return Closing(plan, value, names, source)


def _own_close(attribute: str) -> Callable[[Any], Any]:
    def value(record: Any) -> Any:
        found = getattr(record, attribute)
        return None if found is None else found.__tachograph_close__()

    return value


def _copied(value: Any) -> Any:
    """Return a list of the elements; a text is none, and is left for the writer to refuse."""
    return value if isinstance(value, str | bytes) else list(value)


def _divided(unit: str | None) -> Callable[[Any, timedelta], Any]:
    def divided(value: Any, one: timedelta) -> Any:
        return value.into(unit) if value.__class__ is Quantity else value / one

    return divided


def _divided_at(
    attribute: str, divided: Callable[[Any, timedelta], Any], one: timedelta
) -> Callable[[Any], Any]:
    def value(record: Any) -> Any:
        found = getattr(record, attribute)
        return None if found is None else divided(found, one)

    return value


_MANY: dict[type, str] = {
    Distribution: "distribution",
    Mean: "summary",
    Histogram: "histogram",
}
_SUFFIXES = ("count", "sum", "min", "max", "p50", "p99")


def _closed(many: Distribution | Mean | Histogram) -> object:
    """Return the plain value.

    Raises:
        PartlyError: Something was added that is no number of the field's unit.
    """
    value = many.close()
    many.end()
    if many.rejected:
        raise PartlyError("; ".join(many.rejected), value)
    return value


def _closed_at(state: str) -> Callable[[Any], object]:
    def value(record: Any) -> object:
        many = getattr(record, state)
        return None if many is None else _closed(many)

    return value


def _instrument(
    field: Declared,
    spec: InstrumentSpec,
    attribute: str,
    emitted: str,
    variable: str,
    style: str,
) -> Closing:
    state = f"{variable}.{hidden(field.attribute)}"
    source: tuple[str, str, Any]
    match spec:
        case TimerSpec(unit=unit):
            ns = f"ended - {variable}._started_ns if {state} is None else {state}.elapsed_ns(ended)"
            plan = FieldPlan(
                attribute,
                emitted,
                "metric",
                "float",
                text_of(unit),
                False,
                spec.doc,
                unit_ns=nanoseconds_of(unit),
            )
            return Closing(plan, ns, {}, ("READ_TIMER", hidden(field.attribute), None))
        case StopwatchSpec(unit=unit):
            plan = FieldPlan(
                attribute,
                emitted,
                "metric",
                "float",
                text_of(unit),
                True,
                spec.doc,
                unit_ns=nanoseconds_of(unit),
            )
            elapsed = f"(None if {state} is None else {state}.close_ns(now))"
            return Closing(plan, elapsed, {}, ("READ_STOPWATCH", hidden(field.attribute), None))
        case ManySpec(make=make, unit=unit):
            kind = _MANY[make]
            plan = FieldPlan(
                attribute,
                emitted,
                "metric",
                kind,
                text_of(unit),
                True,
                spec.doc,
                suffixed=tuple(suffixed(emitted, suffix, style) for suffix in _SUFFIXES),
            )
            value = f"(None if {state} is None else closed({state}))"
            read = _closed_at(hidden(field.attribute))
            source = ("READ_CALL", field.attribute, read)
            return Closing(plan, value, {"closed": _closed}, source)
        case GaugeSpec(counter=counter, unit=unit):
            key = f"gauge_{attribute.replace('.', '_')}"
            plan = FieldPlan(attribute, emitted, "metric", "int", text_of(unit), False, spec.doc)
            assert isinstance(counter, Counter)
            return Closing(plan, f"{key}.value", {key: counter}, ("READ_GAUGE", "", counter))
        case OutcomeSpec():
            labels = {member: member.value for member in Outcome}
            plan = FieldPlan(
                attribute, emitted, "property", "enum", None, False, spec.doc, labels=labels
            )
            value = f"({state} or (OK if error is None else outcome_of(error)))"
            source = ("READ_OUTCOME", hidden(field.attribute), Outcome.OK)
            return Closing(plan, value, {"OK": Outcome.OK}, source)
        case _:
            raise AssertionError(spec)


def _member_value(attribute: str) -> Callable[[Any], Any]:
    def value(record: Any) -> Any:
        found = getattr(record, attribute)
        return None if found is None else found.value

    return value


def _labels(members: type[enum.Enum], style: str, spec: MetricSpec) -> dict[enum.Enum, str]:
    """Return the emitted text of each member: its `label`, or else its name, restyled."""
    if spec.by_value:
        return {member: str(member.value) for member in members}
    return {
        member: getattr(member, "label", None) or restyle(member.name, style) for member in members
    }
