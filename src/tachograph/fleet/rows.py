"""A record that was written in another format, and the flat line it would have been.

The aim: the same columns as the flat format gives, as far as the other format tells. What it does
not tell (the least and most of a mean, the order of a distribution) is absent, never made up.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from tachograph.fleet.schema import Declared
from tachograph.formats.observations import MANY
from tachograph.formats.plan import Buckets, Summary

__all__ = ["Observed", "Row", "flat"]

MAX_LIST = 1_000
"""Observations that are listed; of more there are count, sum and percentiles, as when written."""

SUFFIXES = ("count", "sum", "min", "max", "p50", "p99")

Number = int | float


class Observed(NamedTuple):
    """A value that occurred some times, and what all of these sum up to."""

    value: Number
    count: int  # type: ignore[assignment]  # pyright: ignore[reportIncompatibleMethodOverride]
    total: Number


@dataclass(slots=True)
class Row:
    """One line of another format, or several that make one record.

    Attributes:
        origin: The view's name where no schema tells the class.
        time_ms: Since 1970, or whatever stands in its place.
        dimensions: Names and values that stand before the metrics of an EMF line.
        metrics: Each metric's observations.
        loose: Numbers that are no metrics; every line of a record may repeat them.
        properties: Everything else that was recorded, in order.
        trailer: What the line says about itself: `_weight`, `_id` and so on.
        units: By metric.
        seen: The dimensions of each line that is in it, to tell the next record's from this one's.
    """

    origin: str
    time_ms: object
    dimensions: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, list[Observed]] = field(default_factory=dict)
    loose: dict[str, list[Observed]] = field(default_factory=dict)
    properties: dict[str, Any] = field(default_factory=dict)
    trailer: dict[str, Any] = field(default_factory=dict)
    units: dict[str, str] = field(default_factory=dict)
    seen: list[dict[str, Any]] = field(default_factory=list)

    @property
    def names(self) -> frozenset[str]:
        """Every name that a class may have declared."""
        return frozenset((*self.metrics, *self.loose, *self.properties, *self.dimensions))


def flat(row: Row, record: str, fields: Mapping[str, Declared]) -> dict[str, Any]:
    """Return *row* as the flat format has it.

    Args:
        row: The record.
        record: The name of its class.
        fields: The class's declared fields; none where they are not known.
    """
    line: dict[str, Any] = {"timestamp": row.time_ms, "record": record}
    line |= row.dimensions | row.properties
    for numbers in (row.metrics, row.loose):
        for name, observed in numbers.items():
            declared = fields.get(name)
            if len(observed) == 1 and observed[0].count == 1 and not _is_many(declared):
                value = observed[0].value
                line[name] = bool(value) if declared and declared.type == "bool" else value
            elif observed:
                line |= _members(name, observed, declared)
    return line | row.trailer


def _is_many(declared: Declared | None) -> bool:
    return declared is not None and declared.type in MANY


def _members(
    name: str, observed: Sequence[Observed], declared: Declared | None
) -> dict[str, object]:
    parts = (declared.parts if declared else ()) or tuple(f"{name}_{s}" for s in SUFFIXES)
    count = sum(one.count for one in observed)
    kind = declared.type if declared else ""
    if kind == "summary":
        return {parts[0]: count, parts[1]: sum(one.total for one in observed)}
    if kind == "histogram" or count > MAX_LIST:
        return dict(zip(parts, _statistics(observed, count), strict=False))
    return {name: [one.value for one in observed for _ in range(one.count)]}


def _statistics(observed: Sequence[Observed], count: int) -> tuple[Number, ...]:
    if not count:
        return (0, 0)
    ascending = sorted(observed)
    least, most = ascending[0].value, ascending[-1].value
    total = sum(one.total for one in observed)
    buckets = Buckets(
        Summary(count, total, least, most), tuple((one.value, one.count) for one in ascending)
    )
    return count, total, least, most, buckets.quantile(0.5), buckets.quantile(0.99)
