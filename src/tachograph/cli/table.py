"""Tables for a terminal: numbers to the right, units in the titles, one column each.

A table that is wider than the terminal is turned: one line per value, one block per row.
"""

from __future__ import annotations

import datetime
import decimal
import math
from collections.abc import Sequence
from typing import Any

__all__ = ["cell", "render", "title"]

ABSENT = "-"

_SHORT = {
    "Microseconds": "µs",
    "Milliseconds": "ms",
    "Seconds": "s",
    "Percent": "%",
    "Bytes": "B",
    "Kilobytes": "kB",
    "Megabytes": "MB",
    "Gigabytes": "GB",
    "Bytes/Second": "B/s",
    "Count/Second": "1/s",
    "Count": "",
}


def title(name: str, unit: str | None) -> str:
    """Return a column's title: `Duration (ms)`."""
    short = _SHORT.get(unit, unit) if unit else ""
    return f"{name} ({short})" if short else name


def cell(value: object) -> str:
    """Return *value* for a person: six digits of a float, milliseconds of a time, `-` for none."""
    match value:
        case None:
            return ABSENT
        case bool():
            return "true" if value else "false"
        case float() | decimal.Decimal():
            return _number(float(value))
        case datetime.datetime():
            moment = value.astimezone(datetime.UTC).replace(tzinfo=None) if value.tzinfo else value
            return moment.isoformat(sep=" ", timespec="milliseconds") + "Z"
        case list():
            return "[" + ", ".join(cell(item) for item in value) + "]"
        case str():
            # What a record holds came from outside: it must not steer the terminal.
            return "".join(c if c.isprintable() else _escaped(c) for c in value)
    return cell(str(value))


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


def _number(value: float) -> str:
    if not math.isfinite(value):
        return str(value)
    if value == int(value) and abs(value) < 1e15:
        return str(int(value))
    return f"{value:.1f}" if 1e5 <= abs(value) < 1e15 else f"{value:.6g}"


def render(titles: Sequence[str], rows: Sequence[Sequence[Any]], width: int | None = None) -> str:
    """Return the table as text with a newline at the end.

    Args:
        titles: One per column.
        rows: Values, shown by `cell`.
        width: Columns of the terminal; None for no limit.
    """
    texts = [[cell(value) for value in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(titles, *texts, strict=True)]
    if width is not None and texts and sum(widths) + 2 * (len(widths) - 1) > width:
        return _turned(titles, texts)
    right = [
        all(_is_number(row[i]) for row in rows) and any(row[i] is not None for row in rows)
        for i in range(len(titles))
    ]
    lines = [list(titles), ["─" * size for size in widths], *texts]
    return "".join(
        "  ".join(
            text.rjust(size) if to_right else text.ljust(size)
            for text, size, to_right in zip(line, widths, right, strict=True)
        ).rstrip()
        + "\n"
        for line in lines
    )


def _is_number(value: object) -> bool:
    if isinstance(value, bool):
        return False
    return value is None or isinstance(value, (int, float, decimal.Decimal))


def _turned(titles: Sequence[str], texts: Sequence[Sequence[str]]) -> str:
    size = max(map(len, titles))
    blocks = [
        "".join(f"{name:<{size}}  {text}\n" for name, text in zip(titles, row, strict=True))
        for row in texts
    ]
    return "\n".join(blocks)
