"""Requests as a block, and back."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.trace.blocks import read

from tachograph._core import loop
from tachograph.errors import TraceFormatError
from tachograph.trace import Encoder
from tachograph.trace.assemble import assemble
from tachograph.trace.columns import lebs
from tachograph.trace.requests import REQUESTS, Request, pack_requests, unpack_requests
from tachograph.trace.schema import Event

UUID = "01234567-89ab-4def-8123-456789abcdef"
FIRST = Request(UUID, "Http", "GetItem", 10**12, 5_000_001, "Ok", 200, 1024)

texts = st.none() | st.text(max_size=20).filter(lambda text: text.isprintable())
whole = st.integers(0, 2**62)
requests = st.builds(
    Request,
    st.none() | st.uuids().map(str) | st.text(st.characters(codec="utf-8"), max_size=40),
    texts,
    texts,
    whole,
    whole,
    texts,
    st.none() | st.integers(0, 999),
    st.none() | whole,
)


def block(*found: Request) -> Event:
    """Return them as the event that a file would hold."""
    encoder = Encoder()
    encoder.event(REQUESTS, found[0].end_ns, *pack_requests(found))
    (event,) = read(encoder)
    return event


def of_values(values: tuple[Any, ...]) -> Event:
    """Return the event of a block that holds these."""
    return Event(REQUESTS, 0, values, block(FIRST).pools)


@given(st.lists(requests, min_size=1, max_size=8))
def test_round_trip(found: list[Request]) -> None:
    """Whatever was packed comes back, to the nanosecond."""
    assert found == unpack_requests(block(*found))


def test_a_request_costs_little() -> None:
    """An id of 16 bytes and at most fourteen for the rest, when the same operations come again."""
    rows = [
        FIRST._replace(start_ns=FIRST.start_ns + n * 900_000, task_id=1024 + n) for n in range(100)
    ]
    values = pack_requests(rows)

    assert sum(len(column) for column in values[2:]) <= 31 * len(rows)


def test_a_reader_sees_one_event_for_each() -> None:
    """They stand among the events under the name of one, at their ends."""
    second = FIRST._replace(request_id=None, start_ns=7, task_id=None, status=None, operation=None)
    events = assemble([block(FIRST, second)]).events

    assert [("tacho:Request", FIRST.end_ns), ("tacho:Request", second.end_ns)] == [
        (event.name, event.timestamp_ns) for event in events
    ]
    assert FIRST._asdict() == events[0].as_dict()


@pytest.mark.parametrize("column", range(2, 11))
def test_columns_that_do_not_fit(column: int) -> None:
    """One that is cut, or has one more, is the one error, and nothing else."""
    values = list(pack_requests([FIRST, FIRST._replace(request_id="x", task_id=None)]))
    for broken in (values[column][:-1], values[column] + b"\x85\x01", b"\xff" * 11):
        event = of_values((*values[:column], broken, *values[column + 1 :]))
        with pytest.raises(TraceFormatError):
            unpack_requests(event)


def test_a_count_that_is_not_there() -> None:
    """No list is made of a size that was only declared."""
    values = pack_requests([FIRST])
    for count in (0, 2, 2**60):
        with pytest.raises(TraceFormatError, match="a block"):
            unpack_requests(of_values((count, *values[1:])))


@given(st.binary(max_size=40), st.integers(0, 3), st.integers(2, 10))
def test_garbage(data: bytes, count: int, column: int) -> None:
    """Whatever stands in a column is read, or is the one error."""
    values = list(pack_requests([FIRST] * max(1, count)))
    values[column] = data
    with contextlib.suppress(TraceFormatError):
        unpack_requests(of_values(tuple(values)))


@pytest.mark.skipif(loop is None, reason="the native core is not built here")
@given(st.lists(st.integers(0, 2**64 - 1)))
def test_native_columns(values: list[int]) -> None:
    """The native writer of columns makes the bytes of its twin."""
    assert lebs(values) == loop.lebs(values)


@pytest.mark.skipif(loop is None, reason="the native core is not built here")
@pytest.mark.parametrize("value", [-1, 2**64, "x", None])
def test_native_columns_of_what_is_no_number(value: Any) -> None:
    """It is an error, not another number."""
    with pytest.raises((ValueError, TypeError)):
        loop.lebs([value])
