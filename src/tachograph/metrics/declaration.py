"""Reading a class body: which attributes are fields, and everything that is wrong with them."""

from __future__ import annotations

import sys
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tachograph.formats.quantities import Quantity
from tachograph.metrics.body import Body
from tachograph.metrics.fields import (
    MISSING,
    GaugeSpec,
    InstrumentSpec,
    LatestSpec,
    ManySpec,
    MetricSpec,
    SlotSpec,
    StopwatchSpec,
    TimerSpec,
    TimestampSpec,
)
from tachograph.metrics.instruments import Counter
from tachograph.metrics.kinds import Kind, kind_of
from tachograph.metrics.units import Unit, nanoseconds_of, text_of

__all__ = ["Declared", "declare"]

Spec = MetricSpec | SlotSpec | InstrumentSpec


@dataclass(frozen=True, slots=True)
class Declared:
    """One attribute of a record class.

    Attributes:
        attribute: Its name.
        spec: How it was declared.
        kind: What its annotation means; only for plain fields.
        child: The record class of a slot.
    """

    attribute: str
    spec: Spec
    kind: Kind | None = None
    child: Any = None


def declare(
    class_name: str,
    body: Body,
    *,
    frame: types.FrameType | None,
    is_record: Any,
    problems: list[str],
) -> list[Declared]:
    """Return the fields that a class body declares, in its order; add to *problems*.

    Args:
        class_name: For messages.
        body: The class body.
        frame: Where the class is defined, to resolve annotations that are text.
        is_record: Tells whether a type is a record class.
        problems: Receives a sentence for each mistake.
    """
    annotations = body.annotations()
    declared = []
    for name in body.order():
        where = f"{class_name}.{name}"
        value = body.get(name, MISSING)
        if name not in annotations:
            if not isinstance(value, InstrumentSpec | MetricSpec | SlotSpec):
                continue
            found = len(problems)
            _check_instrument(where, value, problems)
            if len(problems) == found:
                declared.append(Declared(name, value))
            continue
        annotation = _resolve(annotations[name], body, frame)
        if annotation is None:
            problems.append(f"{where}: cannot resolve the annotation {annotations[name]!r}.")
            continue
        if typing.get_origin(annotation) is typing.ClassVar or annotation is typing.ClassVar:
            continue
        if isinstance(value, InstrumentSpec):
            problems.append(f"{where}: an instrument is assigned, not annotated. Remove `: ...`.")
            continue
        if is_record(annotation) or isinstance(value, SlotSpec):
            _declare_child(where, name, value, annotation, is_record, declared, problems)
            continue
        _declare_plain(where, name, value, annotation, declared, problems)
    return declared


def _resolve(
    annotation: object, namespace: Mapping[str, Any], frame: types.FrameType | None
) -> object | None:
    if not isinstance(annotation, str):
        return annotation
    module = sys.modules.get(namespace.get("__module__", ""))
    globals_ = dict(vars(module)) if module else {}
    if frame is not None:
        globals_ = {**frame.f_globals, **globals_, **frame.f_locals}
    try:
        return typing.cast("object", eval(annotation, globals_, dict(namespace)))
    except Exception:  # noqa: BLE001 -- reported as a problem of the declaration
        return None


def _check_instrument(where: str, value: object, problems: list[str]) -> None:
    match value:
        case MetricSpec() | SlotSpec():
            problems.append(
                f"{where}: a field needs an annotation. Write `name: int = metric(...)`."
            )
        case TimerSpec(unit=unit) | StopwatchSpec(unit=unit):
            if not isinstance(unit, Unit | str) or nanoseconds_of(unit) is None:
                problems.append(
                    f"{where}: expected a unit of time, got {unit!r}. Use `Unit.MILLISECONDS`, "
                    "`Unit.MICROSECONDS` or `Unit.SECONDS`."
                )
        case ManySpec(unit=unit) if not isinstance(unit, Unit | str):
            problems.append(_no_unit(where, unit))
        case GaugeSpec(counter=counter, unit=unit):
            if not isinstance(unit, Unit | str):
                problems.append(_no_unit(where, unit))
            if not isinstance(counter, Counter):
                problems.append(f"{where}: expected a `Counter`, got {counter!r}.")
        case LatestSpec():
            problems += [f"{where}: {problem}" for problem in _problems_of_latest(value)]
        case TimestampSpec(at=at):
            if at not in ("start", "close"):
                problems.append(f"{where}: expected at='start' or at='close', got {at!r}.")
        case _:
            pass


def _problems_of_latest(spec: LatestSpec) -> list[str]:
    if not hasattr(spec.record, "__latest__"):
        expected = "`tachograph.RuntimeMetrics` or `tachograph.ProcessMetrics`"
        return [f"`latest()` expects {expected}, got {spec.record!r}."]
    known = [field.attribute for field in spec.record.__wide_event__.declared]
    shown = f"one of {', '.join(known)}"
    if not spec.fields:
        return [f"`latest()` expects the names of fields, got none. Name at least {shown}."]
    return [
        f"{spec.record.__name__} has no field {name!r}. Use {shown}."
        for name in spec.fields
        if name not in known
    ]


def _declare_child(
    where: str,
    name: str,
    value: object,
    annotation: object,
    is_record: Any,
    declared: list[Declared],
    problems: list[str],
) -> None:
    if not is_record(annotation):
        problems.append(
            f"{where}: `slot()` expects a WideEvent class as annotation, got {annotation!r}."
        )
    elif not isinstance(value, SlotSpec):
        shown = getattr(annotation, "__name__", annotation)
        problems.append(f"{where}: a child record needs `= slot()`: `{name}: {shown} = slot()`.")
    else:
        declared.append(Declared(name, value, child=annotation))


def _declare_plain(
    where: str,
    name: str,
    value: object,
    annotation: object,
    declared: list[Declared],
    problems: list[str],
) -> None:
    spec = value if isinstance(value, MetricSpec) else MetricSpec(value)
    kind = kind_of(annotation)
    if isinstance(kind, str):
        problems.append(f"{where}: {kind}.")
        return
    found = len(problems)
    if spec.default is not MISSING and spec.default_factory is not None:
        problems.append(f"{where}: give either a default or a default_factory, not both.")
    if spec.default is None and not kind.optional:
        problems.append(
            f"{where}: expected a default of type `{kind.python_type}`, got None. "
            f"Use `{name}: {kind.python_type} | None = None`."
        )
    if isinstance(spec.default, list):
        problems.append(f"{where}: a list would be shared. Use `metric(default_factory=list)`.")
    if not isinstance(spec.unit, Unit | str):
        problems.append(_no_unit(where, spec.unit))
        return
    unit = text_of(spec.unit)
    if unit and (kind.kind != "metric" or kind.type == "bool"):
        problems.append(f"{where}: `{kind.python_type}` has no unit. Remove `unit={spec.unit}`.")
    elif kind.type == "timedelta" and unit and nanoseconds_of(unit) is None:
        problems.append(f"{where}: a timedelta needs a unit of time, got {spec.unit}.")
    problems += _problems_of_use(where, spec, kind)
    if isinstance(spec.default, Quantity):
        _check_quantity(where, spec.default, unit, kind, problems)
    elif spec.default is not MISSING and spec.default is not None:
        _check_default(where, name, spec.default, kind, problems)
    if len(problems) == found:
        declared.append(Declared(name, spec, kind))


def _problems_of_use(where: str, spec: MetricSpec, kind: Kind) -> list[str]:
    """Return what is wrong with the options of a plain field for its type."""
    found: list[str] = []
    if (spec.numeric or spec.by_value) and kind.enum is None:
        found.append(f"{where}: `numeric` and `by_value` are for enums, not `{kind.python_type}`.")
    elif spec.numeric and any(not isinstance(m.value, int) for m in kind.enum or ()):
        found.append(f"{where}: `numeric` needs members whose values are int.")
    is_metric = (kind.kind == "metric" and not spec.as_property) or spec.numeric
    if (spec.dimensions or spec.high_resolution or spec.log_only) and not is_metric:
        found.append(
            f"{where}: `dimensions`, `high_resolution` and `log_only` are for metrics; "
            f"`{kind.python_type}` is none here."
        )
    if spec.as_property and kind.type not in ("int", "float", "bool", "decimal"):
        found.append(
            f"{where}: `as_property` is for numbers, `{kind.python_type}` is text already."
        )
    return found


_DEFAULTS: dict[str, tuple[type, ...]] = {
    "bool": (bool,),
    "int": (int,),
    "float": (int, float),
    "str": (str,),
}


def _no_unit(where: str, unit: object) -> str:
    return f"{where}: expected a `Unit` or a text, got {unit!r}."


def _check_quantity(
    where: str, default: Quantity, unit: str | None, kind: Kind, problems: list[str]
) -> None:
    """Check that a default with a unit can be written in the unit that was declared."""
    if kind.type not in ("int", "float", "decimal", "timedelta"):
        problems.append(f"{where}: `{kind.python_type}` takes no default with a unit.")
        return
    try:
        default.into(unit or default.unit)
    except TypeError as error:
        problems.append(f"{where}: {error}. Give a default in the declared unit.")


def _check_default(where: str, name: str, default: object, kind: Kind, problems: list[str]) -> None:
    expected = (kind.enum,) if kind.enum else _DEFAULTS.get(kind.type)
    if kind.to_text is not None or kind.closes or expected is None:
        return
    if not isinstance(default, expected) or (kind.type == "int" and isinstance(default, bool)):
        problems.append(
            f"{where}: expected a default of type `{kind.python_type}`, got {default!r}. "
            f"Use `{name}: {kind.python_type} = ...` with a value of that type."
        )
