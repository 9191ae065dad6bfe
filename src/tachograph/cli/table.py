"""Tables for a terminal: numbers to the right, units in the titles, one column each.

A table that is wider than the terminal is turned: one line per value, one block per row. One whose
last column is prose wraps that column instead.
"""

from __future__ import annotations

import datetime
import decimal
import math
import textwrap
from collections.abc import Sequence
from typing import Any

from tachograph.cli.printable import columns, printable

__all__ = ["cell", "render", "title", "used"]

ABSENT = "-"

MAX_CHARACTERS = 1_000
"""What is shown of one value; all of it is in `--json` and `--csv`."""

MIN_PROSE = 24  # columns; narrower prose is unreadable, so the table is turned instead

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
            return _shortened("[" + ", ".join(cell(item) for item in value) + "]")
        case str():
            return printable(_shortened(value))
    return cell(str(value))


def _shortened(text: str) -> str:
    if len(text) <= MAX_CHARACTERS:
        return text
    return f"{text[:MAX_CHARACTERS]}… ({len(text):,} characters)"


def _number(value: float) -> str:
    if not math.isfinite(value):
        return str(value)
    if value == int(value) and abs(value) < 1e15:
        return str(int(value))
    return f"{value:.1f}" if 1e5 <= abs(value) < 1e15 else f"{value:.6g}"


def render(
    titles: Sequence[str],
    rows: Sequence[Sequence[Any]],
    width: int | None = None,
    *,
    prose: bool = False,
) -> str:
    """Return the table as text with a newline at the end.

    Args:
        titles: One per column.
        rows: Values, shown by `cell`.
        width: Columns of the terminal; None for no limit.
        prose: Whether the last column may be wrapped.
    """
    heads = [printable(head) for head in titles]
    texts = [[cell(value) for value in row] for row in rows]
    widths = [max(map(columns, column)) for column in zip(heads, *texts, strict=True)]
    if width is not None and texts and sum(widths) + 2 * (len(widths) - 1) > width:
        left = width - sum(widths[:-1]) - 2 * (len(widths) - 1)
        if not prose or left < MIN_PROSE:
            return _turned(heads, texts)
        widths[-1] = left
        texts = [line for row in texts for line in _wrapped(row, left)]
    right = [
        all(_is_number(row[i]) for row in rows) and any(row[i] is not None for row in rows)
        for i in range(len(heads))
    ]
    lines = [heads, ["─" * size for size in widths], *texts]
    return "".join(
        "  ".join(
            _padded(text, size, to_right)
            for text, size, to_right in zip(line, widths, right, strict=True)
        ).rstrip()
        + "\n"
        for line in lines
    )


def used(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> tuple[list[str], list[list[str]]]:
    """Return *titles* and *rows* without columns that are empty all the way down."""
    kept = [i for i in range(len(titles)) if any(row[i] for row in rows)] or [0]
    return [titles[i] for i in kept], [[row[i] for i in kept] for row in rows]


def _padded(text: str, size: int, to_right: bool) -> str:
    space = " " * (size - columns(text))
    return space + text if to_right else text + space


def _wrapped(row: Sequence[str], width: int) -> list[list[str]]:
    *before, last = row
    first, *rest = textwrap.wrap(last, width) or [""]
    return [[*before, first], *([*("" for _ in before), line] for line in rest)]


def _is_number(value: object) -> bool:
    if isinstance(value, bool):
        return False
    return value is None or isinstance(value, (int, float, decimal.Decimal))


def _turned(titles: Sequence[str], texts: Sequence[Sequence[str]]) -> str:
    size = max(map(columns, titles))
    blocks = [
        "".join(
            f"{_padded(name, size, to_right=False)}  {text}\n"
            for name, text in zip(titles, row, strict=True)
        )
        for row in texts
    ]
    return "\n".join(blocks)
