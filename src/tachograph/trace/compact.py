"""The compact profile: what a lane did as blocks, and what the numbers in blocks stand for.

Strategy: a block is one event with many entries as columns of small differences, which `delta`
writes and reads. What is written is what the recorder's rings hold: a trace is turned into such raw
events first, so that there is one encoder. The layout is normative in `docs/format.md`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from tachograph.errors import TraceFormatError
from tachograph.trace.delta import (
    CHECKPOINT,
    CONTINUED,
    EAGER,
    LONG_DELAY,
    LONG_DURATION,
    PARK,
    RAW_EVENT,
    SPAWN,
    STEP,
    columns,
    rows,
)
from tachograph.trace.encode import Encoder
from tachograph.trace.events import EVENTS
from tachograph.trace.model import (
    Checkpoint,
    Checkpoints,
    Park,
    Parks,
    Step,
    Steps,
)
from tachograph.trace.schema import Event

__all__ = [
    "BLOCKS",
    "BLOCK_ROWS",
    "CALLBACK_NAME",
    "CHECKPOINTS",
    "CLOCK",
    "LANE",
    "LIVING",
    "METADATA",
    "NAME",
    "OPEN_STEP",
    "PARKS",
    "SPAWNS",
    "SPAWN_NAME",
    "STACK",
    "STEPS",
    "SYMBOL",
    "Spawn",
    "put_blocks",
    "put_living",
    "raw_checkpoint",
    "raw_park",
    "raw_spawn",
    "raw_step",
    "read_checkpoints",
    "read_living",
    "read_parks",
    "read_spawns",
    "read_steps",
    "write_raw",
]

BLOCK_ROWS = 16_384
"""How many entries a writer puts into one block at most; a reader takes any number."""

STEPS = EVENTS["tacho:Steps"]
PARKS = EVENTS["tacho:Parks"]
SPAWNS = EVENTS["tacho:Spawns"]
CHECKPOINTS = EVENTS["tacho:Checkpoints"]
BLOCKS = (STEPS, PARKS, SPAWNS, CHECKPOINTS)
"""In the order in which `delta.columns` returns them."""

LIVING = EVENTS["tacho:Living"]
NAME = EVENTS["tacho:Name"]
STACK = EVENTS["tacho:Stack"]
LANE = EVENTS["tacho:Lane"]
OPEN_STEP = EVENTS["tacho:OpenStep"]
CLOCK = EVENTS["ClockSyncEvent"]
METADATA = EVENTS["SegmentMetadataEvent"]
SYMBOL = EVENTS["SymbolTableEntry"]

CALLBACK_NAME, SPAWN_NAME = 0, 1
"""Kinds of `tacho:Name`: what the id of a group of callbacks, the number of a spawn stand for."""

OWN_FLAGS = 0xFF & ~(LONG_DURATION | LONG_DELAY)
MOST_QUEUED = 0xFFFF
MOST_SPAN = 0xFFFF_FFFF
FIRST_COLUMN = 5  # behind lane, sequence, shift, count, base


class Spawn(NamedTuple):
    """The beginning of a task: by whom, as in `Step`, and the number of where and what.

    `flags` has `StepFlag.EAGER`, or `StepFlag.CONTINUED` for a task that began unseen.
    """

    time_ns: int
    task: int
    waker: int
    name: int
    flags: int


# ---------------------------------------------------------------------- writing


def put_blocks(
    encoder: Encoder,
    lane: int,
    sequence: int,
    shift: int,
    blocks: tuple[tuple[int | bytes, ...], ...],
) -> None:
    """Write the columns of one piece of a lane's ring, as `delta.columns` returns them."""
    for schema, (count, base, *data) in zip(BLOCKS, blocks, strict=True):
        if count:
            assert isinstance(base, int)
            encoder.event(schema, base << shift, lane, sequence, shift, count, base, *data)


def put_living(encoder: Encoder, lane: int, shift: int, spawns: tuple[int | bytes, ...]) -> None:
    """Write the spawns of tasks that began before; columns as `delta.columns` returns them."""
    count, base, *data = spawns
    if count:
        assert isinstance(base, int)
        encoder.event(LIVING, base << shift, lane, shift, count, base, *data)


def write_raw(
    encoder: Encoder,
    lane: int,
    events: Iterable[bytes],
    *,
    shift: int = 0,
    sequence: int = 0,
    unknown: Iterable[str] = (),
) -> None:
    """Write raw events of one lane, in their order.

    Args:
        encoder: Where to.
        lane: Whose they are.
        events: What `raw_step` and its kin return.
        shift: Times are cut to `1 << shift` ns.
        sequence: How many events of the lane stand before.
        unknown: Columns of parks that are known of none of them: `locks`, `files`.
    """
    steps, parks, *others = columns(b"".join(events), shift)
    values = list(parks)
    for name in unknown:
        values[PARKS.index[name] - FIRST_COLUMN + 2] = b""
    put_blocks(encoder, lane, sequence, shift, (steps, tuple(values), *others))


def raw_step(step: Step) -> bytes:
    """Return *step* as it stands in a ring; what is not known of it becomes 0."""
    duration, long = _span(step.duration_ns, LONG_DURATION)
    delay, longer = _span(step.delay_ns or 0, LONG_DELAY)
    return RAW_EVENT.pack(
        step.start_ns,
        step.task,
        0 if step.delay_ns is None and not step.flags & EAGER else step.waker,
        duration,
        delay,
        max(0, step.stack) & MOST_SPAN,
        STEP,
        step.flags & OWN_FLAGS | long | longer,
        min(step.depth, MOST_QUEUED),
    )


def raw_park(park: Park) -> bytes:
    """Return *park* as it stands in a ring; what is not known of it becomes 0."""
    duration, long = _span(park.duration_ns, LONG_DURATION)
    wait, longer = _span(park.gil_wait_ns or 0, LONG_DELAY)
    events = min(park.events or 0, MOST_QUEUED)
    return RAW_EVENT.pack(park.start_ns, 0, 0, duration, wait, 0, PARK, long | longer, events)


def raw_spawn(spawn: Spawn) -> bytes:
    """Return *spawn* as it stands in a ring."""
    flags = spawn.flags & (EAGER | CONTINUED)
    return RAW_EVENT.pack(spawn.time_ns, spawn.task, spawn.waker, 0, 0, spawn.name, SPAWN, flags, 0)


def raw_checkpoint(point: Checkpoint) -> bytes:
    """Return *point* as it stands in a ring."""
    waited = 2**64 - 1 if point.waited_ns is None else point.waited_ns
    return RAW_EVENT.pack(point.time_ns, point.cpu_ns, waited, 0, 0, 0, CHECKPOINT, 0, 0)


def _span(ns: int, flag: int) -> tuple[int, int]:
    """Return a span of time in 32 bits: above four seconds in units of 1,024 ns, with the flag."""
    return (ns, 0) if ns <= MOST_SPAN else (min(ns >> 10, MOST_SPAN), flag)


# ---------------------------------------------------------------------- reading


def read_steps(event: Event) -> Steps:
    """Return the steps of a block; the stack of each is the number of a `tacho:Stack`.

    Raises:
        TraceFormatError: The columns of the block do not fit each other.
    """
    found = _rows(event, 0)
    steps = Steps()
    steps.extend(([event.values[0]] * len(found[0]), *found))
    return steps


def read_parks(event: Event) -> Parks:
    """Return the parks of a block.

    Raises:
        TraceFormatError: The columns of the block do not fit each other.
    """
    found = _rows(event, 1)
    parks = Parks()
    parks.extend(([event.values[0]] * len(found[0]), *found))
    return parks


def read_spawns(event: Event) -> list[Spawn]:
    """Return the spawns of a block.

    Raises:
        TraceFormatError: The columns of the block do not fit each other.
    """
    return list(map(Spawn._make, zip(*_rows(event, 2), strict=True)))


def read_living(event: Event) -> list[Spawn]:
    """Return the spawns of tasks that began before.

    Raises:
        TraceFormatError: The columns of the block do not fit each other.
    """
    lane, *rest = event.values
    block = Event(SPAWNS, event.timestamp_ns, (lane, 0, *rest), event.pools)
    return read_spawns(block)


def read_checkpoints(event: Event) -> Checkpoints:
    """Return the checkpoints of a block.

    Raises:
        TraceFormatError: The columns of the block do not fit each other.
    """
    found = _rows(event, 3)
    points = Checkpoints()
    points.extend(([event.values[0]] * len(found[0]), *found))
    return points


def _rows(event: Event, which: int) -> tuple[list[int], ...]:
    """Return the columns of a block; those that later versions add behind ours are ignored."""
    block = event.values[: len(BLOCKS[which].fields)]
    _, _, shift, count, *data = block
    # Each entry has a byte in the first column: no size is made that was only declared.
    if not 0 < count <= len(block[FIRST_COLUMN]):
        raise TraceFormatError(
            f"Expected a number for each of the {count} entries of `{event.name}`, "
            f"got {len(block[FIRST_COLUMN])} bytes."
        )
    return rows(which, (count, *data), shift)
