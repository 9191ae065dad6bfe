"""The careful path: a line for a record in which something is wrong, field by field.

A bad value costs its field, never the record; a cut is named; a line that will not fit becomes a
stub. What was lost is told in the line's trailer and counted.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from tachograph.formats.observations import MANY, flat_parts
from tachograph.formats.plan import FieldPlan, Notes
from tachograph.formats.text import double, quote
from tachograph.formats.values import MAX_ITEMS, MAX_TEXT, NotANumberError, list_text, text_of

__all__ = ["Piece", "Tally", "extra_pieces", "fit", "is_excused", "pieces_of", "trailer"]

MAX_EXTRA = 32
_SHORT_TEXT = 1_024
_SHORT_LIST = 16
_MAX_REASON = 200


@dataclass(slots=True)
class Tally:
    """What a format could not write.

    Attributes:
        encode_errors: Fields left out because their value was of the wrong type.
        nan_skipped: Fields left out because they were NaN.
        truncated: Values cut.
        oversize: Lines replaced by a stub.
        extra_dropped: Extra keys left out because there were too many.
    """

    encode_errors: int = 0
    nan_skipped: int = 0
    truncated: int = 0
    oversize: int = 0
    extra_dropped: int = 0


@dataclass(slots=True)
class Piece:
    """A field that will be in the line, with its value kept so that it can be shortened."""

    name: str
    key: str
    text: str
    value: Any
    extra: bool = False


Writers = Sequence[tuple[FieldPlan, str, Callable[[Any], str]]]


def pieces_of(
    writers: Writers,
    values: Sequence[Any],
    notes: Notes,
    errors: list[str],
    truncated: list[str],
    tally: Tally,
) -> list[Piece]:
    """Return the fields that can be written; add the others to *errors*, cuts to *truncated*."""
    pieces = []
    for (field, key, write), raw in zip(writers, values, strict=True):
        if raw is None and is_excused(field, notes):
            continue
        value = raw
        try:
            if isinstance(value, str) and len(value) > MAX_TEXT:
                value = value[:MAX_TEXT]
                truncated.append(field.emitted)
                tally.truncated += 1
            elif isinstance(value, list | tuple) and len(value) > MAX_ITEMS:
                value = value[:MAX_ITEMS]
                truncated.append(field.emitted)
                tally.truncated += 1
            if field.type in MANY:
                pieces += [Piece(n, quote(n), t, None) for n, t in flat_parts(field, value)]
                continue
            text = write(value)
        except NotANumberError:
            tally.nan_skipped += 1
        except Exception as error:  # noqa: BLE001 -- whatever a value does, its record survives
            tally.encode_errors += 1
            errors.append(f"{field.emitted}: {_reason(error)}")
        else:
            pieces.append(Piece(field.emitted, key, text, value))
    return pieces


def is_excused(field: FieldPlan, notes: Notes) -> bool:
    """Tell whether a field may be without a value: as declared, or the notes say why it is."""
    return (
        field.optional
        or any(field.attribute.startswith(f"{path}.") for path in notes.incomplete)
        or any(error.startswith(f"{field.emitted}: ") for error in notes.errors)
    )


def extra_pieces(
    extra: Sequence[tuple[str, Any]], taken: Collection[str], errors: list[str], tally: Tally
) -> list[Piece]:
    """Return the keys that were added by name: numbers and texts, at most 32.

    One that is taken, reserved or of another type is left out, and told in *errors*.
    """
    pieces: list[Piece] = []
    for name, value in extra:
        if len(pieces) == MAX_EXTRA:
            tally.extra_dropped += len(extra) - MAX_EXTRA
            errors.append(f"extra: {len(extra)} keys, {MAX_EXTRA} are written")
            break
        try:
            if not isinstance(name, str) or not name or name.startswith("_"):
                msg = f"expected a name that is a text and does not start with `_`, got {name!r}"
                raise TypeError(msg)
            if name in taken or any(piece.name == name for piece in pieces):
                msg = "the name is taken"
                raise TypeError(msg)
            if not isinstance(value, str | int | float | Decimal):
                msg = f"expected a number or a text, got {type(value).__name__}"
                raise TypeError(msg)
            kept = value[:MAX_TEXT] if isinstance(value, str) else value
            pieces.append(Piece(name, quote(name), text_of(kept), kept, extra=True))
        except NotANumberError:
            tally.nan_skipped += 1
        except Exception as error:  # noqa: BLE001 -- whatever a value does, its record survives
            tally.encode_errors += 1
            errors.append(f"{name}: {_reason(error)}")
    return pieces


def trailer(
    notes: Notes,
    truncated: Sequence[str],
    errors: Sequence[str],
    part: tuple[str, int, int] | None = None,
) -> list[tuple[str, str]]:
    """Return the last members of a line with their texts; only those that apply.

    Args:
        notes: What the record says of itself.
        truncated: Names of values that were cut.
        errors: `name: reason` of values that were left out.
        part: Of a record that takes several lines: its id, the number of this line, their number.
    """
    members: list[tuple[str, str]] = []
    if notes.rate is not None:
        members += [("_weight", str(notes.weight)), ("_rate", double(notes.rate))]
    if part is not None:
        identity, number, count = part
        members += [("_id", f'"{identity}"'), ("_part", str(number)), ("_parts", str(count))]
    lists = (("_incomplete", notes.incomplete), ("_truncated", truncated), ("_errors", errors))
    members += [
        (name, f"[{','.join(quote(item) for item in items)}]") for name, items in lists if items
    ]
    return members


def fit(
    line: Callable[[], bytes],
    pieces: list[Piece],
    truncated: list[str],
    errors: list[str],
    max_line: int,
    tally: Tally,
) -> bytes:
    """Return *line*, shortened step by step until it has at most *max_line* bytes.

    Strings longest first to 1,024 characters, then lists largest first to 16 elements, then extra
    keys go, the last first, then everything: a stub without fields.
    """
    encoded = line()
    if len(encoded) <= max_line:
        return encoded
    size = len(encoded)
    for piece in sorted(pieces, key=lambda p: -len(p.text)):
        if isinstance(piece.value, str) and len(piece.value) > _SHORT_TEXT:
            piece.value = piece.value[:_SHORT_TEXT]
            piece.text = quote(piece.value)
            _note(piece.name, truncated, tally)
            if len(encoded := line()) <= max_line:
                return encoded
    for piece in sorted(pieces, key=lambda p: -len(p.text)):
        if isinstance(piece.value, list | tuple) and len(piece.value) > _SHORT_LIST:
            piece.value = piece.value[:_SHORT_LIST]
            piece.text = list_text(piece.value)
            _note(piece.name, truncated, tally)
            if len(encoded := line()) <= max_line:
                return encoded
    while pieces and pieces[-1].extra:
        tally.extra_dropped += 1
        _note(pieces.pop().name, truncated, tally)
        if len(encoded := line()) <= max_line:
            return encoded
    tally.oversize += 1
    pieces.clear()
    truncated.clear()
    errors[:] = [f"oversize: {size} bytes"]
    return line()


def _note(name: str, truncated: list[str], tally: Tally) -> None:
    tally.truncated += 1
    if name not in truncated:
        truncated.append(name)


def _reason(error: Exception) -> str:
    text = str(error) or type(error).__name__
    return text[:_MAX_REASON]
