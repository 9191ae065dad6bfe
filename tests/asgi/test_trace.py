"""What joins the record of a request with the trace."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

from tests.asgi.conftest import Operation, exchange, ok

import tachograph as tg
from tachograph import recorder
from tachograph.asgi import Options, stack
from tachograph.testing import capture_events
from tachograph.trace.files import read_file


class Traced(tg.WideEvent, rename="PascalCase"):
    request_id: str
    operation: Operation
    duration = tg.timer(unit=tg.Unit.MICROSECONDS)
    task_id: int | None = None
    trace_segment: str | None = None


def serve(directory: Path | None) -> tuple[Any, list[Any], str | None]:
    """Answer one request; return its record, the events of the trace, and the process's boot id."""
    app = stack(ok, record=Traced, options=Options(classify=lambda _: Operation.Get))
    with capture_events() as events:
        if directory is None:
            asyncio.run(exchange(app))
            return events.one(Traced), [], None
        with recorder.start(recorder.RecorderConfig(directory=directory)) as recording:
            boot_id = recording.boot_id
            asyncio.run(exchange(app, headers=[(b"x-request-id", b"r-1")]))
        (segment,) = directory.glob("*/trace.0.bin.gz")
    return events.one(Traced), read_file(segment).events, boot_id


def test_a_request_is_one_event_of_the_trace(tmp_path: Path) -> None:
    """It has the record's id, class, operation, and its duration to the nanosecond."""
    record, events, _ = serve(tmp_path)

    (request,) = [event for event in events if event.name == "tacho:Request"]
    assert request["request_id"] == record.request_id
    assert request["record"] == "Traced"
    assert request["operation"] == "Get"
    assert request["outcome"] == "Ok"
    assert request["status"] == 200
    assert request["duration_ns"] / 1000 == record["Duration"]
    assert request.timestamp_ns == request["start_ns"] + request["duration_ns"]


def test_the_record_says_where_in_the_trace_it_is(tmp_path: Path) -> None:
    """It carries the id of its task and the segment in which it began."""
    record, events, boot_id = serve(tmp_path)

    (request,) = [event for event in events if event.name == "tacho:Request"]
    assert record.task_id == request["task_id"]
    assert record.task_id >= 1024
    assert record.trace_segment == f"{boot_id}/0"


def test_without_a_recorder_the_fields_are_absent() -> None:
    """What is not known is left out."""
    record, _, _ = serve(None)

    assert "TaskId" not in json.loads(repr(record))
    assert "TraceSegment" not in json.loads(repr(record))
