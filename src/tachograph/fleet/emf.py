"""Lines of CloudWatch's embedded metric format, as any library writes them, as rows.

Metrics are the members that a directive defines; other numbers were kept out of CloudWatch, or
added by name. Texts before the first number by which all metrics are grouped are dimensions of the
metrics' own; all else is a property.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from tachograph.fleet.rows import Observed, Row

__all__ = ["row_of"]


class _Definitions(NamedTuple):
    """What the directives of a line say: few lines differ in it.

    Attributes:
        namespace: The first.
        units: Of each metric that is defined; None for no unit.
        grouping: Names by which all metrics are grouped, as their own dimensions are.
    """

    namespace: str | None
    units: Mapping[str, str | None]
    grouping: frozenset[str]


def row_of(document: Mapping[str, Any]) -> Row:
    """Return the row of one EMF line, the multiplicity of a sampled record taken out again."""
    head = document["_aws"]
    found = _definitions(json.dumps(head["CloudWatchMetrics"]))
    row = Row(origin=found.namespace or "emf", time_ms=head.get("Timestamp"))
    row.units = {name: unit for name, unit in found.units.items() if unit}
    weight = document.get("_weight")
    weight = weight if isinstance(weight, int) and weight > 0 else 1
    leading = True
    for name, value in document.items():
        if name == "_aws":
            continue
        if name.startswith("_"):
            row.trailer[name] = value
        elif isinstance(value, str):
            own = leading and name in found.grouping
            (row.dimensions if own else row.properties)[name] = value
        elif (observed := _observed(value, weight)) is not None:
            (row.metrics if name in found.units else row.loose)[name] = observed
            leading = False
        else:
            row.properties[name] = value
    row.seen = [row.dimensions.copy()]
    return row


@functools.lru_cache(maxsize=1_024)
def _definitions(text: str) -> _Definitions:
    directives = list(_objects(json.loads(text)))
    named = [d["Namespace"] for d in directives if isinstance(d.get("Namespace"), str)]
    units: dict[str, str | None] = {}
    for directive in directives:
        for definition in _objects(directive.get("Metrics")):
            name, unit = definition.get("Name"), definition.get("Unit")
            if isinstance(name, str):
                units[name] = unit if isinstance(unit, str) and unit != "None" else units.get(name)
    sets = [
        {name for name in names if isinstance(name, str)}
        for directive in directives
        if isinstance(directive.get("Dimensions"), list)
        for names in directive["Dimensions"]
        if isinstance(names, list)
    ]
    grouping = frozenset(set.intersection(*sets)) if sets else frozenset[str]()
    return _Definitions(named[0] if named else None, units, grouping)


def _objects(value: object) -> Iterator[Mapping[str, Any]]:
    if isinstance(value, list):
        yield from (item for item in value if isinstance(item, dict))


def _observed(value: object, weight: int) -> list[Observed] | None:
    kind = type(value)
    if kind is int or kind is float:
        number: Any = value
        return [Observed(number, 1, number)]
    if not isinstance(value, dict) or not {"Values", "Counts"} >= value.keys() >= {"Values"}:
        return None
    values = _numbers(value["Values"])
    counts = _numbers(value["Counts"]) if "Counts" in value else [weight] * len(values)
    if not values or len(values) != len(counts):
        return None
    found = []
    for number, times in zip(values, counts, strict=True):
        # 0 counts stand for a mean of nothing; else each occurred at least once before weighting.
        count = max(1, int(times) // weight) if times else 0
        found.append(Observed(number, count, number * count))
    return found


def _numbers(values: object) -> list[int | float]:
    """Return *values*, if they are a list of numbers, else none."""
    if isinstance(values, list) and all(type(value) in (int, float) for value in values):
        return values
    return []
