"""A trace written in the compact profile once more."""

from __future__ import annotations

from pathlib import Path

import pytest

from tachograph.trace import Decoder, Encoder, Field, FieldType, Schema, Trace, assemble
from tachograph.trace.dial9 import Conversion
from tachograph.trace.events import EVENTS
from tachograph.trace.files import read_file
from tachograph.trace.pack import pack

from .service_load import service_load, write_load


def read(data: bytes) -> Trace:
    """Return the trace that *data* tells."""
    return assemble(Decoder(strict=True).read(data))


def told(trace: Trace) -> tuple[object, ...]:
    """Return what must be equal."""
    wakes = sorted(trace.wakes)
    others = (trace.parks, trace.checkpoints, trace.open_steps, trace.tasks, trace.events)
    return trace.steps, wakes, *others


@pytest.mark.parametrize("batch_bytes", [500, 1 << 20])
def test_a_compact_trace_comes_back(batch_bytes: int) -> None:
    """Written again it tells the same, however large the batches are."""
    trace = read(write_load(service_load(60)))

    assert told(trace) == told(read(b"".join(pack(trace, batch_bytes=batch_bytes))))


def test_a_dial9_trace_comes_back() -> None:
    """What was in dial9's events is in blocks, in fewer bytes."""
    first = read(write_load(service_load(60)))
    data = b"".join(Conversion(first).batches())
    trace = read(data)
    packed = b"".join(pack(trace))

    assert told(trace) == told(read(packed))
    assert 2 * len(packed) < len(data)


def test_wakes_that_no_step_tells() -> None:
    """A wake whose step is not there, or that another lane issued, stays an event of its own."""
    encoder = Encoder()
    encoder.event(EVENTS["WakeEventEvent"], 5, 9, 7, 3)
    encoder.event(EVENTS["PollStartEvent"], 6, 0, 0, 7, "a", 0)
    encoder.event(EVENTS["PollEndEvent"], 8, 0)
    encoder.event(EVENTS["WakeEventEvent"], 9, 9, 7, 0)
    trace = read(encoder.take())
    again = read(b"".join(pack(trace)))

    assert [1] == list(trace.steps.delay_ns)
    assert told(trace) == told(again)


def test_what_no_block_holds() -> None:
    """Names of tasks, spawns on no lane, odd ends and steps that never end stay single events."""
    encoder = Encoder()
    start, end = EVENTS["PollStartEvent"], EVENTS["PollEndEvent"]
    spawn, terminate = EVENTS["TaskSpawnEvent"], EVENTS["TaskTerminateEvent"]
    encoder.event(spawn, 1, 7, "app.py:1 f", True, 3, None, "worker")
    encoder.event(spawn, 2, 8, "app.py:1 f", True, None, 7, None)
    encoder.event(spawn, 3, 9, "app.py:2 g", True, 3, 7, None)
    encoder.event(start, 4, 3, 0, 10, "app.py:3 old", 16)
    encoder.event(end, 5, 3)
    encoder.event(terminate, 6, 10, 3)
    encoder.event(start, 7, 3, 0, 11, "callback:m.f", 1)
    trace = read(encoder.take())
    again = read(b"".join(pack(trace)))

    assert told(trace) == told(again)
    assert [(11, 7)] == [(step.task, step.start_ns) for step in again.open_steps]
    assert {7: "worker", 8: None, 9: None} == {n: again.tasks[n].name for n in (7, 8, 9)}


def test_parks_of_which_not_the_same_is_known() -> None:
    """What is not known of a park is not 0, also where it is known of its neighbours."""
    encoder = Encoder()
    for n, more in enumerate(((5, 2), (None, 2), (None, None), (7, 0))):
        encoder.event(EVENTS["WorkerParkEvent"], 10 * n, 0, 0, 900 + n, 4321)
        encoder.event(EVENTS["WorkerUnparkEvent"], 10 * n + 4, 0, 0, 900 + n, n, 4321, *more)
    trace = read(encoder.take())
    again = read(b"".join(pack(trace)))

    assert [(5, 2), (None, 2), (None, None), (7, 0)] == [p[3:] for p in again.parks]
    assert told(trace) == told(again)
    assert trace.lanes[0].tid == again.lanes[0].tid == 4321


def test_two_shapes_of_a_name() -> None:
    """A second list of fields begins another stream."""
    encoder = Encoder()
    for kind in (FieldType.U8, FieldType.VARINT):
        encoder.event(Schema("x", (Field("v", kind),)), 5, 1)
        encoder.restart()
    trace = read(encoder.take())

    assert trace.events == read(b"".join(pack(trace))).events
    assert b"" == b"".join(pack(Trace()))


@pytest.mark.slow
def test_dial9s_demo_comes_back(reference_data: Path) -> None:
    """A file of dial9's own keeps its steps, wakes, parks and events."""
    path = reference_data / "data" / "dial9-demo-trace.bin"
    if not path.is_file():
        pytest.skip(f"there is no {path}")
    trace = read_file(path)
    again = read(b"".join(pack(trace)))

    assert trace.steps == again.steps
    assert trace.parks == again.parks
    assert trace.checkpoints == again.checkpoints
    for task in trace.tasks.values():
        if task.end_ns is not None:  # its outcome is not known, and told as the likeliest
            assert (None, 0) == (task.outcome, again.tasks[task.task].outcome)
            again.tasks[task.task].outcome = None
    assert trace.tasks == again.tasks
    assert sorted(trace.wakes) == sorted(again.wakes)
    assert sorted(map(repr, trace.events)) == sorted(map(repr, again.events))
