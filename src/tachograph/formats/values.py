"""One plain value of a declared type as JSON text, or an exception that says what was expected.

The compiled encoders inline the common case and call these for the rest, so a value of the wrong
type is found by the same rule on the fast and on the careful path.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from enum import Enum
from typing import Any

from tachograph.formats.plan import FieldPlan
from tachograph.formats.quantities import Quantity
from tachograph.formats.text import decimal, double, integer, moment, quote

__all__ = ["MAX_ITEMS", "MAX_TEXT", "NotANumberError", "text_of", "writer_of"]

MAX_TEXT = 4_096
"""Characters of a property; more are cut and the name is listed in `_truncated`."""
MAX_ITEMS = 256
"""Elements of a list; more are cut and the name is listed in `_truncated`."""


class NotANumberError(Exception):
    """The value is NaN: its key is left out and the loss counted, which is no mistake of type."""


def bool_text(value: object) -> str:
    """`true` or `false`; numpy's bool through `bool()`."""
    if isinstance(value, bool) or type(value).__name__ in ("bool_", "bool"):
        return "true" if value else "false"
    raise _wrong("bool", value)


def int_text(value: Any) -> str:
    """A decimal literal of anything that is an integer (`__index__`)."""
    try:
        return integer(operator.index(value))
    except TypeError:
        raise _wrong("int", value) from None


def float_text(value: Any) -> str:
    """Shortest digits of a float; integers are floats too."""
    if isinstance(value, str | bytes | bool) or not hasattr(type(value), "__float__"):
        if isinstance(value, bool):
            return integer(value)
        raise _wrong("float", value)
    if isinstance(value, int):
        return integer(value)
    number = float(value)
    if math.isnan(number):
        raise NotANumberError
    return double(number)


def integer_or_float(value: Any) -> str:
    """A number of either kind; one observation among many."""
    if isinstance(value, bool):
        raise _wrong("a number", value)
    if isinstance(value, int):
        return integer(value)
    if isinstance(value, Decimal):
        return decimal_text(value)
    return float_text(value)


def decimal_text(value: object) -> str:
    """Plain decimal text."""
    if not isinstance(value, Decimal):
        raise _wrong("Decimal", value)
    if value.is_nan():
        raise NotANumberError
    return decimal(value)


def str_text(value: object) -> str:
    """A JSON string."""
    if not isinstance(value, str):
        raise _wrong("str", value)
    if len(value) > MAX_TEXT:  # the careful path cuts it first
        msg = f"expected at most {MAX_TEXT} characters, got {len(value)}"
        raise ValueError(msg)
    return quote(value)


def datetime_text(value: object) -> str:
    """RFC 3339 in UTC with six digits, as a JSON string."""
    if not isinstance(value, datetime):
        raise _wrong("datetime", value)
    if value.tzinfo is None:
        msg = "expected an aware datetime, got a naive one"
        raise TypeError(msg)
    return f'"{moment(value)}"'


def list_text(value: object) -> str:
    """A JSON array of scalars; `None` and NaN elements are skipped."""
    if isinstance(value, str | bytes) or not isinstance(value, Sequence):
        raise _wrong("list", value)
    if len(value) > MAX_ITEMS:  # the careful path cuts it first
        msg = f"expected at most {MAX_ITEMS} elements, got {len(value)}"
        raise ValueError(msg)
    texts = []
    for element in value:
        if element is None:
            continue
        try:
            texts.append(text_of(element))
        except NotANumberError:
            continue
    return f"[{','.join(texts)}]"


def text_of(value: object) -> str:  # noqa: PLR0911 -- a table
    """JSON text of a scalar whose type was not declared: elements of lists, globals."""
    match value:
        case bool():
            return bool_text(value)
        case Enum():
            return quote(value.name)
        case int():
            return integer(value)
        case float():
            return float_text(value)
        case Decimal():
            return decimal_text(value)
        case str():
            return quote(value)
        case datetime():
            return datetime_text(value)
        case tuple():  # an element with many observations
            return f"[{','.join(text_of(part) for part in value)}]"
        case list():
            return quote(",".join(str(part) for part in value))
        case _:
            return quote(str(value))


def enum_writer(labels: Mapping[Any, str]) -> Callable[[object], str]:
    """Return a function from a member of one enum to its emitted text."""
    texts = {member: quote(label) for member, label in labels.items()}
    expected = type(next(iter(labels))).__qualname__ if labels else "Enum"

    def enum_text(value: object) -> str:
        try:
            return texts[value]
        except (KeyError, TypeError):
            raise _wrong(expected, value) from None

    return enum_text


def _wrong(expected: str, value: object) -> TypeError:
    return TypeError(f"expected {expected}, got {type(value).__name__}")


_WRITERS: dict[str, Callable[[Any], str]] = {
    "bool": bool_text,
    "int": int_text,
    "float": float_text,
    "decimal": decimal_text,
    "str": str_text,
    "datetime": datetime_text,
    "list": list_text,
}


def writer_of(field: FieldPlan) -> Callable[[Any], str]:
    """Return the function from this field's value (never None) to its JSON text.

    It raises `TypeError` with the reason for a value of the wrong type, `NotANumberError` for NaN.
    """
    if field.labels is not None:
        return enum_writer(field.labels)
    if field.to_text is not None:
        return _through_text(field.to_text, field.python_type)
    if field.unit_ns is not None:
        return _duration(field.unit_ns)
    if field.type not in _WRITERS:  # of many observations: formats have their own ways
        return list_text
    write = _WRITERS[field.type]
    if field.type in ("int", "float", "decimal"):
        write = _with_unit(write, field.unit)
    return _as_property(write) if field.as_property else write


def _with_unit(write: Callable[[Any], str], unit: str | None) -> Callable[[Any], str]:
    def number_text(value: Any) -> str:
        return write(value.into(unit) if value.__class__ is Quantity else value)

    return number_text


def _duration(unit_ns: int) -> Callable[[Any], str]:
    def duration_text(value: Any) -> str:
        if not isinstance(value, int):
            raise _wrong("nanoseconds as int", value)
        return double(value / unit_ns)

    return duration_text


def _through_text(to_text: Callable[[Any], str], expected: str) -> Callable[[Any], str]:
    def property_text(value: object) -> str:
        if value is None or isinstance(value, str | bytes | int | float):
            raise _wrong(expected, value)
        return quote(to_text(value))

    return property_text


def _as_property(write: Callable[[Any], str]) -> Callable[[Any], str]:
    def property_text(value: object) -> str:
        text = write(value)
        return text if text.startswith('"') else f'"{text}"'

    return property_text
