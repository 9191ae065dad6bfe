"""Batches: one stream a segment, which holds whatever the program gives."""

from __future__ import annotations

import math
import struct
from decimal import Decimal
from typing import Any

import pytest

from tachograph.recorder.batches import Batches, fitting, new_living
from tachograph.recorder.config import RecorderConfig
from tachograph.recorder.events import EventKind, Recorded
from tachograph.recorder.names import Names
from tachograph.trace.decode import Decoder
from tachograph.trace.events import EVENTS
from tachograph.trace.schema import HEADER, Event

STEP = struct.pack("=QQQIIIBBH", 8_000, 1_024, 0, 80, 16, 0, 1, 0, 0)
KIND = EventKind("app.hit", (("n", "int", False), ("text", "str", False)))


class Mute:
    """Refuses whatever it is asked."""

    def __str__(self) -> str:
        raise RuntimeError

    __repr__ = __bool__ = __index__ = __float__ = __str__


class Whole:
    """A number of another library."""

    def __index__(self) -> int:
        return 7

    def __float__(self) -> float:
        return 7.5


def make(**metadata: str) -> tuple[Batches, Names]:
    """Return what makes batches, and the names it tells."""
    names = Names()
    return Batches(RecorderConfig(loop_name="io"), lambda: metadata, names), names


class Reader:
    """Reads one batch after another."""

    def __init__(self) -> None:
        self.decoder = Decoder(strict=True)

    def __call__(self, batch: bytes) -> list[Event]:
        """Return the events of a batch; a header begins a new stream."""
        if batch.startswith(HEADER):
            self.decoder = Decoder(strict=True)
        return self.decoder.feed(batch)


read = Reader()


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        ("int", 5, 5),
        ("int", True, 1),
        ("int", 2.6, 3),
        ("int", 2**70, 2**63 - 1),
        ("int", -(2**70), -(2**63)),
        ("int", math.inf, 2**63 - 1),
        ("int", Whole(), 7),
        ("int", math.nan, None),
        ("int", "5", None),
        ("int", Mute(), None),
        ("float", 2, 2.0),
        ("float", 10**400, math.inf),
        ("float", -(10**400), -math.inf),
        ("float", Decimal("0.5"), 0.5),
        ("float", Whole(), 7.5),
        ("float", "0.5", None),
        ("float", [], None),
        ("bool", 3, True),
        ("bool", [], False),
        ("bool", Mute(), None),
        ("str", "text", "text"),
        ("str", 5, "5"),
        ("str", b"x", "b'x'"),
        ("str", Mute(), None),
        ("str", "x" * 20_000, "x" * 16_383 + "…"),
        ("bytes", b"x", b"x"),
        ("bytes", bytearray(b"y"), b"y"),
        ("bytes", memoryview(b"z"), b"z"),
        ("bytes", "ü", "ü".encode()),
        ("bytes", "\udcff", b"?"),
        ("bytes", b"x" * 20_000, b"x" * 16_384),
        ("map", {"a": 1, 2: "b"}, [("a", "1"), ("2", "b")]),
        ("map", 5, None),
    ],
)
def test_a_value_becomes_the_nearest_its_field_can_hold(
    kind: str, value: object, expected: object
) -> None:
    """Where there is none it is unknown, and unknown is left out: never 0, never an empty text."""
    found = fitting(value, kind)

    assert (type(expected), expected) == (type(found), found)


@pytest.mark.parametrize("kind", ["int", "float", "bool", "str", "bytes", "map"])
def test_nothing_is_unknown(kind: str) -> None:
    """None is left out in each kind of field."""
    assert fitting(None, kind) is None


def test_a_batch_goes_on_where_the_one_before_ended() -> None:
    """What a batch tells holds for the next; after `restart` nothing does, nor before a tail."""
    batches, _ = make()
    event = [Recorded(KIND, 10, (1, "a"))]
    first, second = (batches.of_events(event)[0] for _ in range(2))
    batches.restart()
    third = batches.of_events(event)[0]

    assert first == third
    assert len(second) < len(first) / 2
    assert first.startswith(HEADER)
    assert not second.startswith(HEADER)
    assert [(1, "a")] * 3 == [e.values for e in Decoder(strict=True).read(first + second + third)]
    assert batches.tail(True).startswith(HEADER)


def test_own_events_are_in_the_order_of_their_times() -> None:
    """What does not fit is absent."""
    batches, _ = make()
    events = [Recorded(KIND, 10, ("x", None)), Recorded(KIND, 30, (3, "c"))]
    batch, following, count = batches.of_events(events)
    found = [(e.name, e.timestamp_ns, e.values) for e in read(batch)]

    assert (2, 2) == (following, count)
    assert [("app.hit", 10, (None, None)), ("app.hit", 30, (3, "c"))] == found


def test_batches_of_own_events_are_of_bounded_size() -> None:
    """Large texts make more batches; all events are in them."""
    batches, _ = make()
    events = [Recorded(KIND, n, (n, "x" * 16_000)) for n in range(200)]
    made = []
    at = 0
    while at < len(events):
        batch, at, count = batches.of_events(events, at)
        made.append((batch, count))

    assert len(made) > 1
    assert 200 == sum(count for _, count in made)
    assert max(len(batch) for batch, _ in made) < 600_000
    assert list(range(200)) == [e["n"] for batch, _ in made for e in read(batch)]


def test_an_event_that_cannot_be_written_is_in_no_batch() -> None:
    """It is not counted as written, and costs no other one."""
    batches, _ = make()
    nameless = EventKind("x" * 70_000, ())
    batch, following, count = batches.of_events(
        [Recorded(KIND, -1, (0, "")), Recorded(nameless, 1, ()), Recorded(KIND, 2, (1, "a"))]
    )

    assert (3, 1) == (following, count)
    assert [(1, "a")] == [e.values for e in read(batch)]
    assert (b"", 1, 0) == batches.of_events([Recorded(nameless, 1, ())])


def test_a_head_tells_clocks_metadata_and_every_name() -> None:
    """The clock anchor comes first, then the metadata."""
    batches, names = make(service="orders")
    names.note(0, 5, len, 0, None)
    names.note(1, 6, None, 0, None)
    events = read(batches.head(False))

    assert ["ClockSyncEvent", "SegmentMetadataEvent", "tacho:Name", "tacho:Name"] == [
        event.name for event in events
    ]
    entries = dict(events[1]["entries"])
    assert {"service": "orders", "segment.prior_sealed_clean": "false"} == entries
    assert [(0, 5, "callback:builtins.len"), (1, 6, "unknown")] == [e.values for e in events[2:]]


def test_a_tail_tells_how_the_segment_ended() -> None:
    """Notes are this segment's only, and of bounded size."""
    batches, _ = make()
    batches.note("dump.reason", "r" * 1000)
    first, second = (dict(read(batches.tail(True))[0]["entries"]) for _ in range(2))

    assert {"segment.sealed_clean": "true", "dump.reason": "r" * 500} == first
    assert {"segment.sealed_clean": "true"} == second


def test_a_lane_is_told_once_a_segment() -> None:
    """In front of its first block, and again after a new head or when it ended."""
    batches, _ = make()

    def told(tid: int = 7) -> list[str]:
        return [event.name for event in read(batches.of_lane(3, tid, 0, STEP))]

    assert ["tacho:Lane", "tacho:Steps"] == told()
    assert ["tacho:Steps"] == told()
    assert ["tacho:Lane", "tacho:Steps"] == told(8)
    batches.forget_lane(3, 7)
    assert ["tacho:Lane", "tacho:Steps"] == told()
    batches.head(True)
    assert ["tacho:Lane", "tacho:Steps"] == told()


def test_names_come_before_the_blocks_that_have_them() -> None:
    """Those since the batch before, once."""
    batches, names = make()
    names.note(0, 5, len, 0, None)
    events = read(batches.of_lane(3, 7, 40, STEP))

    assert ["tacho:Lane", "tacho:Name", "tacho:Steps"] == [event.name for event in events]
    assert (3, 40, 1) == tuple(events[2][field] for field in ("lane", "sequence", "count"))
    assert ["tacho:Steps"] == [e.name for e in read(batches.of_lane(3, 7, 41, STEP))]


def test_a_lane_is_told_with_its_loops_name() -> None:
    """And with the system's id of its thread."""
    batches, _ = make()
    lane: Any = read(batches.of_lane(3, 7, 0, STEP))[0]

    assert (3, 7, "io") == lane.values


def test_a_task_whose_end_an_event_tells_lives_until_that_is_settled() -> None:
    """The batch may be made once more in another segment, whose head must have the task, too."""
    living = new_living()
    living.add(0, b"".join(struct.pack("=QQQIIIBBH", 8, n, 0, 0, 0, 1, 2, 0, 0) for n in (5, 6)))
    batches = Batches(RecorderConfig(), dict, Names(), living)
    end = EventKind.builtin(EVENTS["TaskTerminateEvent"])
    for _ in range(2):
        batches.of_events([Recorded(end, 1_000, (5, 3))])
        assert 2 == len(living)
    batches.events_done()
    assert 1 == len(living)
    batches.events_done()
    assert 1 == len(living)
