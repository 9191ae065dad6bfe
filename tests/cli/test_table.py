"""Tables for a terminal."""

from __future__ import annotations

import datetime as dt
import decimal
import math

import pytest

from tachograph.cli.table import cell, render, title


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, "-"),
        (True, "true"),
        (12, "12"),
        (1234567, "1234567"),
        (100.0, "100"),
        (98.97703344315391, "98.977"),
        (0.000123456789, "0.000123457"),
        (123456.789, "123456.8"),
        (1e21, "1e+21"),
        (math.inf, "inf"),
        (math.nan, "nan"),
        (decimal.Decimal("0.10"), "0.1"),
        (dt.datetime(2026, 1, 2, 3, 4, 5, 678901), "2026-01-02 03:04:05.678Z"),  # noqa: DTZ001
        (
            dt.datetime(2026, 1, 2, 3, tzinfo=dt.timezone(dt.timedelta(hours=1))),
            "2026-01-02 02:00:00.000Z",
        ),
        (["a", 1.5, None], "[a, 1.5, -]"),
        ("ü ok", "ü ok"),
        ("a\x1b[31m\nb", "a\\x1b[31m\\nb"),
    ],
)
def test_values_are_shown_for_a_person(value: object, expected: str) -> None:
    """Numbers are short, times are UTC, nothing is `-`, control characters are shown as such."""
    assert expected == cell(value)


def test_titles_carry_units() -> None:
    """A unit stands behind the name, in its short form; a count needs none."""
    assert ["p99 (ms)", "size (B)", "n", "n", "rate (Furlongs)"] == [
        title("p99", "Milliseconds"),
        title("size", "Bytes"),
        title("n", None),
        title("n", "Count"),
        title("rate", "Furlongs"),
    ]


def test_numbers_stand_to_the_right() -> None:
    """Columns are as wide as their widest value, numbers right, text left."""
    expected = (
        "name    n\n"
        "────  ───\n"
        "a       1\n"
        "bcd   200\n"
        "-       -\n"
    )  # fmt: skip

    assert expected == render(["name", "n"], [("a", 1), ("bcd", 200), (None, None)])


def test_an_empty_answer_has_its_titles() -> None:
    """No row, but the columns are there."""
    assert "a  b\n─  ─\n" == render(["a", "b"], [], width=1)


def test_a_wide_table_is_turned() -> None:
    """Where the terminal is narrower, each value has a line and each row a block."""
    expected = "first   x\nsecond  1\n\nfirst   y\nsecond  2\n"

    assert expected == render(["first", "second"], [("x", 1), ("y", 2)], width=10)
    assert "first  second" == render(["first", "second"], [("x", 1)], width=13).split("\n")[0]


def test_prose_is_wrapped() -> None:
    """A last column of sentences is wrapped under itself while enough of it fits; else turned."""
    titles, rows = ["name", "meaning"], [("a", "one two three four five six seven"), ("b", "x")]

    assert (
        "name  meaning\n"
        "────  ────────────────────────\n"
        "a     one two three four five\n"
        "      six seven\n"
        "b     x\n"
    ) == render(titles, rows, width=30, prose=True)
    assert render(titles, rows, width=29, prose=True) == render(titles, rows, width=29)


def test_a_title_cannot_steer_the_terminal() -> None:
    """What a column is called came from outside too."""
    assert "a\\x1b[2J\n────────\n       1\n" == render(["a\x1b[2J"], [(1,)])


def test_wide_characters_keep_columns_straight() -> None:
    """A column is as wide as its text on the screen."""
    assert "a     b\n────  ─\n宽宽  1\nx     2\n" == render(["a", "b"], [("宽宽", 1), ("x", 2)])


def test_a_huge_value_is_shortened() -> None:
    """A table shows the first thousand characters of a value and says how many there are."""
    found = cell("x" * 100_000)

    assert found == "x" * 1_000 + "… (100,000 characters)"
