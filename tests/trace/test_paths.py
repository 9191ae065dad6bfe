"""Stacks that are written as what is new of them: frames in front of others."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tachograph.errors import TraceFormatError
from tachograph.trace import Decoder, Encoder
from tachograph.trace.columns import put_leb
from tachograph.trace.schema import HEADER, MOST_PATH, Field, FieldType, Schema

SAMPLE = Schema("sample", (Field("stack", FieldType.POOLED_STACK),))

addresses = st.sampled_from([1, 2, 3, 2**64 - 1])
stacks = st.lists(st.lists(addresses, max_size=6).map(tuple), max_size=12)


def written(found: list[tuple[int, ...]], *, shares: bool = True) -> bytes:
    """Return a stream with an event for each stack."""
    encoder = Encoder(shares_stacks=shares)
    for stack in found:
        encoder.event(SAMPLE, 7, stack)
    return encoder.take()


def read(data: bytes) -> list[tuple[int, ...]]:
    """Return the stack of each event."""
    return [event["stack"] for event in Decoder(strict=True).read(data)]


def path(pool_id: int, outer: int, *frames: int, count: int | None = None) -> bytes:
    """Return a frame 07."""
    out = bytearray(b"\x07")
    for number in (pool_id, outer, len(frames) if count is None else count):
        put_leb(out, number)
    return bytes(out) + b"".join(frame.to_bytes(8, "little") for frame in frames)


@given(stacks)
def test_stacks_come_back(found: list[tuple[int, ...]]) -> None:
    """Whichever share what; and the same events as without sharing."""
    assert found == read(written(found)) == read(written(found, shares=False))


def test_only_what_is_new_is_written() -> None:
    """Nine bytes and a few for a line that differs, whatever lies below it."""
    below = tuple(range(100, 140))
    few = written([(1, *below), (2, *below)])
    more = written([(1, *below), (2, *below), (3, 9, *below), below[5:]])

    assert len(more) - len(few) == (1 + 3 + 16) + 2 * (1 + 2 + 3 + 4)


def test_a_very_deep_stack_is_written_whole() -> None:
    """A path has 512 frames at most."""
    deepest, deeper = tuple(range(MOST_PATH)), tuple(range(MOST_PATH + 1))
    encoder = Encoder(shares_stacks=True)
    for stack in (deepest, deeper, deepest[1:]):
        encoder.event(SAMPLE, 7, stack)
    decoder = Decoder(strict=True)
    found = [event["stack"] for event in decoder.read(encoder.take())]

    assert [deepest, deeper, deepest[1:]] == found
    assert (1, 1) == (decoder.frames["stack_paths"], decoder.frames["stack_pools"])


def test_a_path_may_go_on_from_a_whole_stack() -> None:
    """And from one that was not defined: then nothing lies below."""
    pool = b"\x04\x01\0\0\0\x05\0\0\0\x02\0\0\0" + bytes([8, *[0] * 7, 9, *[0] * 7])
    stream = HEADER + pool + path(6, 6, 1, 2) + path(10, 78, 3)
    uses = [b"\x02\0\0\0\0\0" + bytes([number, 0, 0, 0]) for number in (7, 6, 10)]
    schema = written([(1,)])
    schema = schema[len(HEADER) : schema.index(b"\x07")]

    assert [(2, 1, 8, 9), (1, 8, 9), (3,)] == read(stream + schema + b"".join(uses))


@pytest.mark.parametrize(
    "frame",
    [
        path(0, 0),
        path(0, 0, count=MOST_PATH + 1),
        path(0, 0, count=2**63),
        path(0, 0, *range(500)) + path(500, 500, *range(13)),
    ],
    ids=["nothing", "too-deep", "huge", "too-deep-together"],
)
def test_paths_that_make_no_sense(frame: bytes) -> None:
    """The one error; nothing is made of a size that was only declared."""
    with pytest.raises(TraceFormatError, match="a stack of 1 to 512 frames"):
        Decoder(strict=True).read(HEADER + frame)


def test_a_path_that_leads_to_itself_ends() -> None:
    """An id that is defined again is the later one; no stack has more than 512 frames."""
    stream = HEADER + path(0, 0, 1) + path(1, 1, 2) + path(0, 2, 3)
    schema = written([(1,)])
    schema = schema[len(HEADER) : schema.index(b"\x07")]
    (found,) = read(stream + schema + b"\x02\0\0\0\0\0\x01\0\0\0")

    assert (2, 3) * (MOST_PATH // 2) == found
