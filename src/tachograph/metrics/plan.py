"""From declared fields to the plan that formats compile and the expressions that close a record."""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from tachograph.formats.json import RESERVED
from tachograph.formats.plan import FieldPlan
from tachograph.metrics.declaration import Declared
from tachograph.metrics.fields import (
    GaugeSpec,
    InstrumentSpec,
    MetricSpec,
    OutcomeSpec,
    SlotSpec,
    StopwatchSpec,
    TimerSpec,
    TimestampSpec,
)
from tachograph.metrics.instruments import Counter, Outcome
from tachograph.metrics.names import join, restyle
from tachograph.metrics.units import Unit

__all__ = ["Closing", "child_paths", "closings", "hidden", "problems_of_names"]


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
    style: str | None,
    *,
    path: str = "",
    inherited: str = "preserve",
    prefixes: tuple[tuple[str, str], ...] = (),
    names: tuple[str, ...] = (),
) -> list[Closing]:
    """Return how each emitted field closes, children in place.

    Args:
        fields: The declared fields of one class.
        style: The class's own rename style, None to take the enclosing record's.
        path: Dotted attributes from the outermost record to this one.
        inherited: The style of the enclosing record.
        prefixes: Child prefixes so far, each with the style of its owner.
        names: Attributes of the outermost record to this one, for the variables.
    """
    effective = style or inherited
    result = []
    for field in fields:
        attribute = f"{path}{field.attribute}"
        if field.child is not None:
            spec = field.spec
            prefix = (
                ()
                if isinstance(spec, SlotSpec) and spec.flatten
                else ((field.attribute, effective),)
            )
            child = field.child.__wide_event__
            result += closings(
                child.declared,
                child.style,
                path=f"{attribute}.",
                inherited=effective,
                prefixes=prefixes + prefix,
                names=(*names, field.attribute),
            )
        elif not isinstance(field.spec, TimestampSpec):
            variable = "_".join(("r", *names))
            result.append(_closing(field, attribute, variable, effective, prefixes))
    return result


def _closing(
    field: Declared,
    attribute: str,
    variable: str,
    style: str,
    prefixes: tuple[tuple[str, str], ...],
) -> Closing:
    spec = field.spec
    exact = getattr(spec, "name", None)
    base = field.attribute if exact is None else exact
    emitted = join(prefixes, base, style, exact=exact is not None)
    if isinstance(spec, MetricSpec):
        return _plain(field, spec, attribute, emitted, variable, style)
    assert isinstance(spec, InstrumentSpec)
    return _instrument(field, spec, attribute, emitted, variable)


def _plain(
    field: Declared, spec: MetricSpec, attribute: str, emitted: str, variable: str, style: str
) -> Closing:
    kind = field.kind
    assert kind is not None
    value = f"{variable}.{field.attribute}"
    names: dict[str, Any] = {}
    source: tuple[str, str, Any] = ("READ_SLOT", field.attribute, None)
    unit, type_ = spec.unit, kind.type
    if type_ == "timedelta":
        unit = Unit.MILLISECONDS if unit is Unit.NONE else unit
        type_ = "float"
        key = f"one_{attribute.replace('.', '_')}"
        one = names[key] = timedelta(microseconds=(unit.nanoseconds or 0) / 1000)
        source = ("READ_CALL", field.attribute, _divided(field.attribute, one))
        value = f"(None if {value} is None else {value} / {key})"
    elif kind.kind == "list":
        # A copy, so that what is appended later is not in this record.
        value = f"(None if {value} is None else list({value}))"
    if field.attribute == "error_type" and kind.optional:
        value = f"({value} if error is None or {value} is not None else qualified_name(error))"
    plan = FieldPlan(
        attribute,
        emitted,
        "property" if spec.as_property else kind.kind,
        type_,
        unit.text,
        kind.optional,
        spec.doc,
        as_property=spec.as_property,
        labels=_labels(kind.enum, style) if kind.enum else None,
        to_text=kind.to_text,
        python_type=kind.python_type,
    )
    return Closing(plan, value, names, source)


def _divided(attribute: str, one: timedelta) -> Callable[[Any], float | None]:
    def value(record: Any) -> float | None:
        found = getattr(record, attribute)
        return None if found is None else found / one

    return value


def _instrument(
    field: Declared, spec: InstrumentSpec, attribute: str, emitted: str, variable: str
) -> Closing:
    state = f"{variable}.{hidden(field.attribute)}"
    match spec:
        case TimerSpec(unit=unit):
            ns = f"ended - {variable}._started_ns if {state} is None else {state}.elapsed_ns(ended)"
            plan = FieldPlan(
                attribute,
                emitted,
                "metric",
                "float",
                unit.text,
                False,
                spec.doc,
                unit_ns=unit.nanoseconds,
            )
            return Closing(plan, ns, {}, ("READ_TIMER", hidden(field.attribute), None))
        case StopwatchSpec(unit=unit):
            plan = FieldPlan(
                attribute,
                emitted,
                "metric",
                "float",
                unit.text,
                True,
                spec.doc,
                unit_ns=unit.nanoseconds,
            )
            elapsed = f"(None if {state} is None else {state}.elapsed_ns(now))"
            return Closing(plan, elapsed, {}, ("READ_STOPWATCH", hidden(field.attribute), None))
        case GaugeSpec(counter=counter, unit=unit):
            key = f"gauge_{attribute.replace('.', '_')}"
            plan = FieldPlan(attribute, emitted, "metric", "int", unit.text, False, spec.doc)
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


def _labels(members: type[enum.Enum], style: str) -> dict[enum.Enum, str]:
    """Return the emitted text of each member: its `label`, or else its name, restyled."""
    return {
        member: getattr(member, "label", None) or restyle(member.name, style) for member in members
    }


def problems_of_names(class_name: str, plans: Sequence[FieldPlan]) -> list[str]:
    """Return a sentence for each emitted name that is empty, reserved or taken."""
    problems = []
    seen: dict[str, str] = {}
    for plan in plans:
        where = f"{class_name}.{plan.attribute}"
        if not plan.emitted:
            problems.append(f"{where}: the emitted name is empty.")
        elif plan.emitted.startswith("_"):
            problems.append(
                f"{where}: emitted names starting with `_` are reserved, got {plan.emitted!r}."
            )
        elif plan.emitted in RESERVED:
            problems.append(f"{where}: {plan.emitted!r} is the name of a head key. Use another.")
        elif plan.emitted in seen:
            problems.append(
                f"{where}: emits {plan.emitted!r} like `{seen[plan.emitted]}`. Rename one of them."
            )
        seen.setdefault(plan.emitted, f"{class_name}.{plan.attribute}")
    return problems
