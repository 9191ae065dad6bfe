"""Lines of nested JSON, metrique's format, as rows.

{"timestamp":ms,"metrics":{name:{"value":…,"unit":…}},"properties":{…}}
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

from tachograph.fleet.rows import Observed, Row

__all__ = ["row_of"]

ORIGIN = "nested"
"""The view of lines whose class is not known: this format names nothing."""

_COUNTS = ("_dropped", "_part", "_parts")  # numbers that the format writes as texts


def row_of(document: Mapping[str, Any]) -> Row:
    """Return the row of one nested line, the multiplicity of a sampled record taken out again."""
    row = Row(origin=ORIGIN, time_ms=document.get("timestamp"))
    weight = document.get("weight")
    if isinstance(weight, int) and weight > 0:
        row.trailer["_weight"] = weight
    else:
        weight = 1
    for name, metric in _members(document, "metrics"):
        if not isinstance(metric, dict):
            row.properties[name] = metric
            continue
        values = metric["values"] if "values" in metric else [metric.get("value")]
        observed = [
            found
            for value in (values if isinstance(values, list) else [values])
            if (found := _observed(value, weight)) is not None
        ]
        row.metrics[name] = observed
        if isinstance(metric.get("unit"), str):
            row.units[name] = metric["unit"]
    for name, value in _members(document, "properties"):
        if name.startswith("_"):
            row.trailer[name] = _number(value) if name in _COUNTS else value
        else:
            row.properties[name] = value
    return row


def _members(document: Mapping[str, Any], part: str) -> list[tuple[str, Any]]:
    found = document.get(part)
    return list(found.items()) if isinstance(found, dict) else []


def _observed(value: object, weight: int) -> Observed | None:
    if type(value) in (int, float):
        number: Any = value
        return Observed(number, 1, number)
    if not isinstance(value, dict):
        return None
    total, times = value.get("total"), value.get("count")
    if not isinstance(total, int | float) or not isinstance(times, int) or times < 0:
        return None
    count = max(1, times // weight) if times else 0
    if weight > 1:
        whole = isinstance(total, int) and total % weight == 0
        total = total // weight if whole else total / weight
    return Observed(total / count if count else 0, count, total)


def _number(value: object) -> object:
    with contextlib.suppress(ValueError):
        return int(value) if isinstance(value, str) else value
    return value
