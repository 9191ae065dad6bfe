"""Requests as a block, and back."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.trace.blocks import read

from tachograph._base.ids import id_of
from tachograph.errors import TraceFormatError
from tachograph.trace import Encoder
from tachograph.trace.assemble import assemble
from tachograph.trace.requests import REQUESTS, Request, pack_requests, unpack_requests
from tachograph.trace.schema import Event

UUID = "01234567-89ab-4def-8123-456789abcdef"
SERIES = bytes(range(16))
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


def block(*found: Request, series: bytes = b"") -> Event:
    """Return them as the event that a file would hold."""
    encoder = Encoder()
    encoder.event(REQUESTS, found[0].end_ns, *pack_requests(found, series))
    (event,) = read(encoder)
    return event


def of_values(values: tuple[Any, ...]) -> Event:
    """Return the event of a block that holds these."""
    return Event(REQUESTS, 0, values, block(FIRST).pools)


@given(st.lists(requests, min_size=1, max_size=8), st.sampled_from((b"", SERIES)))
def test_round_trip(found: list[Request], series: bytes) -> None:
    """Whatever was packed comes back, to the nanosecond."""
    assert found == unpack_requests(block(*found, series=series))


def test_a_request_costs_little() -> None:
    """Nine bytes and its id when the same operations come again; its own ids cost one byte."""
    rows = [
        FIRST._replace(start_ns=FIRST.start_ns + n * 900_000, task_id=1024 + n) for n in range(200)
    ]
    own = [row._replace(request_id=id_of(SERIES, 7 + n)) for n, row in enumerate(rows)]

    assert sum(map(len, pack_requests(rows, SERIES)[2:])) <= (9.5 + 16) * len(rows)
    assert sum(map(len, pack_requests(own, SERIES)[2:])) <= (9.5 + 1) * len(rows)
    assert unpack_requests(block(*own, series=SERIES)) == own


def test_a_reader_sees_one_event_for_each() -> None:
    """They stand among the events under the name of one, at their ends."""
    second = FIRST._replace(request_id=None, start_ns=7, task_id=None, status=None, operation=None)
    events = assemble([block(FIRST, second)]).events

    assert [("tacho:Request", FIRST.end_ns), ("tacho:Request", second.end_ns)] == [
        (event.name, event.timestamp_ns) for event in events
    ]
    assert FIRST._asdict() == events[0].as_dict()


@pytest.mark.parametrize("column", range(2, 10))
def test_columns_that_do_not_fit(column: int) -> None:
    """One that is cut, or has one more, is the one error, and nothing else."""
    own = FIRST._replace(request_id=id_of(SERIES, 9))
    values = list(pack_requests([FIRST, FIRST._replace(request_id="x", task_id=None), own], SERIES))
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


@given(st.binary(max_size=40), st.integers(0, 3), st.integers(2, 9))
def test_garbage(data: bytes, count: int, column: int) -> None:
    """Whatever stands in a column is read, or is the one error."""
    values = list(pack_requests([FIRST] * max(1, count)))
    values[column] = data
    with contextlib.suppress(TraceFormatError):
        unpack_requests(of_values(tuple(values)))
