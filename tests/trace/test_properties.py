"""What holds of any bytes and of any events."""

from __future__ import annotations

import math
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tachograph.errors import TraceFormatError
from tachograph.trace import Decoder, Encoder, Event, Field, FieldType, Schema, assemble
from tachograph.trace.dial9 import Conversion
from tachograph.trace.events import EVENTS
from tachograph.trace.pack import pack

from .service_load import service_load, write_load
from .vectors import HEADER, WORKED

U64 = st.integers(0, 2**64 - 1) | st.sampled_from([0, 127, 128, 16383, 16384, 2**32 - 1, 2**63])
TEXT = st.text(max_size=12)
FRAMES = st.lists(U64, max_size=5).map(tuple)
FLOATS = st.floats(allow_nan=False)
SCALARS = st.booleans() | U64 | st.integers(-(2**63), -1) | FLOATS | TEXT | st.binary(max_size=9)
VALUES: dict[FieldType, st.SearchStrategy[Any]] = {
    FieldType.I64: st.integers(-(2**63), 2**63 - 1),
    FieldType.F64: FLOATS,
    FieldType.BOOL: st.booleans(),
    FieldType.STRING: TEXT,
    FieldType.BYTES: st.binary(max_size=40),
    FieldType.POOLED_STACK: FRAMES,
    FieldType.POOLED_STRING: TEXT,
    FieldType.STACK_FRAMES: FRAMES,
    FieldType.VARINT: U64,
    FieldType.STRING_MAP: st.lists(st.tuples(TEXT, TEXT), max_size=4),
    FieldType.U8: st.integers(0, 255),
    FieldType.U16: st.integers(0, 65535),
    FieldType.U32: st.integers(0, 2**32 - 1),
    FieldType.DYNAMIC_LIST: st.recursive(
        st.lists(SCALARS, max_size=4), lambda inner: st.lists(inner | SCALARS, max_size=3)
    ),
    FieldType.DYNAMIC_MAP: st.lists(st.tuples(SCALARS, SCALARS), max_size=4),
}
FIELDS = st.builds(Field, TEXT, st.sampled_from(FieldType), st.booleans())
Written = list[tuple[Schema, int | None, tuple[Any, ...]]]


@st.composite
def streams(draw: st.DrawFn) -> tuple[bytes, Written]:
    """Bytes, and the events that were written into them."""
    schemas = [
        Schema(f"{n}{draw(TEXT)}", tuple(draw(st.lists(FIELDS, max_size=8))), draw(st.booleans()))
        for n in range(draw(st.integers(1, 3)))
    ]
    encoder, written = Encoder(), []
    for _ in range(draw(st.integers(0, 8))):
        schema = draw(st.sampled_from(schemas))
        values = tuple(
            draw(VALUES[f.type] | st.none() if f.optional else VALUES[f.type])
            for f in schema.fields
        )
        time = draw(U64 | st.integers(0, 2**25)) if schema.timestamp else None
        encoder.event(schema, time, *values)
        written.append((schema, time, values))
        if draw(st.integers(0, 4)) == 0:
            encoder.restart()
    return encoder.take(), written


def plain(events: list[Event]) -> Written:
    """Return what the events hold."""
    return [(e.schema, e.timestamp_ns, e.values) for e in events]


@settings(max_examples=settings().max_examples // 2)
@given(streams())
def test_what_is_written_is_read(stream: tuple[bytes, Written]) -> None:
    """Any events of any schemas come back, times and pools included [format 15.2]."""
    data, written = stream

    assert written == plain(Decoder(strict=True).read(data))


@settings(max_examples=settings().max_examples // 2)
@given(streams(), streams())
def test_joined_files_are_read_one_after_the_other(
    first: tuple[bytes, Written], second: tuple[bytes, Written]
) -> None:
    """The events of `a + b` are those of `a` and then those of `b` [format 15.3]."""
    assert first[1] + second[1] == plain(Decoder(strict=True).read(first[0] + second[0]))


@settings(max_examples=settings().max_examples // 2)
@given(streams(), st.data())
def test_a_prefix_gives_a_prefix(stream: tuple[bytes, Written], data: st.DataObject) -> None:
    """Whatever is cut off, the events before the cut are read [format 15.4]."""
    whole, written = stream
    size = data.draw(st.integers(len(HEADER), len(whole)))
    decoder = Decoder()
    found = plain(decoder.read(whole[:size]))

    assert written[: len(found)] == found
    assert not decoder.corrupt


@settings(max_examples=settings().max_examples // 2)
@given(streams(), st.lists(st.integers(1, 60), min_size=1))
def test_pieces_give_the_same(stream: tuple[bytes, Written], sizes: list[int]) -> None:
    """It does not matter how the bytes arrive."""
    whole, written = stream
    decoder, events, at = Decoder(strict=True), [], 0
    while at < len(whole):
        size = sizes[at % len(sizes)]
        events += decoder.feed(whole[at : at + size])
        at += size

    assert written == plain(events + decoder.close())


def reads_or_raises(data: bytes) -> None:
    """Read, assemble and convert *data*: only one error may come out."""
    for strict in (True, False):
        decoder = Decoder(strict=strict)
        try:
            trace = assemble(decoder.read(data), decoder)
            Decoder(strict=True).read(b"".join(pack(trace)) or HEADER)
            for batch in Conversion(trace).batches():
                Decoder(strict=True).read(batch)
        except TraceFormatError:
            continue


@given(st.binary(max_size=400) | st.binary(max_size=400).map(lambda data: HEADER + data))
def test_garbage_reads_or_raises(data: bytes) -> None:
    """Any bytes read or raise `TraceFormatError`, nothing else [format 15.1]."""
    reads_or_raises(data)


@given(st.lists(st.tuples(st.integers(0, len(WORKED) - 1), st.integers(0, 255)), max_size=6))
def test_damage_reads_or_raises(damage: list[tuple[int, int]]) -> None:
    """So does a trace in which bytes have changed."""
    data = bytearray(WORKED)
    for at, byte in damage:
        data[at] = byte
    reads_or_raises(bytes(data))


BLOCKS = write_load(service_load(3), shift=3)


@settings(max_examples=2 * settings().max_examples)
@given(st.lists(st.tuples(st.integers(0, len(BLOCKS) - 1), st.integers(0, 255)), max_size=6))
def test_damaged_blocks_read_or_raise(damage: list[tuple[int, int]]) -> None:
    """So do blocks in which bytes have changed."""
    data = bytearray(BLOCKS)
    for at, byte in damage:
        data[at] = byte
    reads_or_raises(bytes(data))


def test_blocks_cut_at_every_byte() -> None:
    """Whatever is cut off, what stands before the cut is read, and never less than with less."""
    steps = []
    for size in range(len(HEADER), len(BLOCKS)):
        decoder = Decoder()
        trace = assemble(decoder.read(BLOCKS[:size]), decoder)
        steps.append(len(trace.steps))
        assert trace.forgiven.keys() <= {"unknown_locations"}

    assert sorted(steps) == steps
    assert 30 == steps[-1]


@st.composite
def odd_events(draw: st.DrawFn) -> bytes:
    """Built-in names with their own fields and any values, or with any fields at all."""
    encoder = Encoder()
    for name in draw(st.lists(st.sampled_from(sorted(EVENTS)), max_size=8, unique=True)):
        schema = EVENTS[name]
        if draw(st.integers(0, 3)) == 0:
            schema = Schema(name, tuple(draw(st.lists(FIELDS, max_size=4))), draw(st.booleans()))
        for _ in range(draw(st.integers(1, 3))):
            values = [
                draw(VALUES[f.type] | st.none() if f.optional else VALUES[f.type])
                for f in schema.fields
            ]
            encoder.event(schema, draw(U64) if schema.timestamp else None, *values)
    return encoder.take()


@given(odd_events())
def test_odd_events_read_or_raise(data: bytes) -> None:
    """So do built-in names whose fields or values are not what they should be."""
    reads_or_raises(data)


def test_floats_keep_their_bits() -> None:
    """Zero's sign, the infinities and no number come back [format 15]."""
    schema = Schema("f", (Field("f", FieldType.F64),))
    encoder = Encoder()
    for value in (0.0, -0.0, math.inf, -math.inf, math.nan):
        encoder.event(schema, 0, value)
    found = [event["f"] for event in Decoder(strict=True).read(encoder.take())]

    assert ["0.0", "-0.0", "inf", "-inf", "nan"] == [repr(value) for value in found]
