"""Raw events to columns and back, natively and in Python."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tachograph._core import loop
from tachograph.errors import TraceFormatError
from tachograph.trace.delta import RAW_EVENT, UNKNOWN, columns, rows

STEP, SPAWN, PARK, CHECKPOINT = 1, 2, 3, 4
LONG_DURATION, LONG_DELAY, CALLBACK, TIMER, EAGER, CONTINUED = 1, 2, 4, 8, 16, 32
U64, U32 = st.integers(0, 2**64 - 1), st.integers(0, 2**32 - 1)
IDS = st.integers(0, 2**60 - 1) | st.integers(1024, 1100)
TIMES = st.integers(2**43, 2**61) | st.integers(2**43, 2**43 + 10**6)
WAKERS = st.builds(
    lambda kind, number: kind << 60 | (0 if kind in (2, 3) else number), st.integers(0, 4), IDS
)
KNOWN = (0, 64, 4, 12, 32)

Raw = tuple[int, ...]

steps = st.tuples(
    *(TIMES, IDS, WAKERS, U32, U32, st.just(0) | U32, st.just(STEP)),
    st.sampled_from(KNOWN) | st.integers(0, 255),
    st.integers(0, 65535) | st.integers(0, 3),
)
parks = st.tuples(
    *(TIMES, st.just(0), st.just(0), U32, U32, st.just(0), st.just(PARK)),
    *(st.integers(0, 3), st.integers(0, 65535)),
)
spawns = st.tuples(
    *(TIMES, IDS, WAKERS, st.just(0), st.just(0), U32, st.just(SPAWN)),
    *(st.sampled_from((0, EAGER, CONTINUED, EAGER | CONTINUED)), st.just(0)),
)
checkpoints = st.tuples(
    *(TIMES, st.integers(0, 2**60), st.integers(0, 2**60) | st.just(2**64 - 1)),
    *(st.just(0), st.just(0), st.just(0), st.just(CHECKPOINT), st.just(0), st.just(0)),
)
anything = st.tuples(
    *(U64, U64, U64, U32, U32, U32, st.integers(0, 255), st.integers(0, 255)),
    st.integers(0, 65535),
)


def pack(events: Sequence[Raw]) -> bytes:
    """Return *events* as they stand in a ring."""
    return b"".join(RAW_EVENT.pack(*event) for event in events)


@pytest.mark.skipif(loop is None, reason="there is no native core")
@settings(max_examples=2 * settings().max_examples)
@given(st.lists(anything | steps | parks | spawns | checkpoints, max_size=40), st.integers(0, 20))
def test_both_write_the_same(events: list[Raw], shift: int) -> None:
    """The native core and Python make equal columns of any events."""
    assert loop is not None
    assert loop.columns(pack(events), shift) == columns(pack(events), shift)


@pytest.mark.skipif(loop is None, reason="there is no native core")
@settings(max_examples=20)
@given(st.lists(st.integers(0, 300), min_size=300, max_size=600), st.sampled_from((STEP, SPAWN)))
def test_both_forget_the_same_shapes(numbers: list[int], kind: int) -> None:
    """Of more shapes than a block remembers, too: the one that has been there longest goes."""
    assert loop is not None
    # Threads as wakers make a shape for each number, whatever came before.
    events = [(2**43 + n, 2_000, 4 << 60 | by, 5, 5, 0, kind, 0, 0) for n, by in enumerate(numbers)]

    assert loop.columns(pack(events), 0) == columns(pack(events), 0)


def span(value: int, flags: int, flag: int) -> int:
    """Return a span of a raw event in ns."""
    return value << 10 if flags & flag else value


@settings(max_examples=2 * settings().max_examples)
@given(
    st.lists(steps, max_size=20),
    st.lists(parks, max_size=20),
    st.lists(spawns, max_size=20),
    st.lists(checkpoints, max_size=20),
    st.integers(0, 20),
)
def test_what_was_written_is_read(
    stepped: list[Raw], parked: list[Raw], born: list[Raw], read: list[Raw], shift: int
) -> None:
    """Each moment comes back cut to its unit, so that errors never add up; all else as it was."""

    def cut(ns: int) -> int:
        return ns >> shift << shift

    blocks = columns(pack([*parked, *stepped, *read, *born]), shift)
    found = [
        list(zip(*rows(which, block, shift), strict=True)) if block[0] else []
        for which, block in enumerate(blocks)
    ]

    assert found[0] == [
        (
            cut(t0),
            cut(t0 + span(duration, flags, LONG_DURATION)) - cut(t0),
            *wake(cut(t0) - cut(t0 - span(delay, flags, LONG_DELAY)), waker, flags, task),
            queue,
            flags & ~3,
            0 if flags & (CONTINUED | CALLBACK) else chain,
        )
        for t0, task, waker, duration, delay, chain, _, flags, queue in stepped
    ]
    assert found[1] == [
        (cut(t0), cut(woke) - cut(t0), cut(woke + span(delay, flags, 2)) - cut(woke), queue)
        for t0, _, _, duration, delay, _, _, flags, queue in parked
        for woke in [t0 + span(duration, flags, 1)]
    ]
    assert found[2] == [
        (cut(t0), task, by, name, flags) for t0, task, by, _, _, name, _, flags, _ in born
    ]
    assert found[3] == [
        (cut(t0), cpu, UNKNOWN if waited == 2**64 - 1 else waited) for t0, cpu, waited, *_ in read
    ]


def wake(delay: int, waker: int, flags: int, task: int) -> tuple[int, int, int]:
    """Return delay, task and waker as a block gives them: only what was queued has a delay."""
    if flags & CONTINUED:
        return UNKNOWN, task, 0
    unknown = flags & EAGER or not (delay or waker)
    return (UNKNOWN if unknown else delay), task, waker


@settings(max_examples=2 * settings().max_examples)
@given(st.integers(0, 3), st.integers(0, 9), U64, st.lists(st.binary(max_size=9), min_size=5))
def test_any_columns_read_or_raise(which: int, count: int, base: int, data: list[bytes]) -> None:
    """Columns that do not fit raise the one error; what is read has an entry for each in order."""
    widths = (5, 4, 3, 3)
    for shift in (0, 3):
        try:
            found = rows(which, (count, base, *data[: widths[which]]), shift)
        except TraceFormatError:
            continue
        assert {count} == set(map(len, found))
        assert all(UNKNOWN <= value < 2**63 for values in found for value in values)
