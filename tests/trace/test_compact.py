"""Blocks of steps, parks, spawns and checkpoints."""

from __future__ import annotations

import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tachograph.errors import TraceFormatError
from tachograph.trace import Decoder, Encoder, Event, Field, FieldType, Schema
from tachograph.trace.compact import (
    STEPS,
    Spawn,
    raw_spawn,
    raw_step,
    read_checkpoints,
    read_parks,
    read_spawns,
    read_steps,
    write_raw,
)
from tachograph.trace.model import Checkpoint, Park, Step, StepFlag, Waker
from tachograph.trace.schema import Pools

from .blocks import read, write_checkpoints, write_parks, write_steps
from .service_load import Load, service_load, write_load

T = 1_000_000_000_000
STEP = Step(0, T, 5000, 700, 2000, 1999, 1, StepFlag.RETURNED)
KINDS = ("Steps", "Parks", "Spawns", "Checkpoints")
FLAGS = (0, 4, 12, 64, 128, 192)
WAKERS = st.builds(
    lambda kind, number: kind.of(0 if kind in (Waker.IO, Waker.TIMER) else number),
    st.sampled_from(Waker),
    st.integers(1, 2**53),
)


@st.composite
def lanes(draw: st.DrawFn) -> list[Step]:
    """Steps of one lane, most of them behind each other."""
    steps: list[Step] = []
    now = draw(st.integers(2**41, 2**52))
    lane = draw(st.integers(0, 2**40))
    for _ in range(draw(st.integers(1, 30))):
        now = max(2**41, now + draw(st.integers(0, 10_000) | st.integers(-5000, 2**40)))
        duration = draw(
            st.integers(0, 2**32 - 1) | st.integers(2**22, 2**31).map(lambda n: n << 10)
        )
        known = draw(st.booleans())
        steps.append(
            Step(
                *(lane, now, duration, draw(st.integers(0, 2**20)) if known else None),
                draw(st.integers(0, 2**53)),
                draw(WAKERS) if known else 0,
                draw(st.integers(0, 65_535)),
                draw(st.sampled_from(FLAGS)) if known else draw(st.sampled_from((0, 32))),
            )
        )
        now += duration
    return steps


@settings(max_examples=settings().max_examples // 2)
@given(lanes())
def test_steps_come_back(steps: list[Step]) -> None:
    """Every column of every step is read as it was written."""
    encoder = Encoder()
    write_steps(encoder, steps)

    assert steps == [step for event in read(encoder) for step in read_steps(event)]


def test_what_is_not_known_of_a_step() -> None:
    """A step that nothing woke, a first eager one and the rest of one have no delay."""
    steps = [
        STEP._replace(delay_ns=None, waker=0),
        STEP._replace(delay_ns=None, flags=StepFlag.EAGER),
        STEP._replace(delay_ns=None, waker=0, flags=StepFlag.CONTINUED | StepFlag.RETURNED),
        STEP._replace(delay_ns=0),
    ]
    encoder = Encoder()
    write_steps(encoder, steps)
    (event,) = read(encoder)

    assert steps == list(read_steps(event))
    assert 3 == len(event["queued"]) == len(steps) - 1  # a rest has none


def test_spans_that_are_long() -> None:
    """Above four seconds a span is a whole number of 1,024 ns; above 73 minutes it is that."""
    hour = STEP._replace(start_ns=2**52, duration_ns=3600 * 10**9, delay_ns=2**40 + 5)
    encoder = Encoder()
    write_steps(encoder, [hour, hour._replace(duration_ns=2**50)])
    found = [step for event in read(encoder) for step in read_steps(event)]

    assert [(hour.duration_ns >> 10 << 10, 2**40), ((2**32 - 1) << 10, 2**40)] == [
        (step.duration_ns, step.delay_ns) for step in found
    ]


@settings(max_examples=settings().max_examples // 2)
@given(
    st.lists(
        st.tuples(
            *(st.integers(0, 2**30), st.integers(0, 2**32 - 1), st.integers(0, 2**20)),
            st.integers(0, 300),
        ),
        min_size=1,
        max_size=20,
    ),
    st.sets(st.sampled_from(("locks", "files"))),
)
def test_parks_come_back(rows: list[tuple[int, ...]], unknown: set[str]) -> None:
    """Every column of every park is read as it was written; one that is empty is not known."""
    now, parks = T, []
    for gap, duration, wait, files in rows:
        now += gap
        known = ("locks" in unknown or wait, "files" in unknown or files)
        gil, events = (None if value is True else value for value in known)
        parks.append(Park(3, now, duration, gil, events))
        now += duration + wait
    encoder = Encoder()
    write_parks(encoder, parks, unknown=sorted(unknown))
    (event,) = read(encoder)

    assert parks == list(read_parks(event))
    assert {"locks", "files"} & unknown == {n for n in ("locks", "files") if not event[n]}


@settings(max_examples=settings().max_examples // 2)
@given(
    st.lists(
        st.builds(
            Spawn,
            st.integers(0, 2**50),
            st.integers(1, 2**53),
            WAKERS,
            st.integers(0, 2**32 - 1),
            st.sampled_from((0, 16, 32)),
        ),
        min_size=1,
    )
)
def test_spawns_come_back(spawns: list[Spawn]) -> None:
    """Every column of every spawn is read as it was written, in any order of time."""
    encoder = Encoder()
    write_raw(encoder, 7, map(raw_spawn, spawns))
    (event,) = read(encoder)

    assert spawns == read_spawns(event)
    assert (7, spawns[0].time_ns) == (event["lane"], event.timestamp_ns)


@settings(max_examples=settings().max_examples // 2)
@given(
    st.lists(
        st.builds(
            Checkpoint,
            st.just(4),
            st.integers(0, 2**50),
            st.integers(0, 2**50),
            st.none() | st.integers(0, 2**40),
        ),
        min_size=1,
    )
)
def test_checkpoints_come_back(points: list[Checkpoint]) -> None:
    """Every column of every checkpoint is read as it was written; a wait may not be known."""
    encoder = Encoder()
    write_checkpoints(encoder, points)
    (event,) = read(encoder)

    assert points == list(read_checkpoints(event))


def test_later_columns_are_ignored() -> None:
    """A later version may add columns behind those that we know."""
    encoder = Encoder()
    write_steps(encoder, [STEP])
    (event,) = read(encoder)
    schema = Schema(STEPS.name, (*STEPS.fields, Field("stacks", FieldType.BYTES)))
    later = Event(schema, event.timestamp_ns, (*event.values, b"more"), event.pools)

    assert read_steps(event) == read_steps(later)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("count", 0),
        ("count", 2**63),
        ("shift", 21),
        ("base", 2**63),
        ("lane", 2**63),
        ("starts", b""),
        ("starts", b"\xff" * 9 + b"\x01"),
        ("durations", b"\x01\x01"),
        ("durations", b"\xff" * 9 + b"\x01"),
        ("queued", b""),
        ("queued", b"\x00\x00"),
        ("queued", b"\x02"),
        ("shapes", b""),
        ("shapes", b"\x00\x00"),
        ("shapes", b"\x01"),
        ("shapes", b"\x80"),
        ("literals", b""),
        ("literals", b"\x00\x00\x00"),
        ("literals", b"\x00\x00\x00\x00\x00"),
        ("literals", b"\x03\x00\x00\x00"),
        ("literals", b"\x00\x06\x00\x00"),
        ("literals", b"\x00\x08\x00\x00"),
        ("literals", b"\x00\x00\x80\x02\x00"),
        ("literals", b"\x00\x00\x00\x80"),
    ],
)
def test_blocks_that_make_no_sense(column: str, value: object) -> None:
    """Columns that do not fit each other raise the one error, whatever size they declare."""
    encoder = Encoder()
    write_raw(encoder, 0, [raw_step(STEP._replace(depth=0))])
    (event,) = read(encoder)
    values = list(event.values)
    values[event.schema.index[column]] = value
    broken = Event(event.schema, event.timestamp_ns, tuple(values), Pools())

    with pytest.raises(TraceFormatError, match="Expected"):
        read_steps(broken)


def test_more_shapes_than_a_block_remembers() -> None:
    """The one that has been there longest goes, whichever was used last."""
    threads = [*range(1, 128), 127, *range(100, 200), 1, 150, 199, *range(70, 90)]
    steps = [
        STEP._replace(start_ns=STEP.start_ns + 1_000 * n, waker=Waker.THREAD.of(thread))
        for n, thread in enumerate(threads)
    ]
    encoder = Encoder()
    write_steps(encoder, steps)
    (event,) = read(encoder)

    assert steps == list(read_steps(event))
    assert 127 == max(event["shapes"])


@pytest.mark.parametrize(("utilisation", "packed"), [(0.2, 9.5), (0.6, 9), (0.95, 8)])
def test_bytes_per_step(utilisation: float, packed: float) -> None:
    """In units of 32 ns all of a service takes 12 bytes a step at most, and 8 compressed if busy.

    A service that waits more has a park for every third step.
    """
    load = service_load(1000, utilisation=utilisation)
    data = write_load(load, shift=5)

    assert len(data) / len(load.steps) <= 12
    assert len(zlib.compress(data, 1)) / len(load.steps) <= packed


@pytest.fixture(scope="module")
def load() -> Load:
    """A loop serving two hundred requests."""
    return service_load(200)


def test_a_load_comes_back(load: Load) -> None:
    """What a loop did is read as it was: steps, parks, spawns and checkpoints."""
    events = Decoder(strict=True).read(write_load(load, rows=300))
    named = {name: [e for e in events if e.name == f"tacho:{name}"] for name in KINDS}

    assert load.steps == [row for e in named["Steps"] for row in read_steps(e)]
    assert load.parks == [row for e in named["Parks"] for row in read_parks(e)]
    assert load.checkpoints == [row for e in named["Checkpoints"] for row in read_checkpoints(e)]
    tasks = [spawn for spawn in load.spawns if not spawn.flags & StepFlag.CALLBACK]
    assert [spawn[1:4] for spawn in tasks] == [
        row[:3] for e in named["Spawns"] for row in read_spawns(e)
    ]
