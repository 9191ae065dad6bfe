"""Requests that wait to be written: bounded, and the same block from the core and from its twin."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.recorder.reading import decode, segments
from tests.recorder.test_recording import start

from tachograph._base.ids import id_of
from tachograph._core import loop
from tachograph.recorder.request_log import RequestLog, TwinLog
from tachograph.recorder.requests import note_request
from tachograph.trace import Decoder, Encoder
from tachograph.trace.requests import REQUESTS, Request, unpack_requests

SERIES = bytes(range(16))
UUID = "01234567-89ab-4def-8123-456789abcdef"


class Text(str):
    """A text that is equal to none."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return False

    def __hash__(self) -> int:
        return 7


LOGS = [pytest.param(TwinLog, id="twin"), pytest.param(RequestLog, id="native or twin")]

texts = st.none() | st.sampled_from(["", "Get", "Put", "\ud800", "ä" * 40, Text("Get"), 5])
ids = (
    st.none()
    | st.sampled_from(["", "x", UUID, UUID.upper(), "\udcff", "é" * 36])
    | st.builds(id_of, st.just(SERIES), st.integers(0, 9))
    | st.uuids().map(str)
)
whole = st.integers(-3, 3) | st.integers(-(2**65), 2**65) | st.booleans()
odd = st.none() | st.just("5") | whole
rows = st.lists(st.tuples(ids, texts, texts, whole, whole, texts, odd, odd), max_size=12)


def written(values: tuple[Any, ...]) -> bytes:
    """Return the values of a block as a file holds them."""
    encoder = Encoder()
    encoder.event(REQUESTS, values[1], *values)
    return encoder.take()


def one(number: int = 0, **changed: Any) -> tuple[Any, ...]:
    """Return the fields of a request."""
    start = 10**9 + 32 * number - 5
    return tuple(Request(UUID, "Http", "Get", start, 5, "Ok", 200, 1024)._replace(**changed))


@pytest.mark.skipif(loop is None, reason="the native core is not built here")
@given(rows, st.integers(1, 5), st.sampled_from((b"", SERIES)))
def test_native_and_twin(found: list[tuple[Any, ...]], most: int, series: bytes) -> None:
    """The core makes the blocks of its twin, whatever is given, and drops the same."""
    logs = loop.RequestLog(8), TwinLog(8)
    for row in found:
        for log in logs:
            log.add(*row)

    assert logs[0].dropped == logs[1].dropped
    while len(logs[1]):
        assert logs[0].take(most, series) == logs[1].take(most, series)
        assert len(logs[0]) == len(logs[1])
    assert logs[0].take(most, series) is None


@pytest.mark.parametrize("kind", LOGS)
def test_in_the_order_they_came(kind: Any) -> None:
    """Each block goes on where the one before ended; what is given comes back."""
    log = kind(100)
    for number in range(70):
        log.add(*one(number))
    log.take(50, b"")
    for number in range(70, 140):
        log.add(*one(number))
    found = []
    while (values := log.take(30, SERIES)) is not None:
        (event,) = Decoder(strict=True).read(written(values))
        found += unpack_requests(event)

    assert [(request.end_ns - 10**9) // 32 for request in found] == list(range(50, 140))
    assert found[0] == one(50)
    assert log.dropped == 0


@pytest.mark.parametrize("kind", LOGS)
def test_what_finds_no_room_is_counted(kind: Any) -> None:
    """The newest go; so does one without times."""
    log = kind(3)
    for number in range(5):
        log.add(*one(number))
    log.add(*one(start_ns=None))
    log.add(*one(start_ns=2**62, duration_ns=2**62))

    assert (len(log), log.dropped) == (3, 4)
    log.clear()
    assert (len(log), log.dropped) == (0, 0)


@pytest.mark.parametrize("kind", LOGS)
def test_wrong_use(kind: Any) -> None:
    """The errors say what was expected."""
    with pytest.raises(ValueError, match="expected room for 1 or more requests, got 0"):
        kind(0)
    with pytest.raises(TypeError, match="expected 8 arguments, got 1"):
        kind(1).add(1)
    with pytest.raises(ValueError, match="a series of 0 or 16 bytes, got 1 and 3"):
        kind(1).take(1, b"abc")
    with pytest.raises(ValueError, match="expected 1 or more requests"):
        kind(1).take(0, b"")


def test_what_is_dropped_is_counted_and_told(tmp_path: Path) -> None:
    """Among the program's own events, in the statistics and at the end of the segment."""
    recording, home = start(tmp_path)
    note_request(*one())
    note_request(*one(start_ns=None))
    recording.close()
    counts = recording.statistics()
    (path,) = segments(home)
    (*_, last) = (e for e in decode(path) if e.name == "SegmentMetadataEvent")

    assert (1, 1) == (counts["own_events_written"], counts["own_events_dropped"])
    assert "1" == dict(last["entries"])["tachograph.lost.own_events_dropped"]
