"""Bytes to events: the decoder's contract, row by row."""

from __future__ import annotations

import struct
import subprocess
import sys
import tracemalloc
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest

import tachograph.trace
from tachograph.errors import TraceFormatError
from tachograph.trace import Decoder, Encoder, Event, Field, FieldType, Schema

from .vectors import ALL_TYPES, ALL_VALUES, HEADER, WORKED

PACKAGE = Path(tachograph.trace.__file__).parent.parent
OTHERS = ("metrics", "logs", "formats", "sinks", "telemetry", "recorder")

ONE = Schema("one", (Field("v", FieldType.VARINT),))


def one(*numbers: int) -> bytes:
    """Return a stream with an event for each number."""
    encoder = Encoder()
    for n in numbers:
        encoder.event(ONE, n, n)
    return encoder.take()


def schema_frame(kinds: list[int], *, type_id: int = 0, name: bytes = b"s") -> bytes:
    """Return a schema frame whose fields are called `f`."""
    fields = b"".join(b"\x01\0f" + bytes([kind]) for kind in kinds)
    head = struct.pack("<BHH", 1, type_id, len(name)) + name
    return head + struct.pack("<BH", 1, len(kinds)) + fields


def event_frame(body: bytes, *, type_id: int = 0) -> bytes:
    """Return an event frame without a step in time."""
    return struct.pack("<BH", 2, type_id) + bytes(3) + body


def lenient(data: bytes) -> tuple[Decoder, list[Event]]:
    """Return what a lenient decoder makes of *data*."""
    decoder = Decoder()
    return decoder, decoder.read(data)


def strict_error(data: bytes) -> TraceFormatError:
    """Return the error of a strict decoder."""
    with pytest.raises(TraceFormatError) as caught:
        Decoder(strict=True).read(data)
    return caught.value


def test_worked_example() -> None:
    """Three streams give their seven events, times and resolved pools [format 8]."""
    decoder = Decoder(strict=True)
    events = decoder.read(WORKED)
    times = [event.timestamp_ns for event in events]
    sample, symbol = events[5], events[7]

    assert [0, 1000, 1000, 2000, 12_000, 5_012_000, 30_012_000] == [
        time - 10**12 for time in times[:-1] if time is not None
    ]
    assert 0 == times[-1]
    assert (0, 1234, 0, "MainThread", (0x1000, 0x2000), None) == sample.values
    assert (0x1000, 0, "app::slow", 0, "app.py", 50) == symbol.values
    assert [("service", "demo"), ("runtime.main", "0")] == events[1]["entries"]
    assert Counter(
        headers=3, schemas=8, events=8, resets=5, string_pools=4, stack_pools=1
    ) == Counter(decoder.frames)


def test_every_type() -> None:
    """Each field type is read back; a dynamic list remembers its types [format 15]."""
    encoder = Encoder()
    encoder.event(ALL_TYPES, 1_000_000_000, *ALL_VALUES)
    batch = encoder.take()
    (event,) = Decoder(strict=True).read(batch)
    encoder.event(ALL_TYPES, 1_000_000_000, *event.values)

    assert (*ALL_VALUES[:14], [(7, "x")], *ALL_VALUES[15:]) == event.values
    assert batch == encoder.take()


def test_events_answer_by_name() -> None:
    """An event gives its values by the names of its fields."""
    (event,) = Decoder().read(one(5))

    assert ("one", 5, 5, None, {"v": 5}) == (
        event.name,
        event.timestamp_ns,
        event["v"],
        event.get("w"),
        event.as_dict(),
    )


@pytest.mark.parametrize("data", [b"", b"TRC", b"TRC\0", b"\x1f\x8b\x08\0\0", b"TRX\0\x01", b"{"])
def test_no_trace(data: bytes) -> None:
    """Less than a header, or another beginning, is an error in either mode [format 7]."""
    assert 0 == strict_error(data).offset
    with pytest.raises(TraceFormatError, match=r"Expected a trace"):
        Decoder().read(data)


@pytest.mark.parametrize("before", [b"", one(1)])
def test_another_version(before: bytes) -> None:
    """A version other than 1 is counted and read on, or an error [format 7]."""
    data = before + b"TRC\0\x02" + one(7)[5:]
    decoder, events = lenient(data)

    assert 7 == events[-1]["v"]
    assert Counter(unknown_versions=1) == decoder.forgiven
    assert len(before) == strict_error(data).offset


@pytest.mark.parametrize(
    "tail", [b"T", b"TRC\0", b"\0", b"\0" * 4096, b"\x02", b"\x02\0\0\0\0", b"\x05\0", b"\x01\0"]
)
def test_a_cut_file(tail: bytes) -> None:
    """An end within a frame, a header or padding keeps what is before and is marked [format 7]."""
    data = one(1, 2)
    decoder, events = lenient(data + tail)

    assert [1, 2] == [event["v"] for event in events]
    assert (True, False, len(data)) == (decoder.truncated, decoder.corrupt, decoder.offset)
    assert decoder.problem is not None
    assert len(data) == strict_error(data + tail).offset


@pytest.mark.parametrize(
    "frame",
    [
        b"\x07",
        b"\0\0\x01",
        b"TRX",
        event_frame(b"", type_id=9),
        schema_frame([0]),
        schema_frame([16]),
        schema_frame([0xFF]),
        event_frame(b"\xff" * 10 + b"\x01"),
        event_frame(b"\xff" * 9 + b"\x02"),
        b"\x06" + b"\x80" * 10,
        schema_frame([14], type_id=1) + event_frame(b"\x01\0\0\0\0", type_id=1),
    ],
    ids=[
        *("unknown-tag", "zeros-then-data", "no-header", "unknown-type-id", "type-0", "type-16"),
        *("type-127-optional", "long-leb", "large-leb", "long-leb-in-annotations", "tag-0-in-list"),
    ],
)
def test_a_corrupt_frame(frame: bytes) -> None:
    """What cannot be a frame ends the reading; the events before it are kept [format 7]."""
    data = one(1, 2)
    decoder, events = lenient(data + frame + one(3))

    assert [1, 2] == [event["v"] for event in events]
    assert (False, True) == (decoder.truncated, decoder.corrupt)
    assert decoder.problem is not None
    assert decoder.offset == decoder.problem.offset == strict_error(data + frame).offset
    assert decoder.offset >= len(data)
    assert [] == decoder.feed(one(4))


@pytest.mark.parametrize(
    ("data", "what", "value"),
    [
        (schema_frame([4]) + event_frame(b"\x01\0\0\0\xff"), "invalid_utf8", "\ufffd"),
        (schema_frame([7]) + event_frame(bytes(4)), "unresolved_strings", None),
        (schema_frame([6]) + event_frame(bytes(4)), "unresolved_stacks", ()),
        (schema_frame([0x8B]) + event_frame(b"\x02\x05"), "odd_prefixes", 5),
        (schema_frame([11]) + schema_frame([3]) + event_frame(b"\x05"), "redefined_types", True),
        (b"\x06\x09\0\0" + schema_frame([11]) + event_frame(b"\x01"), "unknown_annotations", 1),
    ],
    ids=["utf8", "string", "stack", "prefix", "redefined", "annotation"],
)
def test_what_is_forgiven(data: bytes, what: str, value: object) -> None:
    """A lenient reader counts it and has a value to go on with; a strict one raises [format 7]."""
    data = HEADER + data
    decoder, events = lenient(data)

    assert [value] == [event["f"] for event in events]
    assert Counter({what: 1}) == decoder.forgiven
    assert not decoder.corrupt
    assert strict_error(data).offset is not None


def test_the_same_schema_again() -> None:
    """A schema may be sent again as it was [format 2]."""
    data = HEADER + schema_frame([11]) * 2 + event_frame(b"\x05")

    assert [5] == [event["f"] for event in Decoder(strict=True).read(data)]


def test_a_header_forgets_everything() -> None:
    """After a header, types, pools and the time base are new [format 1]."""
    data = one(1000)
    frame = b"\x02\0\0\x05\0\0\x07"

    assert [1000, 1005] == [e.timestamp_ns for e in Decoder().read(data + frame)]
    decoder, events = lenient(data + HEADER + frame)

    assert ([1000], True) == ([e.timestamp_ns for e in events], decoder.corrupt)


@pytest.mark.parametrize(
    ("kinds", "body"),
    [
        ([4], b"\xff\xff\xff\xff"),
        ([5], b"\xff\xff\xff\xff12"),
        ([8], b"\xff\xff\xff\xff" + bytes(16)),
        ([10], b"\xff\xff\xff\xff" + bytes(16)),
        ([14], b"\xff\xff\xff\xff\x0b\x01"),
        ([15], b"\xff\xff\xff\xff\x0b\x01\x0b\x01"),
    ],
)
def test_declared_sizes_allocate_nothing(kinds: list[int], body: bytes) -> None:
    """A length beyond the input is a cut, and nothing of that size is made [format 7]."""
    data = HEADER + schema_frame(kinds) + event_frame(body)
    tracemalloc.start()
    decoder, events = lenient(data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert ([], True) == (events, decoder.truncated)
    assert peak < 200_000
    assert strict_error(data).offset == len(HEADER + schema_frame(kinds))


@pytest.mark.parametrize("tag", [3, 4])
def test_declared_pools_allocate_nothing(tag: int) -> None:
    """So with the entries of pools [format 7]."""
    data = HEADER + bytes([tag]) + b"\xff" * 4 + bytes(4) + b"\xff" * 4
    decoder, events = lenient(data)

    assert ([], True) == (events, decoder.truncated)


def test_deep_lists() -> None:
    """Lists nest 64 deep; more is garbage, not a stack overflow."""
    nested = b"\x01\0\0\0\x0e" * 100_000
    decoder, events = lenient(HEADER + schema_frame([14]) + event_frame(nested))

    assert ([], True) == (events, decoder.corrupt)


def test_pieces_of_any_size() -> None:
    """Fed byte by byte, a trace gives the same events, counts and offsets as in one piece."""
    data = WORKED + HEADER + schema_frame([4, 7]) + event_frame(b"\x01\0\0\0\xff" + bytes(4))
    whole, expected = lenient(data)
    decoder = Decoder()
    events = [event for n in range(len(data)) for event in decoder.feed(data[n : n + 1])]

    assert expected == events + decoder.close()
    assert (whole.frames, whole.forgiven) == (decoder.frames, decoder.forgiven)
    assert (len(data), False) == (decoder.offset, decoder.truncated)


def test_truncation_at_every_offset() -> None:
    """Each prefix of a file gives a prefix of its events, and is marked where it cuts a frame."""
    expected = Decoder(strict=True).read(WORKED)
    found = [lenient(WORKED[:n]) for n in range(len(HEADER), len(WORKED) + 1)]
    counts = [len(events) for _, events in found]

    assert all(expected[: len(events)] == events for _, events in found)
    assert all(a <= b for a, b in pairwise(counts))
    assert len(expected) == counts[-1]
    assert all(
        decoder.truncated == (decoder.offset != n)
        for n, (decoder, _) in enumerate(found, len(HEADER))
    )


def test_an_event_is_not_hashable() -> None:
    """Events are equal by what they hold, whichever ids their stream gave."""
    assert Decoder().read(one(1)) == Decoder().read(one(1))
    assert "one" in repr(Decoder().read(one(1))[0])
    assert Decoder().read(one(1)) != [object()]
    with pytest.raises(TypeError):
        hash(Decoder().read(one(1))[0])


def test_reading_needs_no_loop() -> None:
    """A laptop reads a trace: nothing of asyncio, records, logs or the recorder is imported."""
    program = "import sys, tachograph.trace; print(*sys.modules)"
    alone = "import sys; sys.modules['tachograph'] = type(sys)('tachograph'); "
    alone += f"sys.modules['tachograph'].__path__ = [{str(PACKAGE)!r}]; "
    done = subprocess.run(
        [sys.executable, "-c", alone + program], capture_output=True, text=True, check=True
    )
    modules = set(done.stdout.split())

    assert "tachograph.trace.decode" in modules
    assert set() == modules & {"asyncio", *(f"tachograph.{part}" for part in OTHERS)}
