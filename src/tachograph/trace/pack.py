"""A trace in the compact profile, whichever it was read from.

Strategy: what a lane did is turned into the raw events that the recorder's rings hold, and piece by
piece into blocks, as the recorder does. What no block holds stays an event of its own: a wake that
no step tells, a task that has a name of its own, an end outside of steps.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from heapq import merge
from itertools import islice

from tachograph.trace.compact import (
    BLOCK_ROWS,
    CALLBACK_NAME,
    LANE,
    NAME,
    OPEN_STEP,
    SPAWN_NAME,
    STACK,
    Spawn,
    put_living,
    raw_checkpoint,
    raw_park,
    raw_spawn,
    raw_step,
    write_raw,
)
from tachograph.trace.delta import CONTINUED, columns
from tachograph.trace.encode import Encoder
from tachograph.trace.events import EVENTS
from tachograph.trace.model import (
    NO_LANE,
    WAKER_NUMBER,
    WAKER_SHIFT,
    Outcome,
    Park,
    Step,
    StepFlag,
    Task,
    Trace,
    Wake,
    Waker,
)

__all__ = ["pack"]

BATCH_BYTES = 1 << 20
FIRST = ("ClockSyncEvent", "SegmentMetadataEvent")
LAST = "SymbolTableEntry"


def pack(trace: Trace, *, shift: int = 0, batch_bytes: int = BATCH_BYTES) -> Iterator[bytes]:
    """Yield the batches of a file in the compact profile that tells *trace*.

    Args:
        trace: What the file tells.
        shift: Times are in units of 2^*shift* ns.
        batch_bytes: How large a batch may get before the next one begins.
    """
    encoder = Encoder(shares_stacks=True)
    for _ in _write(encoder, trace, shift):
        if len(encoder) > batch_bytes:
            yield encoder.take()
    if encoder.events:
        yield encoder.take()


def _write(encoder: Encoder, trace: Trace, shift: int) -> Iterator[None]:
    """Write piece by piece; a batch may end after each."""
    last = [event for event in trace.events if event.name == LAST]
    first = [event for event in trace.events if event.name in FIRST]
    others = [event for event in trace.events if event.name not in (*FIRST, LAST)]
    for event in sorted(first, key=lambda event: FIRST.index(event.name)):
        encoder.event(event.schema, event.timestamp_ns, *event.values)
    yield
    names = _names(encoder, trace)
    for number in sorted(set(trace.steps.stack) - {0}):
        encoder.event(STACK, 0, number, trace.stacks[number])
    yield
    for lane, (tid, loop) in trace.lanes.items():
        encoder.event(LANE, 0, lane, tid or 0, loop or "")
    told = Counter(trace.wakes)
    lanes = sorted({*trace.steps.lane, *trace.parks.lane, *trace.checkpoints.lane})
    spawns = _spawns(trace, names, lanes)
    for lane, living in _spawns(trace, names, lanes, before=True).items():
        put_living(encoder, lane, shift, columns(b"".join(map(raw_spawn, living)), shift)[2])
        yield
    for lane in sorted({*lanes, *spawns}):
        yield from _lane(encoder, trace, lane, spawns.get(lane, []), told, shift)
    for step in trace.open_steps:
        encoder.event(OPEN_STEP, step.start_ns, *step)
    yield from _lives(encoder, trace)
    for wake in trace.wakes:
        if told[wake]:
            told[wake] -= 1
            values = wake.waker, wake.woken, min(wake.lane, NO_LANE)
            encoder.event(EVENTS["WakeEventEvent"], wake.time_ns, *values)
            yield
    for event in others + last:
        if encoder.is_other(event.schema):
            encoder.restart()
        encoder.event(event.schema, event.timestamp_ns, *event.values)
        yield


def _names(encoder: Encoder, trace: Trace) -> dict[str, int]:
    """Write what numbers stand for; return the numbers of the places where tasks are made."""
    names: dict[str, int] = {}
    for task in trace.tasks.values():
        if task.location is None:
            continue
        if task.flags & StepFlag.CALLBACK:
            encoder.event(NAME, 0, CALLBACK_NAME, task.task, task.location)
        elif task.location not in names:
            names[task.location] = len(names) + 1
            encoder.event(NAME, 0, SPAWN_NAME, names[task.location], task.location)
    return names


def _is_single(task: Task) -> bool:
    """Say whether a task that began in this trace is told by an event of its own."""
    told = task.spawn_ns is not None and not task.began_before
    return told and (task.name is not None or task.lane is None)


def _spawns(
    trace: Trace, names: dict[str, int], lanes: list[int], *, before: bool = False
) -> dict[int, list[Spawn]]:
    """Return the spawns by lane in order of time; a task that began unseen is on the first.

    Args:
        trace: What is told.
        names: Numbers of the places where tasks are made.
        lanes: Those that did something.
        before: Those of tasks that began before what the trace tells, instead of the others.
    """
    found: dict[int, list[Spawn]] = {}
    for task in trace.tasks.values():
        if task.flags & StepFlag.CALLBACK or _is_single(task) or task.began_before != before:
            continue
        name = 0 if task.location is None else names[task.location]
        if task.spawn_ns is not None and task.lane is not None:
            spawn = Spawn(task.spawn_ns, task.task, _parent(trace, task), name, task.flags)
            found.setdefault(task.lane, []).append(spawn)
        elif name:
            unseen = Spawn(0, task.task, 0, name, CONTINUED)
            found.setdefault(lanes[0] if lanes else 0, []).append(unseen)
    for spawns in found.values():
        spawns.sort()
    return found


def _parent(trace: Trace, task: Task) -> int:
    if not 0 < (task.parent or 0) <= WAKER_NUMBER:
        return 0
    assert task.parent is not None
    known = trace.tasks.get(task.parent)
    called = known is not None and known.flags & StepFlag.CALLBACK
    return (Waker.CALLBACK if called else Waker.TASK).of(task.parent)


def _lane(
    encoder: Encoder,
    trace: Trace,
    lane: int,
    spawns: list[Spawn],
    told: Counter[Wake],
    shift: int,
) -> Iterator[None]:
    """Write what a lane did as the recorder would have: pieces of all kinds in order of time."""
    steps = (step for step in trace.steps if step.lane == lane)
    points = (point for point in trace.checkpoints if point.lane == lane)
    parks = [park for park in trace.parks if park.lane == lane]
    known = {(park.gil_wait_ns is None, park.events is None) for park in parks}
    apart = len(known) > 1  # blocks of parks say what is known of all or of none
    events = merge(
        ((spawn.time_ns, raw_spawn(spawn)) for spawn in spawns),
        ((step.start_ns, raw_step(_told(step, told, shift))) for step in steps),
        ((point.time_ns, raw_checkpoint(point)) for point in points),
        () if apart else ((park.start_ns, raw_park(park)) for park in parks),
        key=lambda event: event[0],
    )
    unknown = () if apart or not parks else _unknown(parks[0])
    sequence = 0
    while piece := [raw for _, raw in islice(events, BLOCK_ROWS)]:
        write_raw(encoder, lane, piece, shift=shift, sequence=sequence, unknown=unknown)
        sequence += len(piece)
        yield
    for kind in sorted(known) if apart else ():
        alike = [park for park in parks if (park.gil_wait_ns is None, park.events is None) == kind]
        raw = list(map(raw_park, alike))
        write_raw(encoder, lane, raw, shift=shift, sequence=sequence, unknown=_unknown(alike[0]))
        sequence += len(raw)
        yield


def _unknown(park: Park) -> tuple[str, ...]:
    found = (("locks", park.gil_wait_ns), ("files", park.events))
    return tuple(name for name, value in found if value is None)


def _told(step: Step, told: Counter[Wake], shift: int) -> Step:
    """Return *step* with the wake that it tells, which is then not told once more."""
    if step.delay_ns is None or step.flags & StepFlag.CALLBACK:
        return step
    kind = step.waker >> WAKER_SHIFT
    lane = NO_LANE if not step.waker or kind == Waker.THREAD else step.lane
    number = step.waker & WAKER_NUMBER if kind <= Waker.CALLBACK else 0
    wake = Wake(lane, step.start_ns - step.delay_ns, number, step.task)
    # Where nothing woke it, and at once, a block says that nothing is known.
    if told[wake] and (step.waker or step.delay_ns >> shift):
        told[wake] -= 1
        return step
    return step._replace(delay_ns=None)


def _lives(encoder: Encoder, trace: Trace) -> Iterator[None]:
    """Write what no block tells of tasks."""
    flags = StepFlag.CANCELLED
    steps = trace.steps
    ended = {task for task, f in zip(steps.task, steps.flags, strict=True) if f & flags}
    for task in trace.tasks.values():
        if _is_single(task):
            values = task.task, task.location or "", True, task.lane, task.parent, task.name
            encoder.event(EVENTS["TaskSpawnEvent"], task.spawn_ns, *values)
            yield
        if task.end_ns is not None and task.task not in ended:
            outcome = Outcome.RETURNED if task.outcome is None else task.outcome
            encoder.event(EVENTS["TaskTerminateEvent"], task.end_ns, task.task, outcome)
            yield
