"""Events to bytes."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from tachograph.errors import TachographError, TraceFormatError
from tachograph.trace import Annotation, Decoder, Encoder, Field, FieldType, Schema
from tachograph.trace.schema import HEADER

from . import vectors
from .vectors import ALL_EVENT, ALL_TYPES, ALL_VALUES, WORKED, WORKED_SHA256

T = 1_000_000_000_000
ONE = Schema("one", (Field("v", FieldType.VARINT),))


def value_bytes(kind: FieldType, value: Any) -> bytes:
    """Return how a single *value* is written."""
    encoder = Encoder()
    encoder.schema(schema := Schema("s", (Field("f", kind),)))
    before = len(encoder)
    encoder.event(schema, 0, value)

    return encoder.take()[before + 6 :]


def test_worked_example() -> None:
    """Clock, metadata and a batch are written byte for byte as the document shows [format 8]."""
    encoder = Encoder()
    encoder.event(vectors.CLOCK, T, 1_790_000_000_000_000_000)
    encoder.restart()
    encoder.event(vectors.METADATA, T + 1000, {"service": "demo", "runtime.main": "0"})
    encoder.event(vectors.CLOCK, T + 1000, 1_790_000_000_000_001_000)
    encoder.restart()
    encoder.event(vectors.WAKE, T + 2000, 0, 7, 0)
    encoder.event(vectors.START, T + 12_000, 0, 1, 7, "app.py:42")
    encoder.event(vectors.SAMPLE, T + 5_012_000, 0, 1234, 0, "MainThread", (0x1000, 0x2000), None)
    encoder.event(vectors.END, T + 30_012_000, 0)
    encoder.event(vectors.SYMBOL, 0, 0x1000, 0, "app::slow", 0, "app.py", 50)

    assert WORKED == encoder.take()
    assert (783, WORKED_SHA256) == (len(WORKED), hashlib.sha256(WORKED).hexdigest())


def test_every_type() -> None:
    """Each field type has its bytes, present and absent options too [format 15]."""
    encoder = Encoder()
    encoder.event(ALL_TYPES, 1_000_000_000, *ALL_VALUES)
    batch = encoder.take()

    assert 265 == len(batch)
    assert batch.endswith(ALL_EVENT)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0, "00"),
        (1, "01"),
        (127, "7f"),
        (128, "8001"),
        (300, "ac02"),
        (16_383, "ff7f"),
        (16_384, "808001"),
        (2**32, "8080808010"),
        (2**53, "80" * 7 + "10"),
        (2**63, "80" * 9 + "01"),
        (2**64 - 1, "ff" * 9 + "01"),
    ],
)
def test_varints(value: int, expected: str) -> None:
    """A number takes seven bits a byte, low group first [format 15]."""
    assert expected == value_bytes(FieldType.VARINT, value).hex()


def test_lengths() -> None:
    """An empty string takes 4 bytes, five frames take 44 [format 15]."""
    assert 4 == len(value_bytes(FieldType.STRING, ""))
    assert 44 == len(value_bytes(FieldType.STACK_FRAMES, range(5)))


def test_times_are_deltas() -> None:
    """A step back, or one of more than 16.777 ms, costs a reset of nine bytes [format 4]."""
    encoder = Encoder()
    encoder.schema(ONE)
    sizes = []
    for time in (0xFFFFFF, 0xFFFFFF, 2 * 0xFFFFFF, 3 * 0xFFFFFF + 1, 0):
        before = len(encoder)
        encoder.event(ONE, time, 0)
        sizes.append(len(encoder) - before)
    times = [event.timestamp_ns for event in Decoder(strict=True).read(encoder.take())]

    assert [7, 7, 7, 16, 16] == sizes
    assert [0xFFFFFF, 0xFFFFFF, 2 * 0xFFFFFF, 3 * 0xFFFFFF + 1, 0] == times


def test_pools_hold_each_entry_once() -> None:
    """Equal strings and stacks of a stream share their id; ids count from 0 [format 5]."""
    encoder = Encoder()

    assert [0, 1, 0] == [encoder.string(text) for text in ("a", "b", "a")]
    assert [0, 1, 0] == [encoder.stack(frames) for frames in ((1,), (), [1])]

    encoder.take()

    assert (0, 0) == (encoder.string("b"), encoder.stack([2]))


def test_the_first_string_can_be_empty() -> None:
    """Id 0 is the empty string where spawn statistics take it for no location [format 5]."""
    encoder = Encoder(reserve_empty=True)

    assert [1, 0, 2] == [encoder.string(text) for text in ("a", "", "b")]


def test_batches_stand_alone() -> None:
    """Each batch has its header, schemas and pools: order and loss do no harm [format 9]."""
    encoder = Encoder()
    schema = Schema("s", (Field("t", FieldType.POOLED_STRING),))
    batches = []
    for time in (5, 6):
        encoder.event(schema, time, "text")
        batches.append(encoder.take())

    assert HEADER == encoder.take()
    for order in (batches, batches[::-1], batches[1:]):
        events = Decoder(strict=True).read(b"".join(order))
        assert ["text"] * len(order) == [event["t"] for event in events]


def test_annotations() -> None:
    """Readers get them by the schema's name; several frames add up [format 2]."""
    encoder = Encoder()
    encoder.annotate(ONE, [Annotation(0, "unit", "ns")])
    encoder.annotate(ONE, [Annotation(0, "kind", "gauge")])
    decoder = Decoder(strict=True)

    assert [] == decoder.read(encoder.take())
    assert {"one": [(0, "unit", "ns"), (0, "kind", "gauge")]} == decoder.annotations


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (FieldType.I64, 2**63),
        (FieldType.VARINT, -1),
        (FieldType.VARINT, 2**64),
        (FieldType.U8, 256),
        (FieldType.U16, -1),
        (FieldType.U32, 2**32),
        (FieldType.STRING, 7),
        (FieldType.BYTES, "text"),
        (FieldType.POOLED_STRING, None),
        (FieldType.POOLED_STACK, [2**64]),
        (FieldType.STRING_MAP, [("a",)]),
        (FieldType.DYNAMIC_LIST, [object()]),
        (FieldType.F64, "1"),
    ],
)
def test_values_that_do_not_fit(kind: FieldType, value: object) -> None:
    """A value that its field cannot hold is refused by name, and the event leaves no bytes."""
    encoder = Encoder()
    schema = Schema("s", (Field("first", FieldType.U8), Field("f", kind)))
    encoder.schema(schema)
    before = len(encoder)

    with pytest.raises(TraceFormatError, match=r"got"):
        encoder.event(schema, 0, 1, value)
    assert before == len(encoder)


@pytest.mark.parametrize(
    ("time", "values"), [(0, ()), (0, (1, 2)), (None, (1,)), (-1, (1,)), (2**64, (1,))]
)
def test_events_that_do_not_fit(time: int | None, values: tuple[int, ...]) -> None:
    """An event needs its values and a time from 0 to 2^64 - 1."""
    with pytest.raises(TraceFormatError, match="Expected"):
        Encoder().event(ONE, time, *values)


def test_events_without_time() -> None:
    """A schema may go without a time, and its events must then."""
    encoder = Encoder()
    schema = Schema("s", (), timestamp=False)
    encoder.event(schema, None)

    with pytest.raises(TraceFormatError, match="no timestamp"):
        encoder.event(schema, 1)
    assert [None] == [e.timestamp_ns for e in Decoder(strict=True).read(encoder.take())]


def test_a_name_has_one_list_of_fields() -> None:
    """A second shape of a name is refused within a stream and taken in the next [events 11]."""
    encoder = Encoder()
    other = Schema("one", (Field("v", FieldType.U8),))
    encoder.event(ONE, 0, 1)

    assert encoder.is_other(other)
    with pytest.raises(TraceFormatError, match="another name"):
        encoder.event(other, 0, 1)

    encoder.take()
    encoder.event(other, 0, 1)

    assert 1 == encoder.events


def test_the_error_is_one_of_ours() -> None:
    """It is a `ValueError`, as a caller would expect, and tells where."""
    error = TraceFormatError("Expected a, got b.", offset=7)

    assert isinstance(error, (TachographError, ValueError))
    assert ("Expected a, got b. At byte 7.", 7) == (str(error), error.offset)
