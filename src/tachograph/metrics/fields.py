"""How a field is declared: the specifications that the class compiler reads.

The public functions return what a type checker should see at the place of use (`timer()` is a
`Timer`), and at run time a specification that the class replaces by a slot or a descriptor.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, TypeVar, cast, overload

from tachograph.metrics.distributions import Distribution, Histogram, Mean
from tachograph.metrics.instruments import Counter, Outcome, Stopwatch, Timer
from tachograph.metrics.units import Unit

__all__ = [
    "MISSING",
    "GaugeSpec",
    "InstrumentSpec",
    "LatestSpec",
    "ManySpec",
    "MetricSpec",
    "OutcomeSpec",
    "SlotSpec",
    "StopwatchSpec",
    "TimerSpec",
    "TimestampSpec",
    "distribution",
    "gauge",
    "histogram",
    "mean",
    "metric",
    "outcome",
    "slot",
    "stopwatch",
    "timer",
    "timestamp",
]


class _Missing:
    """No default was given; `None` is a default like any other."""

    def __repr__(self) -> str:
        return "MISSING"


MISSING = _Missing()


_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class MetricSpec:
    """A plain field: `name: int` or `name: int = metric(...)`."""

    default: Any = MISSING
    default_factory: Callable[[], Any] | None = None
    unit: Unit | str = Unit.NONE
    name: str | None = None
    as_property: bool = False
    doc: str = ""
    numeric: bool = False
    by_value: bool = False
    dimensions: Mapping[str, str] | None = None
    high_resolution: bool | None = None
    log_only: bool | None = None


@dataclass(frozen=True, slots=True)
class SlotSpec:
    """A child record whose fields stand in place of this one."""

    flatten: bool = True
    prefix: str | None = None
    high_resolution: bool | None = None
    log_only: bool | None = None


@dataclass(frozen=True, slots=True)
class InstrumentSpec:
    """What every instrument may be told."""

    name: str | None = None
    doc: str = ""
    high_resolution: bool | None = None
    log_only: bool | None = None
    dimensions: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TimerSpec(InstrumentSpec):
    """A timer that runs from the record's start."""

    unit: Unit = Unit.MILLISECONDS


@dataclass(frozen=True, slots=True, kw_only=True)
class StopwatchSpec(InstrumentSpec):
    """A stopwatch, absent when it was never started."""

    unit: Unit = Unit.MILLISECONDS
    count: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ManySpec(InstrumentSpec):
    """Many observations: a `Distribution`, `Mean` or `Histogram`, absent when there were none."""

    make: type[Distribution | Mean | Histogram] = Distribution
    unit: Unit | str = Unit.NONE


@dataclass(frozen=True, slots=True, kw_only=True)
class GaugeSpec(InstrumentSpec):
    """A shared counter, raised for the life of the record, read when it closes."""

    counter: Counter | None = None
    unit: Unit | str = Unit.NONE


@dataclass(frozen=True, slots=True, kw_only=True)
class LatestSpec(InstrumentSpec):
    """Fields of the latest sample of another record, read when this one closes; see `latest`."""

    record: Any = None
    fields: tuple[str, ...] = ()
    prefix: str | None = None


@dataclass(frozen=True, slots=True)
class OutcomeSpec(InstrumentSpec):
    """How the scope ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TimestampSpec(InstrumentSpec):
    """The record's own time, taken at its start or at its close."""

    at: str = "start"


# Type checkers find a default only by its keyword. A positional one therefore comes with
# `init=False`: the field need not be passed, and under a checker cannot be; with `default=` it can.
@overload
def metric(
    default: _T,
    /,
    *,
    unit: Unit | str = ...,
    name: str | None = ...,
    as_property: bool = ...,
    numeric: bool = ...,
    by_value: bool = ...,
    dimensions: Mapping[str, str] | None = ...,
    high_resolution: bool | None = ...,
    log_only: bool | None = ...,
    doc: str = ...,
    init: Literal[False] = False,
) -> _T: ...
@overload
def metric(
    *,
    default: _T,
    unit: Unit | str = ...,
    name: str | None = ...,
    as_property: bool = ...,
    numeric: bool = ...,
    by_value: bool = ...,
    dimensions: Mapping[str, str] | None = ...,
    high_resolution: bool | None = ...,
    log_only: bool | None = ...,
    doc: str = ...,
) -> _T: ...
@overload
def metric(
    *,
    default_factory: Callable[[], _T],
    unit: Unit | str = ...,
    name: str | None = ...,
    doc: str = ...,
) -> _T: ...
@overload
def metric(
    *,
    unit: Unit | str = ...,
    name: str | None = ...,
    as_property: bool = ...,
    numeric: bool = ...,
    by_value: bool = ...,
    dimensions: Mapping[str, str] | None = ...,
    high_resolution: bool | None = ...,
    log_only: bool | None = ...,
    doc: str = ...,
) -> Any: ...
def metric(
    default: Any = MISSING,
    *,
    default_factory: Callable[[], Any] | None = None,
    unit: Unit | str = Unit.NONE,
    name: str | None = None,
    as_property: bool = False,
    numeric: bool = False,
    by_value: bool = False,
    dimensions: Mapping[str, str] | None = None,
    high_resolution: bool | None = None,
    log_only: bool | None = None,
    doc: str = "",
    init: Literal[False] = False,  # noqa: ARG001 -- for type checkers
) -> Any:
    """Declare more about an annotated field than its type and default.

    Args:
        default: The value a new record starts with; without one the field is required. Give it by
            its keyword if the constructor is to take the field under a type checker.
        default_factory: Called for each new record; for lists.
        unit: The unit of the numbers that will be assigned, a `Unit` or a text of your own; for
            numbers only. A quantity (`Unit.KILOBYTES(2)`) is converted to it.
        name: The exact emitted name, never renamed nor given the class's prefix.
        as_property: Write a number as text, because it is an identity: a status code.
        numeric: Write an enum as the number that its member's value is, a metric.
        by_value: Write an enum as its member's value instead of its name.
        dimensions: Names and values by which CloudWatch tells this metric apart.
        high_resolution: Keep the metric by the second in CloudWatch; None: as the class says.
        log_only: Write the value, make no CloudWatch metric of it; None: as the class says.
        doc: What the field means, for the schema.
        init: Of no effect; for type checkers.
    """
    return MetricSpec(
        default,
        default_factory,
        unit,
        name,
        as_property,
        doc,
        numeric,
        by_value,
        dimensions,
        high_resolution,
        log_only,
    )


def slot(
    *,
    flatten: bool = True,
    prefix: str | None = None,
    high_resolution: bool | None = None,
    log_only: bool | None = None,
    init: Literal[False] = False,  # noqa: ARG001 -- for type checkers
) -> Any:
    """Declare a child record that other code fills; its fields stand in place of this one.

    Args:
        flatten: True gives the child's fields no prefix; False prefixes them with the attribute's
            name.
        prefix: What to put before the child's fields, in the style of this record.
        high_resolution: For the child's metrics, where neither they nor their class say.
        log_only: For the child's metrics, where neither they nor their class say.
        init: Of no effect; for type checkers, to which a child is no argument of the constructor.
    """
    return SlotSpec(flatten and prefix is None, prefix, high_resolution, log_only)


def timer(
    *,
    unit: Unit = Unit.MILLISECONDS,
    name: str | None = None,
    dimensions: Mapping[str, str] | None = None,
    high_resolution: bool | None = None,
    log_only: bool | None = None,
    doc: str = "",
) -> Timer:
    """Measure from the record's start to `stop()` or its end, in *unit*, a unit of time."""
    return cast("Timer", TimerSpec(name, doc, high_resolution, log_only, dimensions, unit=unit))


def stopwatch(
    *,
    unit: Unit = Unit.MILLISECONDS,
    count: bool = False,
    name: str | None = None,
    dimensions: Mapping[str, str] | None = None,
    high_resolution: bool | None = None,
    log_only: bool | None = None,
    doc: str = "",
) -> Stopwatch:
    """Measure the spans that are wrapped in `with`, summed, in *unit*, a unit of time.

    With *count* their number is written too, as `<name>_count`.
    """
    spec = StopwatchSpec(name, doc, high_resolution, log_only, dimensions, unit=unit, count=count)
    return cast("Stopwatch", spec)


def gauge(
    counter: Counter,
    *,
    unit: Unit | str = Unit.NONE,
    name: str | None = None,
    high_resolution: bool | None = None,
    log_only: bool | None = None,
    doc: str = "",
) -> int:
    """Raise *counter* while a record is open and write what it shows when the record closes.

    The record's own unit is included, so a lone request shows 1. Reading the attribute gives the
    counter's value now.
    """
    spec = GaugeSpec(name, doc, high_resolution, log_only, counter=counter, unit=unit)
    return cast("int", spec)


def distribution(
    *,
    unit: Unit | str = Unit.NONE,
    name: str | None = None,
    dimensions: Mapping[str, str] | None = None,
    high_resolution: bool | None = None,
    log_only: bool | None = None,
    doc: str = "",
) -> Distribution:
    """Keep every number that is added, in *unit*; for what happens some times in a record."""
    many = ManySpec(name, doc, high_resolution, log_only, dimensions, make=Distribution, unit=unit)
    return cast("Distribution", many)


def mean(
    *,
    unit: Unit | str = Unit.NONE,
    name: str | None = None,
    dimensions: Mapping[str, str] | None = None,
    high_resolution: bool | None = None,
    log_only: bool | None = None,
    doc: str = "",
) -> Mean:
    """Keep count, sum, least and most of the numbers that are added, in *unit*."""
    many = ManySpec(name, doc, high_resolution, log_only, dimensions, make=Mean, unit=unit)
    return cast("Mean", many)


def histogram(
    *,
    unit: Unit | str = Unit.NONE,
    name: str | None = None,
    dimensions: Mapping[str, str] | None = None,
    high_resolution: bool | None = None,
    log_only: bool | None = None,
    doc: str = "",
) -> Histogram:
    """Sort the numbers that are added, in *unit*, into buckets; percentiles within one per cent."""
    many = ManySpec(name, doc, high_resolution, log_only, dimensions, make=Histogram, unit=unit)
    return cast("Histogram", many)


def outcome(*, name: str | None = None, doc: str = "") -> Outcome:
    """Write how the scope ended: Ok, Error, Cancelled or Exit; an assigned `Outcome` wins."""
    return cast("Outcome", OutcomeSpec(name, doc))


def timestamp(*, at: str = "start", doc: str = "") -> datetime:
    """Choose the moment that becomes the record's time: its `start` (as without it) or `close`."""
    return cast("datetime", TimestampSpec(None, doc, at=at))
