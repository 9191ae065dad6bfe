"""Values as JSON text."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import Enum

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tachograph.formats.text import decimal, double, integer, quote, rfc3339, scalar


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.1, "0.1"),
        (1 / 3, "0.3333333333333333"),
        (100.0, "100"),
        (0.0, "0"),
        (-0.0, "-0"),
        (1e16, "10000000000000000"),
        (1e20, "100000000000000000000"),
        (1e-5, "0.00001"),
        (1e-6, "0.000001"),
        (1.2345e17, "123450000000000000"),
        (1e21, "1e21"),
        (1.5e21, "1.5e21"),
        (1e-7, "1e-7"),
        (1.234e-7, "1.234e-7"),
        (1.7976931348623157e308, "1.7976931348623157e308"),
        (5e-324, "5e-324"),
        (float(2**360), "2.3485425827738332e108"),
        (math.inf, "1.7976931348623157e308"),
        (-math.inf, "-1.7976931348623157e308"),
    ],
)
def test_a_float_is_written_with_the_shortest_digits_in_a_wide_decimal_window(
    value: float, text: str
) -> None:
    """The shortest digits [N-3], in a wide decimal window.

    No `.0` [N-4]; plain decimals from 10^-6 to below 10^21 [N-5], else one digit and an exponent
    [N-6]; the extremes and infinities [N-7].
    """
    assert text == double(value)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_every_float_comes_back_as_it_was(value: float) -> None:
    """The text of a float parses to the same float (N-3)."""
    assert value == float(json.loads(double(value)))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (2**64 - 1, "18446744073709551615"),
        (-(2**63), "-9223372036854775808"),
        (2**70, "1.1805916207174113e21"),
    ],
)
def test_an_integer_beyond_64_bits_becomes_a_float(value: int, text: str) -> None:
    """Integers are literal from -2^63 to 2^64-1 and floats beyond (N-1, N-2)."""
    assert text == integer(value)


@pytest.mark.parametrize(("value", "text"), [("1E+2", "100"), ("0.10", "0.10"), ("-1.5", "-1.5")])
def test_a_decimal_is_plain_text_without_exponent(value: str, text: str) -> None:
    """A Decimal keeps its digits and never takes a detour through float (N-8)."""
    assert text == decimal(Decimal(value))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ('a"b\\c', r'"a\"b\\c"'),
        ("\n\r\t\b\f", r'"\n\r\t\b\f"'),
        ("\x00\x1f", r'"\u0000\u001f"'),
        ("/\x7f\u2028ü", '"/\x7f\u2028ü"'),
        ("a\ud800b", '"a\ufffdb"'),
    ],
)
def test_text_is_escaped_only_where_json_needs_it(value: str, text: str) -> None:
    """Quotes, backslashes and controls are escaped, surrogates replaced (metric formats 1.3)."""
    assert text == quote(value)


@given(st.text(alphabet=st.characters()))
def test_any_text_can_be_encoded(value: str) -> None:
    """The literal of any text has a UTF-8 form and parses back, surrogates apart."""
    parsed = json.loads(quote(value).encode())

    assert "".join("\ufffd" if "\ud800" <= c <= "\udfff" else c for c in value) == parsed


def test_time_is_utc_with_six_digits() -> None:
    """RFC 3339 in UTC with microseconds, truncated (metric formats 1.4)."""
    assert rfc3339(1_705_312_800_000_001_999) == "2024-01-15T10:00:00.000001Z"


class Colour(Enum):
    RED = 1


class Hostile:
    def __str__(self) -> str:
        raise ValueError("no")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        (True, "true"),
        (Colour.RED, '"RED"'),
        (math.nan, "null"),
        (datetime(2024, 1, 15, 10, tzinfo=UTC), '"2024-01-15T10:00:00.000000Z"'),
        (timedelta(seconds=1), "1000"),
        ({"a": [1, None, {"b": "c"}]}, '{"a":[1,null,{"b":"c"}]}'),
        (Hostile(), '"<unprintable Hostile>"'),
        ("x" * 5_000, '"' + "x" * 4_096 + '"'),
    ],
)
def test_any_object_has_a_text_for_logs(value: object, text: str) -> None:
    """A field of a log line is written whatever it is; nothing raises."""
    assert text == scalar(value)
