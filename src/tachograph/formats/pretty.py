"""Records for a person at a terminal: one line each, names dim, numbers with their unit.

    10:00:00.123 RequestMetrics RequestId=6f1c Operation=SetItem Duration=3.21ms PayloadBytes=5B

Not for machines: numbers are rounded, globals are left out. Colours are ANSI sequences.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tachograph.formats.plan import FieldPlan, Notes, RecordPlan
from tachograph.formats.text import rfc3339
from tachograph.formats.values import NotANumberError, writer_of

__all__ = ["Pretty", "mark_dropped"]

_SHORT_UNITS = {
    "Seconds": "s",
    "Milliseconds": "ms",
    "Microseconds": "µs",
    "Bytes": "B",
    "Kilobytes": "kB",
    "Megabytes": "MB",
    "Gigabytes": "GB",
    "Percent": "%",
}
_MAX_TEXT = 120

_DIM, _BOLD, _RED, _CYAN, _RESET = "\033[2m", "\033[1m", "\033[31m", "\033[36m", "\033[0m"


def mark_dropped(line: bytes, count: int) -> bytes:
    """Return *line* with a remark that *count* lines before it were lost."""
    return line.removesuffix(b"\n") + b"  (%d lines before this one were lost)\n" % count


class Pretty:
    """The format chosen when metrics go to a terminal.

    Args:
        colour: Write ANSI colours.
    """

    name = "pretty"
    mark_dropped = staticmethod(mark_dropped)

    def __init__(self, *, colour: bool = False) -> None:
        self._colour = colour

    def encoder(self, plan: RecordPlan) -> Callable[[int, tuple[Any, ...], Notes | None], bytes]:
        """Return the function that writes closed records of *plan*; it never raises."""
        texts = [(field, _text_of(field)) for field in plan.fields]
        name = self._paint(_BOLD, plan.name)

        def encode(time_ns: int, values: tuple[Any, ...], notes: Notes | None) -> bytes:
            parts = [f"{self._paint(_DIM, rfc3339(time_ns)[11:23])} {name}"]
            for (field, text), value in zip(texts, values, strict=True):
                if value is not None:
                    parts.append(self._field(field, text, value))
            for label, items in (
                (("incomplete", notes.incomplete), ("errors", notes.errors)) if notes else ()
            ):
                if items:
                    parts.append(self._paint(_RED, f"{label}: {'; '.join(items)}"))
            return (" ".join(parts) + "\n").encode(errors="replace")

        return encode

    def _field(self, field: FieldPlan, text: Callable[[Any], str], value: Any) -> str:
        try:
            shown = text(value)
        except NotANumberError:
            shown = "NaN"
        except Exception as error:  # noqa: BLE001 -- a bad value costs its field only
            return self._paint(_RED, f"{field.emitted}: {str(error) or type(error).__name__}")
        if field.kind == "metric":
            shown = self._paint(_CYAN, shown)
        return f"{self._paint(_DIM, field.emitted + '=')}{shown}"

    def _paint(self, colour: str, text: str) -> str:
        return f"{colour}{text}{_RESET}" if self._colour else text


def _text_of(field: FieldPlan) -> Callable[[Any], str]:
    write = writer_of(field)
    unit = _SHORT_UNITS.get(field.unit or "", "" if field.unit is None else f" {field.unit}")

    def text(value: Any) -> str:
        if field.unit_ns is not None and isinstance(value, int):
            value /= field.unit_ns
        if field.type == "float" and isinstance(value, float):
            return f"{value:.4g}{unit}" if abs(value) < 1_000 else f"{value:.0f}{unit}"
        literal = write(value)
        if literal.startswith('"'):
            inner = literal[1:-1]
            inner = inner if len(inner) <= _MAX_TEXT else f"{inner[:_MAX_TEXT]}…"
            return f'"{inner}"' if " " in inner or not inner else inner
        return f"{literal}{unit}"

    return text
