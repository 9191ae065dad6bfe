"""Nested JSON, as metrique's JSON formatter writes it: for fleets that are mixed.

    {"timestamp":ms,"metrics":{…},"properties":{…}}

Each metric is an object with its value or values and its unit. Dimensions and flags have no effect.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tachograph._base.ratelimit import warn_once
from tachograph.formats.careful import (
    Piece,
    Tally,
    extra_pieces,
    fit,
    is_excused,
    pieces_of,
    trailer,
)
from tachograph.formats.json import mark_dropped
from tachograph.formats.observations import MANY, nested_value
from tachograph.formats.plan import FieldPlan, Notes, RecordPlan
from tachograph.formats.text import quote
from tachograph.formats.values import NotANumberError, text_of, writer_of

__all__ = ["NestedJson"]


class NestedJson:
    """Lines of nested JSON.

    Args:
        globals: Properties written on every record before its own, in this order.
        max_line: The longest line in bytes, newline included.
    """

    name = "nested"
    mark_dropped = staticmethod(mark_dropped)

    def __init__(
        self, globals: Mapping[str, object] | None = None, *, max_line: int = 262_144
    ) -> None:
        self.globals = dict(globals or {})
        """Properties written on every record."""
        self._max_line = max_line
        self.tally = Tally()
        """Counts of values that could not be written."""

    def encoder(self, plan: RecordPlan) -> Callable[[int, tuple[Any, ...], Notes | None], bytes]:
        """Return the function that writes closed records of *plan* as one line; never raises."""
        tally, max_line = self.tally, self._max_line
        metrics = [(i, f, writer_of(f)) for i, f in enumerate(plan.fields) if f.kind == "metric"]
        properties = [
            (i, (f, quote(f.emitted), writer_of(f)))
            for i, f in enumerate(plan.fields)
            if f.kind != "metric"
        ]
        writers = [writer for _, writer in properties]
        everywhere = self._global_pieces(plan)
        taken = plan.written_names | self.globals.keys()

        def encode(time_ns: int, values: tuple[Any, ...], notes: Notes | None) -> bytes:
            notes = notes or Notes()
            errors, truncated = list(notes.errors), list[str]()
            head = f'{{"timestamp":{max(0, time_ns // 1_000_000)}'
            measured = _measured(metrics, values, notes, errors, tally)
            own = [values[i] for i, _ in properties]
            pieces = pieces_of(writers, own, notes, errors, truncated, tally)
            pieces += extra_pieces(notes.extra, taken, errors, tally)
            shortened = [*measured, *pieces]

            def line() -> bytes:
                numbers = [p for p in shortened if p.value is _METRIC]
                rest = [*everywhere, *(p for p in shortened if p.value is not _METRIC)]
                members = [(piece.key, piece.text) for piece in rest]
                members += [(f'"{n}"', t) for n, t in _as_properties(notes, truncated, errors)]
                parts = [head]
                if numbers:
                    joined = ",".join(f"{p.key}:{p.text}" for p in numbers)
                    parts.append(f'"metrics":{{{joined}}}')
                if members:
                    joined = ",".join(f"{key}:{text}" for key, text in members)
                    parts.append(f'"properties":{{{joined}}}')
                if notes.rate is not None:
                    parts.append(f'"weight":{notes.weight}')
                return f"{','.join(parts)}}}\n".encode()

            return fit(line, shortened, truncated, errors, max_line, tally)

        return encode

    def _global_pieces(self, plan: RecordPlan) -> list[Piece]:
        found = []
        for name, value in self.globals.items():
            if name in plan.written_names:
                warn_once(
                    f"global {plan.name} {name}",
                    f"{plan.name} emits a field {name!r} of its own, so the global of that name is "
                    "left out of its records. Rename one of them.",
                )
                continue
            found.append(Piece(name, quote(name), text_of(value), None))
        return found


_BITS = {"true": "1", "false": "0"}

_METRIC = object()
# Marks the pieces that are metrics; unlike texts and lists they are not shortened.


def _measured(
    metrics: Sequence[tuple[int, FieldPlan, Callable[[Any], str]]],
    values: Sequence[Any],
    notes: Notes,
    errors: list[str],
    tally: Tally,
) -> list[Piece]:
    pieces = []
    for index, field, write in metrics:
        value = values[index]
        if value is None and is_excused(field, notes):
            continue
        try:
            text = _members(field, value, write, notes.weight)
        except Exception as error:  # noqa: BLE001 -- a bad value costs its field only
            tally.encode_errors += 1
            errors.append(f"{field.emitted}: {str(error)[:200] or type(error).__name__}")
            continue
        unit = f',"unit":{quote(field.unit)}' if field.unit else ""
        pieces.append(Piece(field.emitted, quote(field.emitted), f"{{{text}{unit}}}", _METRIC))
    return pieces


def _members(field: FieldPlan, value: Any, write: Callable[[Any], str], weight: int) -> str:
    if field.type in MANY:
        return nested_value(field, value, weight)
    try:
        text = write(value)
    except NotANumberError:
        text = "null"
    return f'"value":{_BITS.get(text, text)}'


def _as_properties(
    notes: Notes, truncated: Sequence[str], errors: Sequence[str]
) -> list[tuple[str, str]]:
    """Return the trailer as properties: arrays as they are, numbers as texts."""
    members = []
    for name, text in trailer(notes, truncated, errors):
        if name in ("_weight", "_rate"):
            continue  # `weight` says it
        members.append((name, text if text.startswith("[") else f'"{text}"'))
    return members
