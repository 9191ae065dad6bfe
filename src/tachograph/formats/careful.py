"""The careful path: a line for a record in which something is wrong, field by field.

A bad value costs its field, never the record; a cut is named; a line that will not fit becomes a
stub. What was lost is told in the line's trailer and counted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from tachograph.formats.plan import FieldPlan
from tachograph.formats.text import quote
from tachograph.formats.values import MAX_ITEMS, MAX_TEXT, NotANumberError, list_text

__all__ = ["Piece", "Tally", "fit", "pieces_of"]

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
    """

    encode_errors: int = 0
    nan_skipped: int = 0
    truncated: int = 0
    oversize: int = 0


@dataclass(slots=True)
class Piece:
    """A field that will be in the line, with its value kept so that it can be shortened."""

    name: str
    key: str
    text: str
    value: Any


Writers = Sequence[tuple[FieldPlan, str, Callable[[Any], str]]]


def pieces_of(
    writers: Writers,
    values: Sequence[Any],
    errors: list[str],
    truncated: list[str],
    tally: Tally,
) -> list[Piece]:
    """Return the fields that can be written; add the others to *errors*, cuts to *truncated*."""
    pieces = []
    for (field, key, write), raw in zip(writers, values, strict=True):
        if raw is None:
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
            text = write(value)
        except NotANumberError:
            tally.nan_skipped += 1
        except Exception as error:  # noqa: BLE001 -- whatever a value does, its record survives
            tally.encode_errors += 1
            errors.append(f"{field.emitted}: {_reason(error)}")
        else:
            pieces.append(Piece(field.emitted, key, text, value))
    return pieces


def fit(
    line: Callable[[], bytes],
    pieces: list[Piece],
    truncated: list[str],
    errors: list[str],
    max_line: int,
    tally: Tally,
) -> bytes:
    """Return *line*, shortened step by step until it has at most *max_line* bytes.

    Strings longest first to 1,024 characters, then lists largest first to 16 elements, then a stub
    without fields.
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
