"""Events to one model."""

from __future__ import annotations

from collections import Counter
from typing import Any

from tachograph.trace import Annotation, Decoder, Encoder, Field, FieldType, Schema, Trace, assemble
from tachograph.trace.compact import (
    CALLBACK_NAME,
    LANE,
    NAME,
    OPEN_STEP,
    SPAWN_NAME,
    Spawn,
    raw_spawn,
    write_raw,
)
from tachograph.trace.events import EVENTS
from tachograph.trace.model import (
    Anchor,
    Checkpoint,
    Dump,
    Lane,
    OpenStep,
    Sample,
    Step,
    StepFlag,
    Symbol,
    Task,
    Wake,
    Waker,
)
from tachograph.trace.schema import HEADER

from .blocks import write_checkpoints, write_steps

T = 1_000_000
STEP = Step(0, T, 500, 70, 2000, 1999, 1, 0)


def read(encoder: Encoder) -> Trace:
    """Return the trace of the batch."""
    decoder = Decoder()
    return assemble(decoder.read(encoder.take()), decoder)


def tell(*events: tuple[Any, ...]) -> Trace:
    """Return the trace of (name, time, values) each."""
    encoder = Encoder()
    for name, time, *values in events:
        missing = len(EVENTS[name].fields) - len(values)
        encoder.event(EVENTS[name], time, *values, *[None] * missing)
    return read(encoder)


def poll(start: int, end: int, *, lane: int = 0, task: int = 7) -> list[tuple[Any, ...]]:
    """Return a start and an end."""
    first = ("PollStartEvent", start, lane, 3, task, "app.py:1", 0)
    return [first, ("PollEndEvent", end, lane)]


def test_starts_and_ends_are_paired_by_lane() -> None:
    """Lanes are paired apart, in order of time, whatever the order of batches."""
    trace = tell(*poll(50, 60), *poll(30, 55, lane=1), *poll(10, 20))

    assert [(0, 10, 10), (0, 50, 10), (1, 30, 25)] == [
        (s.lane, s.start_ns, s.duration_ns) for s in trace.steps
    ]


def test_what_has_no_pair_is_counted() -> None:
    """A start within a step replaces it, an end alone is ignored, one at the end is open."""
    (start, end) = poll(10, 20)
    trace = tell(
        *(start, ("PollStartEvent", 15, 0, 0, 8, "b", 0), end, ("PollEndEvent", 30, 0)),
        ("PollStartEvent", 40, 0, 3, 7, "app.py:1", 0),
    )

    assert [8] == list(trace.steps.task)
    assert Counter(steps_without_end=1, ends_without_step=1) == trace.forgiven
    assert [OpenStep(0, 7, 40, 0)] == trace.open_steps


def test_parks_are_paired() -> None:
    """A park and its unpark are one row; what has no pair is counted."""
    park = ("WorkerParkEvent", 10, 0, 0, 900, 4321)
    unpark = ("WorkerUnparkEvent", 30, 0, 0, 901, 5, 4321, 2, None)
    alone = [
        (name, time, *rest) for (name, _, *rest), time in ((unpark, 31), (park, 40), (park, 41))
    ]
    trace = tell(park, unpark, *alone)

    assert [(0, 10, 20, 2, None)] == [tuple(p) for p in trace.parks]
    assert [(10, 900, 0), (30, 901, 5), (31, 901, 10)] == [
        point[1:] for point in list(trace.checkpoints)[:3]
    ]
    assert {0: Lane(4321)} == trace.lanes
    assert Counter(ends_without_park=1, parks_without_end=2) == trace.forgiven


def test_a_step_has_the_last_wake_that_none_had_before() -> None:
    """Delay and waker of dial9's steps come from their wakes; each wake is used once."""
    wakes = [("WakeEventEvent", time, waker, 7, 0) for time, waker in ((1, 5), (4, 6), (18, 0))]
    trace = tell(*wakes, *poll(10, 20), *poll(22, 25), *poll(30, 35))

    assert [(6, 6), (4, 0), (None, 0)] == [(s.delay_ns, s.waker) for s in trace.steps]
    assert [1, 4, 18] == list(trace.wakes.time_ns)


def test_blocks_tell_wakes_and_ends() -> None:
    """A step's delay and waker are a wake; its flags are the task's end; callbacks have neither."""
    encoder = Encoder()
    by_thread, by_callback = Waker.THREAD.of(4400), Waker.CALLBACK.of(1024)
    steps = [
        STEP._replace(flags=StepFlag.RETURNED),
        STEP._replace(start_ns=T + 600, task=2001, flags=StepFlag.RAISED, waker=by_thread),
        STEP._replace(start_ns=T + 1200, task=2002, flags=StepFlag.CANCELLED, waker=by_callback),
        STEP._replace(start_ns=T + 1800, task=1024, flags=StepFlag.CALLBACK),
        STEP._replace(start_ns=T + 2400, waker=Waker.IO.of()),
        STEP._replace(start_ns=T + 3000, waker=0),
        STEP._replace(start_ns=T + 3600, flags=StepFlag.EAGER),
        STEP._replace(start_ns=T + 4200, flags=StepFlag.CONTINUED),
    ]
    write_steps(encoder, steps)
    write_steps(encoder, [STEP._replace(flags=StepFlag.CALLBACK)])
    trace = read(encoder)

    assert [
        Wake(0, T - 70, 1999, 2000),
        Wake(255, T + 530, 0, 2001),
        Wake(0, T + 1130, 1024, 2002),
        Wake(0, T + 2330, 0, 2000),
        Wake(255, T + 2930, 0, 2000),
    ] == list(trace.wakes)
    assert {2000: (T + 500, 0), 2001: (T + 1100, 1), 2002: (T + 1700, 2)} == {
        task.task: (task.end_ns, task.outcome) for task in trace.tasks.values()
    }


def test_names() -> None:
    """A number stands for where a task was made, wherever its name is; others are counted."""
    encoder = Encoder()
    spawns = [Spawn(T, 2000 + n, n and Waker.CALLBACK.of(1024), n, 0) for n in range(3)]
    write_raw(encoder, 3, map(raw_spawn, spawns))
    encoder.event(NAME, T, SPAWN_NAME, 1, "app.py:1 f")
    encoder.event(NAME, T, CALLBACK_NAME, 1024, "callback:m.f")
    encoder.event(NAME, T, 9, 5, "of a later version")
    encoder.event(NAME, T, SPAWN_NAME, 2, "app.py:2 g")
    unseen = Spawn(T + 5, 2003, 0, 2, StepFlag.CONTINUED)
    write_raw(encoder, 3, [raw_spawn(unseen)])
    trace = read(encoder)

    assert {
        2000: Task(2000, None, lane=3, spawn_ns=T),
        2001: Task(2001, "app.py:1 f", parent=1024, lane=3, spawn_ns=T),
        2002: Task(2002, "app.py:2 g", parent=1024, lane=3, spawn_ns=T),
        2003: Task(2003, "app.py:2 g"),
        1024: Task(1024, "callback:m.f", flags=StepFlag.CALLBACK),
    } == trace.tasks
    assert Counter(unknown_locations=1) == trace.forgiven


def test_lanes_checkpoints_and_open_steps() -> None:
    """What a trace tells of threads, and the step that never ended."""
    encoder = Encoder()
    write_checkpoints(encoder, [Checkpoint(1, T, 900, None), Checkpoint(1, T + 5, 905, 7)])
    encoder.event(LANE, T, 1, 4321, "main")
    encoder.event(OPEN_STEP, T, 1, 2000, T + 9, StepFlag.EAGER)
    trace = read(encoder)

    assert {1: Lane(4321, "main")} == trace.lanes
    assert [(T, 900, None), (T + 5, 905, 7)] == [p[1:] for p in trace.checkpoints]
    assert [OpenStep(1, 2000, T + 9, StepFlag.EAGER)] == trace.open_steps
    assert [] == trace.events


def test_tasks() -> None:
    """dial9's events tell of spawns and ends, and of callbacks as of tasks that end at once."""
    trace = tell(
        ("TaskSpawnEvent", T, 2000, "app.py:1 f", True, 0, 1999, "worker"),
        ("TaskTerminateEvent", 2 * T, 2000, 2),
        ("TaskSpawnEvent", T, 1024, "callback:m.f", True),
        ("TaskTerminateEvent", T, 1024, 0),
    )

    assert {
        2000: Task(2000, "app.py:1 f", "worker", 1999, 0, T, 2 * T, 2),
        1024: Task(1024, "callback:m.f", flags=StepFlag.CALLBACK),
    } == trace.tasks


def test_what_both_profiles_share() -> None:
    """Samples, dumps, anchors, metadata and symbols are read, and kept as events too."""
    trace = tell(
        ("CpuSampleEvent", 5, 0, 4321, 1, "main", (1, 2)),
        ("TaskDumpEvent", 6, 7, (3,)),
        ("ClockSyncEvent", 7, 1_790_000_000_000_000_000),
        ("SegmentMetadataEvent", 8, {"service": "demo"}),
        ("SymbolTableEntry", 0, 1, 0, "a::f", 0, "a.py", 3),
        ("SymbolTableEntry", 0, 1, 0, "a::f", 0, "a.py", 3),
        ("tacho:LateTimer", 9, 0, 7, 1_000_000, "cb"),
    )

    assert [Sample(5, 0, 4321, 1, (1, 2), "main", None)] == trace.samples
    assert [Dump(6, 7, (3,))] == trace.dumps
    assert [Anchor(7, 1_790_000_000_000_000_000)] == trace.anchors
    assert {"service": "demo"} == trace.metadata
    assert {1: [Symbol("a::f", "a.py", 3, 0)]} == trace.symbols
    assert 7 == len(trace.events)


def test_odd_events_are_kept_and_counted() -> None:
    """A built-in name with other fields, or a number that no id is, harms nothing."""
    encoder = Encoder()
    encoder.event(Schema("PollStartEvent", (Field("x", FieldType.U8),)), 5, 1)
    encoder.event(EVENTS["TaskTerminateEvent"], 5, 2**63, 0)
    encoder.event(EVENTS["PollEndEvent"], 2**63, 0)
    trace = read(encoder)

    assert (Counter(odd_events=3), 3, 0) == (trace.forgiven, len(trace.events), len(trace.steps))


def test_an_unreadable_block_costs_itself() -> None:
    """A block whose columns do not fit is counted and told; those around it are read."""
    encoder = Encoder()
    write_steps(encoder, [STEP])
    encoder.event(EVENTS["tacho:Parks"], 5, 0, 0, 0, 9, 5, b"", b"", b"", b"")
    write_steps(encoder, [STEP._replace(start_ns=2 * T)])
    trace = read(encoder)

    assert ([T, 2 * T], 1) == (list(trace.steps.start_ns), trace.forgiven["unreadable_blocks"])
    assert "tacho:Parks" in str(trace.problems[0])


def test_the_decoder_s_findings_are_taken_over() -> None:
    """Damage, what was forgiven and annotations are told with the trace."""
    encoder = Encoder()
    encoder.annotate(EVENTS["tacho:LateTimer"], [Annotation(2, "unit", "ns")])
    decoder = Decoder()
    trace = assemble(decoder.read(encoder.take() + HEADER[:3]), decoder)

    assert (True, False, 1) == (trace.truncated, trace.corrupt, len(trace.problems))
    assert {"tacho:LateTimer": [Annotation(2, "unit", "ns")]} == trace.annotations
