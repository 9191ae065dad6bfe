"""Lines of one record as one row again.

CloudWatch's limits cut a record into parts, which carry an `_id`: they are joined wherever they
stand. Metrics with dimensions of their own stand on lines of their own without any mark, but side
by side: lines that follow each other are one record when time and properties are equal, and
dimensions and metrics all differ. A part that never comes leaves `_id` and `_parts` on its record.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from tachograph.fleet.rows import Row

__all__ = ["join_parts", "join_siblings"]


def join_parts(rows: Iterable[Row]) -> Iterator[Row]:
    """Yield *rows* with those of one `_id` as one, when its last has come."""
    waiting: dict[str, tuple[Row, set[int]]] = {}
    for row in rows:
        identity, part, parts = (row.trailer.get(name) for name in ("_id", "_part", "_parts"))
        if not isinstance(identity, str) or not isinstance(part, int) or not isinstance(parts, int):
            yield row
            continue
        del row.trailer["_part"]
        whole, have = waiting.setdefault(identity, (row, set()))
        if part in have:
            continue  # delivered twice
        if have:
            _take_in(whole, row)
        have.add(part)
        if len(have) == parts:
            del waiting[identity], whole.trailer["_id"], whole.trailer["_parts"]
            yield whole
    for whole, _ in waiting.values():
        yield whole


def join_siblings(rows: Iterable[Row]) -> Iterator[Row]:
    """Yield *rows* with those that differ by their metrics' dimensions only as one."""
    last: Row | None = None
    for row in rows:
        if last is not None and _are_siblings(last, row):
            _take_in(last, row)
            last.seen += row.seen
            continue
        if last is not None:
            yield last
        last = row
    if last is not None:
        yield last


def _are_siblings(last: Row, row: Row) -> bool:
    # The line without dimensions of its own is a record's last.
    if not last.seen or not last.seen[-1] or row.dimensions in last.seen:
        return False
    if last.time_ms != row.time_ms or last.metrics.keys() & row.metrics.keys():
        return False
    if any(last.loose[name] != row.loose[name] for name in last.loose.keys() & row.loose.keys()):
        return False
    own = last.dimensions.keys() | row.dimensions.keys()
    return _without(last.properties, own) == _without(row.properties, own)


def _without(properties: dict[str, Any], names: Iterable[str]) -> dict[str, Any]:
    left_out = set(names)
    return {name: value for name, value in properties.items() if name not in left_out}


def _take_in(whole: Row, part: Row) -> None:
    for name, observed in part.metrics.items():
        whole.metrics.setdefault(name, []).extend(observed)
    whole.properties |= {k: v for k, v in part.properties.items() if k not in whole.properties}
    whole.loose = part.loose | whole.loose
    whole.units = whole.units | part.units
    for name, value in part.dimensions.items():
        before = whole.dimensions.get(name)
        known = before if isinstance(before, list) else [] if before is None else [before]
        values = list(dict.fromkeys([*known, value]))
        whole.dimensions[name] = values if len(values) > 1 else value
    for name, value in part.trailer.items():
        before = whole.trailer.get(name)
        if isinstance(before, list) and isinstance(value, list):
            whole.trailer[name] = [*before, *(item for item in value if item not in before)]
        elif before is None:
            whole.trailer[name] = value
