"""Integers as bytes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tachograph.errors import TraceFormatError
from tachograph.trace.columns import differences, numbers, put_leb

U64 = st.integers(0, 2**64 - 1)


def column(values: list[int]) -> bytes:
    """Return *values* as a column."""
    out = bytearray()
    for value in values:
        put_leb(out, value)
    return bytes(out)


@given(st.lists(U64))
def test_columns_come_back(values: list[int]) -> None:
    """A column is its numbers one after another."""
    assert values == numbers(column(values), "a test")


@given(st.lists(st.integers(-(2**63), 2**63 - 1)))
def test_differences_come_back(values: list[int]) -> None:
    """A difference keeps its sign, and its smallness."""
    codes = [value << 1 if value >= 0 else (-value << 1) - 1 for value in values]

    assert values == differences(column(codes), "a test")
    assert [0, -1, 1, -2, 2] == differences(bytes(range(5)), "a test")


@pytest.mark.parametrize(
    "data",
    [b"\x80", b"\x80" * 10 + b"\x01", b"\xff" * 9 + b"\x02"],
    ids=["cut", "long", "large"],
)
def test_columns_that_make_no_sense(data: bytes) -> None:
    """The numbers of a column are whole and below 2^64."""
    with pytest.raises(TraceFormatError, match="in a test"):
        numbers(data, "a test")
