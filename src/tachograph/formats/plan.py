"""What a format is given: the plan of a record class and the closed record, both plain data.

`tachograph.metrics` makes plans when a class is defined; a format compiles an encoder from one.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

__all__ = ["Buckets", "Closed", "FieldPlan", "Notes", "RecordPlan", "Summary"]


class Summary(NamedTuple):
    """Many observations of which only these four numbers are known; the value of a `summary`."""

    count: int  # type: ignore[assignment]  # pyright: ignore[reportIncompatibleMethodOverride]
    total: float
    minimum: float
    maximum: float


class Buckets(NamedTuple):
    """Many observations sorted into buckets; the value of a `histogram`.

    Attributes:
        summary: Their exact count, sum, minimum and maximum.
        buckets: A value that stands for each bucket and how many observations fell into it,
            ascending by value.
    """

    summary: Summary
    buckets: tuple[tuple[float, int], ...]

    def quantile(self, q: float) -> float:
        """Return the value below which the part *q* (0 to 1) of the observations lie, by rank."""
        rank = max(1, math.ceil(q * self.summary.count))
        seen = 0
        for value, count in self.buckets:
            seen += count
            if seen >= rank:
                return min(max(value, self.summary.minimum), self.summary.maximum)
        return self.summary.maximum


@dataclass(frozen=True, slots=True)
class FieldPlan:
    """One emitted field.

    Attributes:
        attribute: Where the value comes from, dotted through children: `handler.payload_bytes`.
        emitted: The name on the wire.
        kind: `metric`, `property` or `list`.
        type: `bool int float decimal str enum datetime list distribution summary histogram`, as in
            the schema document. A distribution's value is a tuple of numbers, or `Buckets` when it
            had too many; a summary's a `Summary`; a histogram's `Buckets`.
        unit: CloudWatch's text for the unit, or None.
        optional: Whether the value may be absent.
        doc: The field's documentation.
        as_property: A number that is written as text, because it is an identity.
        labels: For enums: each member with its emitted text.
        to_text: For types that are written as their text (`UUID`, `Path`): how to get it.
        python_type: The annotated type's name, for messages.
        unit_ns: For durations: the value arrives in integer nanoseconds, of which this many make
            one of the unit.
        dimensions: For metrics: (name, value) pairs by which CloudWatch tells this one apart.
        high_resolution: Keep it by the second in CloudWatch.
        log_only: Write the value, make no metric of it.
        suffixed: For summaries, histograms and distributions: the emitted names of their count,
            sum, min, max, p50 and p99, in this order.
    """

    attribute: str
    emitted: str
    kind: str
    type: str
    unit: str | None = None
    optional: bool = False
    doc: str = ""
    as_property: bool = False
    labels: Mapping[Any, str] | None = None
    to_text: Callable[[Any], str] | None = None
    python_type: str = ""
    unit_ns: int | None = None
    dimensions: tuple[tuple[str, str], ...] = ()
    high_resolution: bool = False
    log_only: bool = False
    suffixed: tuple[str, ...] = ()

    def schema(self) -> dict[str, object]:
        """Return the part of the schema document that the digest covers."""
        return {
            "name": self.emitted,
            "kind": self.kind,
            "type": self.type,
            "unit": self.unit,
            "optional": self.optional,
        }


@dataclass(frozen=True, slots=True, eq=False)
class RecordPlan:
    """A record class as formats see it; compared by identity.

    Attributes:
        name: The class's name, emitted as `record`.
        doc: The class's documentation.
        fields: In emitted order, children in place.
        dimensions: Sets of emitted names of properties, by which CloudWatch groups the metrics.
        direct: The native core's plan of the class, where there is one; formats leave it alone.
    """

    name: str
    doc: str
    fields: tuple[FieldPlan, ...]
    dimensions: tuple[tuple[str, ...], ...] = ()
    direct: Any = field(default=None, init=False, repr=False)
    emitted_names: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "emitted_names", frozenset(f.emitted for f in self.fields))

    @property
    def written_names(self) -> frozenset[str]:
        """Every key that a line may have for a field, those with a suffix too."""
        return self.emitted_names.union(*(f.suffixed for f in self.fields))

    @property
    def digest(self) -> str:
        """First 16 hex digits of SHA-256 over the compact JSON of the fields without `doc`."""
        text = json.dumps([f.schema() for f in self.fields], separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:16]


class Notes(NamedTuple):
    """What a line says beyond its fields, for the most part in its trailer.

    Attributes:
        incomplete: What had not ended when the record was emitted: late children, holds, the scope.
        errors: `name: reason` of each value that was left out.
        extra: Keys and values that were added by name, written after the fields.
        rate: The part of all records that the sampler lets through; None without a sampler.
        weight: How many records this one stands for.
    """

    incomplete: tuple[str, ...] = ()
    errors: tuple[str, ...] = ()
    extra: tuple[tuple[str, Any], ...] = ()
    rate: float | None = None
    weight: int = 1


class Closed(NamedTuple):
    """A record after its scope: plain values in the order of the plan's fields, None for absent."""

    plan: RecordPlan
    time_ns: int
    values: tuple[Any, ...]
    notes: Notes | None = None
