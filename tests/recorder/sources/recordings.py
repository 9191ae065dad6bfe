"""Record a program with chosen sources, and read back what was told."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from tachograph.recorder import control
from tachograph.recorder.config import RecorderConfig
from tachograph.recorder.home import segment_index
from tachograph.recorder.sources import SourcesConfig
from tachograph.trace.files import read_file
from tachograph.trace.model import Step, Trace
from tachograph.trace.schema import Event


def record(
    directory: Path,
    program: Callable[..., Coroutine[Any, Any, Any]],
    *args: Any,
    run: Callable[..., Any] = asyncio.run,
    **sources: Any,
) -> Trace:
    """Run a coroutine function while *sources*, and no others, are recorded."""
    wanted = {**{f: getattr(SourcesConfig.none(), f) for f in SourcesConfig.__slots__}, **sources}
    shutil.rmtree(directory, ignore_errors=True)
    config = RecorderConfig(directory=directory, sources=SourcesConfig(**wanted))
    with control.start(config) as recording:
        run(program(*args))
        assert {} == {k: v for k, v in recording.problems.items() if k in sources}
    assert 0 == recording.statistics()["source_failures"]
    return the_trace(directory)


def the_trace(directory: Path) -> Trace:
    """Return what the one segment below a directory tells."""
    (path,) = (p for p in directory.rglob("trace.*") if segment_index(p.name) is not None)
    trace = read_file(path)
    assert {} == dict(trace.forgiven)
    assert [] == trace.problems
    return trace


def jobs(trace: Trace, name: str = "") -> list[Step]:
    """Return the steps of jobs whose function's name ends so, in the order of their starts."""
    places = {number: task.location or "" for number, task in trace.tasks.items()}
    found = [s for s in trace.steps if places[s.task].startswith("executor:")]
    return sorted((s for s in found if places[s.task].endswith(name)), key=lambda s: s.start_ns)


def told(trace: Trace, *names: str) -> list[Event]:
    """Return the events of these names in the order of time."""
    found = [event for event in trace.events if event.name in names]
    return sorted(found, key=lambda event: event.timestamp_ns or 0)
