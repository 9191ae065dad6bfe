"""What we write for dial9's readers, rule by rule, seen by a reader of its own."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tachograph.errors import TraceFormatError
from tachograph.trace import Decoder, Encoder, Field, FieldType, Schema, Trace, assemble
from tachograph.trace.compact import LANE, OPEN_STEP
from tachograph.trace.dial9 import Conversion
from tachograph.trace.events import EVENTS
from tachograph.trace.model import Checkpoint, Outcome, Park, Step, StepFlag, Steps, Waker
from tachograph.trace.schema import HEADER

from .blocks import Born, write_born, write_checkpoints, write_parks, write_steps
from .checklist import Report, check
from .service_load import service_load, write_load

T = 1_000_000_000_000
TASK = 2000
STEP = Step(0, T, 5000, 700, TASK, 1999, 1, 0)
SPAWN = Born(0, T - 700, TASK, 0, "app.py:1 f")


def convert(
    *steps: Step, spawns: tuple[Born, ...] = (SPAWN,), parks: tuple[Park, ...] = (), **more: Any
) -> tuple[Report, Conversion]:
    """Return what a reader sees of these, and the conversion."""
    encoder = Encoder()
    write_born(encoder, spawns)
    write_steps(encoder, steps)
    write_parks(encoder, parks, unknown=more.pop("unknown", ()))
    write_checkpoints(encoder, more.pop("points", ()))
    for event in more.pop("events", ()):
        encoder.event(*event)
    conversion = Conversion(assemble(Decoder(strict=True).read(encoder.take())), **more)
    return check(b"".join(conversion.batches())), conversion


def rows(report: Report, name: str, *fields: str) -> list[tuple[Any, ...]]:
    """Return (time from T, fields) of each event of that name."""
    return [(e.time - T, *(e.values[f] for f in fields)) for e in report.named(name)]


def dial9_view(trace: Trace) -> dict[str, Any]:
    """Return what dial9 knows of a trace."""
    callback = [flags & StepFlag.CALLBACK for flags in trace.steps.flags]
    return {
        "steps": [
            (
                s.lane,
                s.start_ns,
                s.duration_ns,
                s.task,
                min(s.depth, 255),
                s.flags & 63,
                None if plain else (s.delay_ns, s.waker & (1 << 60) - 1),
            )
            for s, plain in zip(trace.steps, callback, strict=True)
        ],
        "wakes": list(trace.wakes),
        "parks": list(trace.parks),
        "lanes": {lane: known.tid for lane, known in trace.lanes.items()},
        "tasks": {
            task.task: (task.location, task.parent, task.spawn_ns, task.end_ns, task.outcome)
            for task in trace.tasks.values()
            if not task.flags & StepFlag.CALLBACK
        },
    }


@pytest.mark.parametrize("utilisation", [0.3, 0.95])
def test_nothing_that_dial9_knows_is_lost(utilisation: float) -> None:
    """A service's trace, converted and read back, is equal in the model."""
    trace = assemble(
        Decoder(strict=True).read(write_load(service_load(150, utilisation=utilisation)))
    )
    conversion = Conversion(trace, batch_bytes=4096)
    data = b"".join(conversion.batches())
    back = assemble(Decoder(strict=True).read(data))

    assert {} == conversion.bent
    assert [] == check(data).broken
    assert dial9_view(trace) == dial9_view(back)


@settings(max_examples=settings().max_examples // 2)
@given(
    st.lists(
        st.builds(
            Step,
            st.integers(0, 63),
            st.integers(T, T + 10**6),
            st.integers(0, 10**6),
            st.none() | st.integers(0, 10**5),
            st.integers(0, 3) | st.integers(1020, 1030) | st.sampled_from((2**53 + 7, 2**60 + 9)),
            st.just(0),
            st.integers(0, 1000),
            st.integers(0, 255),
        ),
        min_size=1,
    ),
    st.lists(
        st.builds(Park, st.integers(0, 63), st.integers(T, T + 10**6), *3 * [st.integers(0, 10**6)])
    ),
    st.lists(st.tuples(st.integers(0, 63), st.integers(1, 9), st.integers(T, T + 10**6))),
)
def test_whatever_was_recorded_keeps_the_rules(
    steps: list[Step], parks: list[Park], opened: list[tuple[int, int, int]]
) -> None:
    """Overlaps, odd ids, deep queues and open steps are bent, never written as they are."""
    events = [(OPEN_STEP, T, *each, 0) for each in opened]
    report, _ = convert(*steps, parks=tuple(parks), events=events)

    assert [] == report.broken


def test_each_batch_is_whole() -> None:
    """A piece begins with a header and reads alone: one write call for each keeps files whole."""
    trace = assemble(Decoder(strict=True).read(write_load(service_load(30))))
    pieces = list(Conversion(trace, batch_bytes=2000).batches())

    assert len(pieces) > 5
    assert all(piece.startswith(HEADER) for piece in pieces)
    assert all(Decoder(strict=True).read(piece) for piece in pieces)


def test_steps_and_wakes() -> None:
    """A step is a wake, a start and an end; the wake is stamped no later than the start."""
    report, _ = convert(STEP, STEP._replace(start_ns=T + 5000, delay_ns=0))

    assert [] == report.broken
    assert [(-700, 1999, TASK, 0), (5000, 1999, TASK, 0)] == rows(
        report, "WakeEventEvent", "waker_task_id", "woken_task_id", "target_worker"
    )
    assert [(0, "app.py:1 f", 1), (5000, "app.py:1 f", 1)] == rows(
        report, "PollStartEvent", "spawn_loc", "local_queue"
    )
    names = [e.name for e in report.events if e.time == T + 5000]
    assert ["WakeEventEvent", "PollEndEvent", "PollStartEvent"] == names


def test_steps_without_length() -> None:
    """A start and end at one moment stay in their order, and so do their neighbours."""
    report, _ = convert(*(STEP._replace(duration_ns=0, delay_ns=None) for _ in range(3)))
    names = [e.name for e in report.named("PollStartEvent", "PollEndEvent")]

    assert [] == report.broken
    assert ["PollStartEvent", "PollEndEvent"] * 3 == names


def test_steps_never_nest() -> None:
    """A step that begins within another begins at its end, and that is counted."""
    report, conversion = convert(STEP, STEP._replace(start_ns=T + 1000))

    assert [] == report.broken
    assert [(0,), (5000,)] == rows(report, "PollStartEvent")
    assert 1 == conversion.bent["overlaps"]


def test_parks() -> None:
    """The CPU clock is that of the last checkpoint, a wait the growth until the loop goes on."""
    parks = (
        Park(0, T + 5000, 100, 7, 2),
        Park(0, T + 6000, 100, 20, 0),
        Park(0, T + 7000, 100, 0, 1),
    )
    points = ((T + 5107, 900, 30), (T + 6120, 950, 85), (T + 6300, 940, None))
    report, _ = convert(
        STEP,
        parks=parks,
        points=[Checkpoint(0, *point) for point in points],
        events=((LANE, T, 0, 4321, "main"),),
    )

    assert [] == report.broken
    assert [(5000, 900, 4321), (6000, 900, 4321), (7000, 950, 4321)] == rows(
        report, "WorkerParkEvent", "cpu_time_ns", "tid"
    )
    assert [(5100, 900, 0, 7, 2), (6100, 950, 55, 20, 0), (7100, 950, 0, 0, 1)] == rows(
        report,
        "WorkerUnparkEvent",
        *("cpu_time_ns", "sched_wait_ns", "gil_wait_ns", "ready_events"),
    )
    (metadata,) = report.named("SegmentMetadataEvent")
    assert "0" == metadata.values["entries"]["runtime.main"]


def test_what_is_not_known_of_a_park() -> None:
    """What no column says is absent; clocks that nobody read are 0, which the field must hold."""
    report, _ = convert(
        STEP, parks=(Park(0, T + 5000, 100, None, None),), unknown=("locks", "files")
    )

    assert [(5100, 0, 0, None, None)] == rows(
        report,
        "WorkerUnparkEvent",
        *("cpu_time_ns", "sched_wait_ns", "gil_wait_ns", "ready_events"),
    )


def test_parks_within_steps() -> None:
    """A loop that runs within a step of another parks there: the step is cut, its sum is right."""
    parks = tuple(Park(0, T + at, 100, 0, 0) for at in (1000, 2000, 4950))
    report, conversion = convert(STEP, parks=parks)

    assert [] == report.broken
    assert [(0, 0), (1100, 16), (2100, 16)] == rows(report, "PollStartEvent", "flags")
    assert [(1000,), (2000,), (5000,)] == rows(report, "PollEndEvent")
    assert [(1000,), (2000,), (5000,)] == rows(report, "WorkerParkEvent")
    assert 1 == conversion.bent["overlaps"]  # the last ends behind the step


def test_steps_that_never_end() -> None:
    """What a lane was doing in the end is left open; where something follows it is dropped."""
    opened = [(OPEN_STEP, T, lane, TASK, T + at, 16) for lane, at in ((0, 9000), (1, 50), (2, 0))]
    report, conversion = convert(STEP, STEP._replace(lane=1, task=TASK + 1), events=opened)

    assert [] == report.broken
    assert {(0, 0, 0), (0, 1, 0), (9000, 0, 4), (0, 2, 4)} == set(
        rows(report, "PollStartEvent", "worker_id", "flags")
    )
    assert {"open_steps": 2, "dropped_open_steps": 1} == {
        what: conversion.bent[what] for what in ("open_steps", "dropped_open_steps")
    }


def test_depths_are_clamped() -> None:
    """A queue of 300 is written as 255, not as 44."""
    report, _ = convert(STEP._replace(depth=300))

    assert [(0, 255)] == rows(report, "PollStartEvent", "local_queue")


def test_lanes_that_dial9_has_not() -> None:
    """What happened on lanes above 63 is dropped and counted."""
    report, conversion = convert(STEP, STEP._replace(lane=64))

    assert [] == report.broken
    assert 1 == len(report.named("PollStartEvent"))
    assert 1 == conversion.bent["dropped_lanes"]


@pytest.mark.parametrize("task", [0, 1, 1023, 2**53, 2**62])
def test_ids_that_dial9_has_not(task: int) -> None:
    """Ids below 1024, which it takes for workers', and those no double holds, are moved."""
    spawn = SPAWN._replace(task=task)
    report, conversion = convert(STEP._replace(task=task, waker=task), spawns=(spawn,))
    (start,) = report.named("PollStartEvent")
    (wake,) = report.named("WakeEventEvent")

    assert [] == report.broken
    assert start.values["task_id"] == wake.values["woken_task_id"] >= 2**52
    assert conversion.bent["moved_ids"] > 0


def test_no_waker_stays_none() -> None:
    """A waker outside any task is 0 and not moved; another thread is no lane."""
    step = STEP._replace(waker=Waker.THREAD.of(4400))
    report, _ = convert(step, step._replace(start_ns=T + 9000, waker=Waker.IO.of()))

    assert [(-700, 0, 255), (8300, 0, 0)] == rows(
        report, "WakeEventEvent", "waker_task_id", "target_worker"
    )


@pytest.mark.parametrize(
    ("location", "flags", "expected"),
    [
        ('a.py:1 f.<locals>.g"&', 0, "a.py:1 f.g"),
        ("a.py:1 <lambda>", 0, "a.py:1 lambda"),
        ("<>", 0, "unknown"),
        (None, 0, "unknown"),
        ("m.f", StepFlag.CALLBACK, "callback:m.f"),
        ("callback:m.f", StepFlag.CALLBACK, "callback:m.f"),
        ("executor:m.f", 0, "executor:m.f"),
    ],
)
def test_locations(location: str | None, flags: int, expected: str) -> None:
    """A location is never empty, holds no markup, and says what is no task."""
    report, conversion = convert(
        STEP._replace(flags=flags), spawns=(SPAWN._replace(location=location, flags=flags),)
    )

    assert [] == report.broken
    assert [(0, expected)] == rows(report, "PollStartEvent", "spawn_loc")
    assert (1 if location is None else 0) == conversion.bent["unknown_locations"]


def test_flags() -> None:
    """What is particular about a step has dialects: ours in blocks, dial9's in its event."""
    flags = StepFlag.TIMER | StepFlag.CALLBACK, StepFlag.EAGER, StepFlag.CONTINUED, StepFlag.RAISED
    steps = [STEP._replace(start_ns=T + 9000 * n, flags=f) for n, f in enumerate(flags)]
    job = STEP._replace(lane=16, task=3000)
    spawns = (SPAWN, SPAWN._replace(task=3000, location="executor:m.f"))
    report, _ = convert(*steps, job, spawns=spawns)

    assert {(0, 3), (9000, 4), (18_000, 16), (27_000, 0), (0, 8)} == set(
        rows(report, "PollStartEvent", "flags")
    )


def test_callbacks_are_never_alive() -> None:
    """The id of a callback's name ends where it begins; it has no wakes, its delay is not told."""
    report, _ = convert(
        STEP._replace(flags=StepFlag.CALLBACK), spawns=(SPAWN._replace(flags=StepFlag.CALLBACK),)
    )

    assert [] == report.broken
    assert [(0,)] == rows(report, "TaskSpawnEvent") == rows(report, "TaskTerminateEvent")
    assert [(0, "callback:app.py:1 f")] == rows(report, "PollStartEvent", "spawn_loc")
    assert [] == report.named("WakeEventEvent")


def test_ends() -> None:
    """A task ends with the step that has the flag, or where an end says so, after its spawn."""
    terminate = EVENTS["TaskTerminateEvent"]
    report, _ = convert(
        STEP._replace(flags=StepFlag.CANCELLED),
        spawns=(SPAWN, SPAWN._replace(task=2001), SPAWN._replace(task=2002)),
        events=(
            (terminate, T + 9, 2001, Outcome.LOST),
            (terminate, T - 900, 2002, Outcome.RAISED),
        ),
    )

    assert [] == report.broken
    assert {(5000, TASK, 2), (9, 2001, 3), (-700, 2002, 1)} == set(
        rows(report, "TaskTerminateEvent", "task_id", "outcome")
    )


def test_tasks_that_began_unseen() -> None:
    """A task of which only the location is known is not spawned once more."""
    report, _ = convert(STEP, spawns=(SPAWN._replace(flags=StepFlag.CONTINUED),))

    assert [] == report.broken
    assert [] == report.named("TaskSpawnEvent")
    assert [(0, "app.py:1 f")] == rows(report, "PollStartEvent", "spawn_loc")


def test_stacks_become_dumps() -> None:
    """Where a task was suspended is stamped with the end of its last step, else with its wake."""
    steps = [STEP._replace(stack=1), STEP._replace(start_ns=T + 90_000, stack=1)]
    trace = Trace(steps=Steps(steps), stacks=[(), (0x1000, 0x2000)])
    report = check(b"".join(Conversion(trace, idle_mean_ns=0).batches()))

    assert [] == report.broken
    assert [(-700, [0x1000, 0x2000]), (5000, [0x1000, 0x2000])] == rows(
        report, "TaskDumpEvent", "callchain"
    )


def test_short_waits_have_no_dumps() -> None:
    """Of a wait of a millisecond in ten it is not told where: a wait is told by its length."""
    steps = [STEP._replace(start_ns=T + n * 1000, duration_ns=10, stack=1) for n in range(500)]
    trace = Trace(steps=Steps(steps), stacks=[(), (0x1000, 0x2000)])
    report = check(b"".join(Conversion(trace, idle_mean_ns=1_000_000_000).batches()))

    assert len(rows(report, "TaskDumpEvent", "callchain")) < 3


def test_numbers_with_a_sign() -> None:
    """An I64 field is a Varint, or F64 when a number of it is below 0 anywhere in the trace."""
    schema = Schema("x", tuple(Field(name, FieldType.I64, name == "c") for name in "abc"))
    report, _ = convert(STEP, events=((schema, T, 2**60, 5, None), (schema, T + 1, 7, -5, 2**62)))

    assert [(0, 2**60, 5.0, None), (1, 7, -5.0, 2**62)] == rows(report, "x", "a", "b", "c")
    assert [int, float] == [type(report.named("x")[0].values[name]) for name in "ab"]


def test_fields_that_break_readers() -> None:
    """I64 becomes F64, in lists too; names lose separators; an event without time is stamped."""
    fields = (
        Field("i", FieldType.I64),
        Field("l", FieldType.DYNAMIC_LIST),
        Field("m", FieldType.DYNAMIC_MAP),
        Field("p", FieldType.POOLED_STRING),
    )
    event = (Schema("a,b\tc\n", fields, timestamp=False), None, -5, [-1, [2, -3]], {"k": -4}, "x")
    report, _ = convert(STEP, events=(event,))
    (seen,) = report.named("a;b c ")

    assert [] == report.broken
    assert (0, -5.0, [-1.0, [2, -3.0]], [b"k", -4.0], "x") == (seen.time, *seen.values.values())


def test_what_was_not_resolved() -> None:
    """A string or stack that was missing is empty, and defined: no reader stumbles over it."""
    data = HEADER + bytes.fromhex("01 0000 0100 78 01 0200 0100 73 07 0100 6b 06")
    data += bytes.fromhex("02 0000 000000 09000000 09000000")
    encoder = Encoder()
    write_steps(encoder, [STEP])
    trace = assemble(Decoder().read(data + encoder.take()))
    report = check(b"".join(Conversion(trace).batches()))
    (seen,) = report.named("x")

    assert ["woken"] == [b.split()[0] for b in report.broken] or [] == report.broken
    assert {"s": "", "k": []} == seen.values


def test_two_shapes_of_a_name() -> None:
    """A second list of fields for a name goes into another batch: one stream has one."""
    one, two = (Schema("x", (Field("v", kind),)) for kind in (FieldType.U8, FieldType.VARINT))
    encoder = Encoder()
    write_steps(encoder, [STEP])
    for schema in (one, two, one):
        encoder.event(schema, T, 1)
        encoder.restart()
    trace = assemble(Decoder(strict=True).read(encoder.take()))
    report = check(b"".join(Conversion(trace).batches()))

    assert [1, 1, 1] == [seen.values["v"] for seen in report.named("x")]


def test_head_and_symbols() -> None:
    """Clock first, metadata with monotonic time, symbols last, stamped 0, named and relative."""
    symbol, clock = EVENTS["SymbolTableEntry"], EVENTS["ClockSyncEvent"]
    metadata = EVENTS["SegmentMetadataEvent"]
    events = (
        (metadata, 1_700_000_000_000_000_000, {"service": "demo"}),
        (clock, T, 1_790_000_000_000_000_000),
        (symbol, 5, 1, 0, "__call__", 0, "/usr/lib/python3.12/site-packages/app/views.py", 3),
        (symbol, 5, 2, 0, "a::b::c::d", 0, "/opt/python-3.11.7/x.py", 3),
        (symbol, 5, 3, 0, "len", 0, "<builtin>", 0),
    )
    report, _ = convert(STEP, events=events)

    assert [] == report.broken
    assert "ClockSyncEvent" == report.events[0].name
    assert {"service": "demo", "tachograph.profile": "dial9"} == report.events[1].values["entries"]
    assert [
        ("app.views::__call__", "app/views.py"),
        ("a.b::c::d", "x.py"),
        ("builtin::len", "<builtin>"),
    ] == [(e.values["symbol_name"], e.values["source_file"]) for e in report.events[-3:]]


def test_samples_keep_their_lane() -> None:
    """A sample on no lane of dial9's is on 255, and its task has the id that the steps have."""
    sample = EVENTS["CpuSampleEvent"]
    events = tuple((sample, T, lane, 1, 0, None, (1,), None, 5, None) for lane in (3, 70, 254))
    report, _ = convert(STEP, events=events)

    assert [3, 255, 254] == [e.values["worker_id"] for e in report.named("CpuSampleEvent")]
    assert {2**52 + 5} == {e.values["task_id"] for e in report.named("CpuSampleEvent")}


def test_a_file_needs_something_to_show() -> None:
    """A trace without steps, parks and wakes is refused: the viewer would show an error."""
    with pytest.raises(TraceFormatError, match="at least one step"):
        list(Conversion(Trace()).batches())


def test_the_checker_sees() -> None:
    """The reader of the rules finds what breaks them."""
    encoder = Encoder()
    start = Schema("PollStartEvent", EVENTS["PollStartEvent"].fields[::-1])
    symbol = EVENTS["SymbolTableEntry"]
    encoder.event(EVENTS["PollStartEvent"], 5, 64, 0, 7, "<b>", 0)
    encoder.event(EVENTS["PollStartEvent"], 4, 64, 0, 7, "", 0)
    encoder.event(EVENTS["WakeEventEvent"], 9, 0, 8, 9)
    encoder.event(symbol, 1, 1, 0, "free", 0, "/a-1.2/x", 0)
    encoder.event(EVENTS["TaskSpawnEvent"], 8, 5000, "a", True, None, None, None)
    encoder.event(EVENTS["WakeEventEvent"], 9, 0, 7, 255)
    encoder.event(Schema("a,b", (Field("i", FieldType.I64),)), 9, 1)
    encoder.schema(Schema("c", (), timestamp=False))
    encoder.restart()
    encoder.event(start, 5, 0, "x", 7, 0, 64)
    broken = "\n".join(check(encoder.take() + b"\x06").broken)

    for rule in (
        *("has_timestamp", "no I64", "separators", "up to 63", "alternates", "from 1024"),
        *("markup", "not empty", "is known", "issued", "stamped 0", "relative", "no version"),
        *("standard fields", "step back", "`::`", "unreadable", "no later than"),
    ):
        assert rule in broken
