r"""Values as JSON text, by one set of rules for records and logs.

Strategy: numbers are `repr` with a trailing `.0` removed and the window of plain decimals widened
to 10^-6 <= |x| < 10^21; strings are escaped by the interpreter's own C routine, which escapes `"`,
`\` and what lies below 0x20 and nothing else. Lone surrogates become U+FFFD, for they have no UTF-8
form.
Source of the rules: the N, F and time rows of the metric format reference.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from json.encoder import encode_basestring

__all__ = ["decimal", "double", "integer", "number", "quote", "rfc3339", "scalar"]

FLOAT_MAX = "1.7976931348623157e308"
INT_MIN = -(2**63)
INT_MAX = 2**64 - 1
_MAX_DEPTH = 4
_MAX_ITEMS = 256
_MAX_TEXT = 4096

# The C routine where the interpreter has one; it raises TypeError for anything but a `str`.
escape: Callable[[str], str] = encode_basestring


def quote(text: str) -> str:
    """Return *text* as a JSON string literal that can always be encoded as UTF-8.

    Raises:
        TypeError: *text* is not a `str`.
    """
    literal = escape(text)
    if text.isascii():
        return literal
    try:
        literal.encode()
    except UnicodeEncodeError:
        return literal.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return literal


def integer(value: int) -> str:
    """Return a decimal literal; outside -2^63 .. 2^64-1 the float's text (N-1, N-2)."""
    if INT_MIN <= value <= INT_MAX:
        return int.__repr__(value)
    try:
        return double(float(value))
    except OverflowError:
        return FLOAT_MAX if value > 0 else f"-{FLOAT_MAX}"


def double(value: float) -> str:
    """Return the shortest digits that round-trip, without `.0`, exponents only outside the window.

    Infinities become the largest float of their sign (N-3 to N-7).

    Raises:
        ValueError: *value* is NaN; the caller leaves the field out.
    """
    text = float.__repr__(value)
    if text[-2:] == ".0":
        return text[:-2]
    if "e" not in text and "n" not in text:
        return text
    return _uncommon_double(text)


def _uncommon_double(text: str) -> str:
    if text == "nan":
        msg = "NaN has no JSON form."
        raise ValueError(msg)
    if text == "inf":
        return FLOAT_MAX
    if text == "-inf":
        return f"-{FLOAT_MAX}"
    mantissa, _, exponent_text = text.partition("e")
    exponent = int(exponent_text)
    if not -6 <= exponent < 21:
        return f"{mantissa.removesuffix('.0')}e{exponent}"
    sign = "-" if mantissa.startswith("-") else ""
    whole, _, fraction = mantissa.lstrip("-").partition(".")
    if exponent < 0:
        return f"{sign}0.{'0' * (-exponent - 1)}{whole}{fraction}"
    digits = whole + fraction
    return sign + digits.ljust(exponent + 1, "0")


def number(value: float) -> str:
    """Return an `int` (not `bool`) or `float` as JSON text.

    Raises:
        ValueError: *value* is NaN.
    """
    return double(value) if isinstance(value, float) else integer(value)


def decimal(value: Decimal) -> str:
    """Return plain decimal text, exponent removed, without a detour over float (N-8).

    Raises:
        ValueError: *value* is NaN.
    """
    return f"{value:f}" if value.is_finite() else double(float(value))


_second: tuple[int, str] = (2**62, "")


def rfc3339(time_ns: int) -> str:
    """Return nanoseconds since 1970 as `2024-01-15T10:00:00.000000Z`: UTC, truncated."""
    global _second  # noqa: PLW0603 -- one cached prefix, replaced whole, so that threads may race
    start_ns, prefix = _second
    # The difference is a small integer; dividing the time itself would cost twice as much.
    since_ns = time_ns - start_ns
    if not 0 <= since_ns < 1_000_000_000:
        seconds, since_ns = divmod(time_ns, 1_000_000_000)
        prefix = time.strftime("%Y-%m-%dT%H:%M:%S.", time.gmtime(seconds))
        _second = (seconds * 1_000_000_000, prefix)
    return f"{prefix}{since_ns // 1000:06d}Z"


def moment(value: datetime) -> str:
    """Return an aware datetime as RFC 3339 in UTC with six fractional digits.

    Raises:
        ValueError: *value* is naive, so its moment is unknown.
    """
    if value.tzinfo is None:
        msg = "expected an aware datetime, got a naive one"
        raise ValueError(msg)
    return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def scalar(value: object, *, depth: int = _MAX_DEPTH) -> str:
    """Return any value as JSON text: for logs, where fields have no declared type. Never raises.

    `None` is `null`, NaN is `null`, an enum is its name, containers go down to *depth* levels and
    256 items, text is cut at 4,096 characters, anything else is its `str`.
    """
    try:
        return _scalar(value, depth)
    except Exception:  # noqa: BLE001 -- a log line must survive any object's `__str__`
        return quote(f"<unprintable {type(value).__name__}>")


def _scalar(value: object, depth: int) -> str:  # noqa: C901, PLR0911, PLR0912 -- a table
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case Enum():
            return quote(value.name)
        case str():
            return quote(value[:_MAX_TEXT])
        case int():
            return integer(value)
        case float():
            return "null" if value != value else double(value)  # noqa: PLR0124 -- NaN
        case Decimal():
            return "null" if value.is_nan() else decimal(value)
        case datetime() if value.tzinfo is not None:
            return f'"{moment(value)}"'
        case date():
            return f'"{value.isoformat()}"'
        case timedelta():
            return double(value / timedelta(milliseconds=1))
        case Mapping() if depth > 0:
            return _mapping(value, depth - 1)
        case list() | tuple() | set() | frozenset() if depth > 0:
            return _sequence(value, depth - 1)
        case _:
            return quote(str(value)[:_MAX_TEXT])


def _mapping(value: Mapping[object, object], depth: int) -> str:
    seen: dict[str, str] = {}
    for key, item in value.items():
        if len(seen) == _MAX_ITEMS:
            break
        seen.setdefault(quote(str(key)[:_MAX_TEXT]), scalar(item, depth=depth))
    return "{" + ",".join(f"{key}:{item}" for key, item in seen.items()) + "}"


def _sequence(value: Iterable[object], depth: int) -> str:
    texts = [scalar(item, depth=depth) for item, _ in zip(value, range(_MAX_ITEMS), strict=False)]
    return "[" + ",".join(texts) + "]"
