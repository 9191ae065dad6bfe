"""Record a program with the sources that a test is about; return what the segments tell."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from tests.recorder.reading import Told, segments, tell

from tachograph import recorder
from tachograph.recorder import RecorderConfig, SourcesConfig
from tachograph.recorder.recording import hooks
from tachograph.trace.schema import Event

Program = Callable[[], Coroutine[Any, Any, Any]]


def record(directory: Path, program: Program, **sources: Any) -> Told:
    """Run *program* recorded by *sources* alone."""
    config = dataclasses.replace(SourcesConfig.none(), **sources)
    it = recorder.start(RecorderConfig(directory=directory, service="tests", sources=config))
    home = it.directory
    assert home is not None
    try:
        assert hooks().problems == it.problems
        asyncio.run(program())
    finally:
        it.close()
    assert 0 == it.statistics()["source_failures"]
    return tell(segments(home))


def events(told: Told, name: str) -> list[Event]:
    """Return the events of a name."""
    return [event for event in told.sources if event.name == name]


def stack(told: Told, event: Event) -> list[str]:
    """Return the stack of an event as `function:line`, innermost first."""
    symbols = {e["addr"]: e for e in events(told, "SymbolTableEntry")}
    return [
        f"{symbols[a]['symbol_name'].rpartition('::')[2].rpartition('.')[2]}"
        f":{symbols[a]['source_line']}"
        for a in event["callchain"]
    ]


def steps_around(told: Told, event: Event) -> int:
    """Return how many steps of an event's task it lies in; times in files are cut to 8 ns."""
    end_ns = event.timestamp_ns
    assert end_ns is not None
    begin_ns = end_ns - event["duration_ns"]
    return sum(
        step.task == event["task_id"]
        and step.start_ns - 8 <= begin_ns
        and end_ns <= step.end_ns + 8
        for step in told.steps[event["worker_id"]]
    )
