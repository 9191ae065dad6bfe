"""What a recorder wrote, read into the model and as dial9's readers see it."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from tests.trace.checklist import Report, check

from tachograph import recorder
from tachograph.cli.main import main
from tachograph.recorder.core import is_native
from tachograph.trace import Trace
from tachograph.trace.files import read_bytes, read_file
from tachograph.trace.model import UNKNOWN, Outcome, StepFlag, Waker

HEAD = """
import asyncio, os, signal, sys, threading
from pathlib import Path
from tachograph import recorder

def run(program, **settings):
    config = recorder.RecorderConfig(directory=Path(sys.argv[1]), service="demo", **settings)
    with recorder.start(config):
        program()
"""

SERVICE = """
@recorder.event
def cache_miss(shard: int, change: int, key: str | None) -> None:
    "A lookup that went to the store."

async def child(n):
    with recorder.span("lookup", n=n):
        cache_miss(n, n - 1, "k" if n else None)
        await asyncio.sleep(0.001)
        return n

async def bad():
    raise ValueError

async def main():
    async with recorder.span("request"):
        tasks = [asyncio.create_task(child(n)) for n in range(3)]
        tasks.append(asyncio.create_task(bad()))
        for_ever = asyncio.create_task(asyncio.Event().wait())
        await asyncio.gather(*tasks, return_exceptions=True)
        for_ever.cancel()
        await asyncio.get_running_loop().run_in_executor(None, int)
"""

NESTED = """
def inner_loop(delay):
    running, current = asyncio.get_running_loop(), asyncio.current_task()
    asyncio.tasks._leave_task(running, current)
    asyncio._set_running_loop(None)
    loop = asyncio.new_event_loop()
    loop.run_until_complete(asyncio.sleep(delay))
    loop.close()
    asyncio._set_running_loop(running)
    asyncio.tasks._enter_task(running, current)

async def main():
    for delay in (0, 0.002):
        inner_loop(delay)
        await asyncio.sleep(0)
"""

EAGER = """
async def quick():
    pass

async def slow():
    await asyncio.sleep(0)

async def main():
    asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)
    for n in range(5):
        await asyncio.gather(asyncio.create_task(quick()), asyncio.create_task(slow()))
"""

LANES = """
async def ping(n):
    await asyncio.sleep(0.001)

async def main():
    await asyncio.gather(*map(ping, range(4)))

def several():
    threads = [threading.Thread(target=asyncio.run, args=(main(),)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
"""

KILLED = """
async def stuck():
    recorder.current().flush()
    os.kill(os.getpid(), signal.SIGKILL)

async def main():
    await asyncio.gather(*(asyncio.sleep(0) for _ in range(20)))
    await asyncio.create_task(stuck())
"""

WHOLE = "run(lambda: asyncio.run(main()){})"


def record(directory: Path, source: str) -> list[Path]:
    """Run a program under the recorder; return its segments in order."""
    command = [sys.executable, "-c", HEAD + source, str(directory)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode in (0, -9), done.stderr
    assert "" == done.stderr
    return segments(directory)


def segments(directory: Path) -> list[Path]:
    """Return the sealed segments under *directory*, in order."""
    return sorted(path for path in directory.glob("*/trace.*.bin*") if ".active" not in path.name)


def as_dial9(path: Path) -> Report:
    """Return what a reader of dial9's sees of a segment that `tacho convert` has rewritten."""
    out = path.parent.with_name(f"{path.name}.dial9")
    assert 0 == main(["convert", str(path), str(out), "--profile", "dial9"])
    report = check(read_bytes(out))
    assert [] == report.broken
    return report


def of(trace: Trace, name: str) -> int:
    """Return the id of the last task that runs the function *name*."""
    return max(
        n for n, task in trace.tasks.items() if (task.location or "").rpartition(".")[2] == name
    )


def test_a_segment_tells_all(tmp_path: Path) -> None:
    """Steps, wakes, parks, spawns with their places, ends, events and spans are in the model."""
    (path,) = record(tmp_path, SERVICE + WHOLE.format(""))
    trace = read_file(path, strict=True)
    first, child, bad = of(trace, "main"), of(trace, "child"), of(trace, "bad")
    tasks, steps = trace.tasks, list(trace.steps)

    assert Counter() == trace.forgiven
    assert ("demo", "compact") == (
        trace.metadata["service"],
        trace.metadata["tachograph.profile"],
    )
    assert all(task.location for task in tasks.values())
    assert (first, 0) == (tasks[child].parent, tasks[child].lane)
    outcomes = {tasks[n].outcome for n in (first, child)}
    assert ({Outcome.RETURNED}, Outcome.RAISED) == (outcomes, tasks[bad].outcome)
    assert Outcome.CANCELLED == tasks[of(trace, "wait")].outcome
    called = {tasks[s.task].location for s in steps if s.flags & StepFlag.CALLBACK}
    assert "callback:asyncio.futures._set_result_unless_cancelled" in called
    assert [first] == [s.waker for s in steps if s.task == child][:1]
    kinds = {s.waker >> 60 for s in steps}
    assert {Waker.TASK, Waker.CALLBACK, Waker.TIMER} <= kinds
    assert len(trace.parks) > 0
    assert all(park.gil_wait_ns is not None and park.events is not None for park in trace.parks)
    assert {0: "main", 16: "executor"} == {n: lane.loop for n, lane in trace.lanes.items()}
    own = [tuple(event.values) for event in trace.events if event.name.endswith("cache_miss")]
    assert [(0, -1, None), (1, 0, "k"), (2, 1, "k")] == own
    spans = [event for event in trace.events if event.name == "tacho:Span"]
    assert 3 == [event["span_name"] for event in spans].count("lookup")
    assert first == next(e["task_id"] for e in spans if e["span_name"] == "request")


def test_the_same_for_dial9(tmp_path: Path) -> None:
    """Every step, task and span is there, and every rule kept."""
    (path,) = record(tmp_path, SERVICE + WHOLE.format(""))
    trace = read_file(path)
    report = as_dial9(path)

    assert len(trace.steps) == len(report.named("PollStartEvent"))
    of_loop = [e for e in report.named("WorkerParkEvent") if e.values["worker_id"] == 0]
    assert trace.parks.lane.count(0) == len(of_loop)
    assert {1, 2, 3, 4} == {event.values["span_id"] for event in report.named("SpanCloseEvent")}
    assert [-1.0, 0.0, 1.0] == [
        e.values["change"] for e in report.events if e.name.endswith("cache_miss")
    ]
    assert trace.lanes[0].tid == of_loop[0].values["tid"] != 0
    assert "0" == report.named("SegmentMetadataEvent")[0].values["entries"]["runtime.main"]
    assert "unknown" not in {e.values["spawn_loc"] for e in report.named("PollStartEvent")}


def test_there_and_back(tmp_path: Path) -> None:
    """A segment that is packed once more, in units of 1 ns, tells what it told."""
    (path,) = record(tmp_path, SERVICE + WHOLE.format(""))
    again = tmp_path / "again.bin"
    assert 0 == main(["convert", str(path), str(again), "--profile", "compact"])
    one, two = read_file(path), read_file(again, strict=True)

    assert (one.steps, one.parks, one.wakes, one.checkpoints, one.lanes) == (
        *(two.steps, two.parks, two.wakes, two.checkpoints, two.lanes),
    )
    assert one.tasks == two.tasks
    assert sorted(map(repr, one.events)) == sorted(map(repr, two.events))


def test_loops_within_steps(tmp_path: Path) -> None:
    """A step that runs another loop is cut, by that loop's steps and by its parks."""
    (path,) = record(tmp_path, NESTED + WHOLE.format(""))
    trace = read_file(path)
    flags = [flags for flags in trace.steps.flags if flags & StepFlag.CONTINUED]
    report = as_dial9(path)

    assert len(flags) > 2
    assert 16 in {event.values["flags"] for event in report.named("PollStartEvent")}


@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks are new in Python 3.12")
def test_eager_tasks(tmp_path: Path) -> None:
    """A task that ran at once was not woken; its creator's step is cut around it."""
    (path,) = record(tmp_path, EAGER + WHOLE.format(""))
    trace = read_file(path)
    eager = [step for step in trace.steps if step.flags & StepFlag.EAGER]
    report = as_dial9(path)

    assert 10 == len(eager)
    assert {None} == {step.delay_ns for step in eager}
    assert 10 == [event.values["flags"] for event in report.named("PollStartEvent")].count(4)


def test_several_loops(tmp_path: Path) -> None:
    """Each thread's loop is a lane, with the thread's number."""
    (path,) = record(tmp_path, LANES + "run(several)")
    trace = read_file(path)
    report = as_dial9(path)

    assert set(trace.lanes) == set(trace.steps.lane)
    assert {lane for lane, _ in Counter(trace.steps.lane).items()} == {
        event.values["worker_id"] for event in report.named("PollStartEvent")
    }
    assert 3 == len({lane.tid for lane in trace.lanes.values()})


@pytest.mark.skipif(not is_native, reason="the ring lies in memory without the native core")
def test_a_recovered_segment(tmp_path: Path) -> None:
    """What a killed process left is read; the step that never ended is left open for dial9."""
    record(tmp_path, KILLED + WHOLE.format(""))
    record(tmp_path, "run(int)")  # the next one recovers
    traces = [(path, read_file(path)) for path in segments(tmp_path)]
    path, last = next(pair for pair in traces if pair[1].open_steps)
    before, told = next(pair for pair in traces if len(pair[1].steps) > 20)
    (stuck,) = last.open_steps
    shown = as_dial9(path).named("PollStartEvent", "PollEndEvent")[-1]

    assert of(told, "stuck") == stuck.task
    assert "true" == last.metadata["segment.recovered"]
    assert ("PollStartEvent", stuck.task) == (shown.name, shown.values["task_id"])
    assert len(told.steps) == len(as_dial9(before).named("PollStartEvent"))


def test_checkpoints_are_the_clocks_of_parks(tmp_path: Path) -> None:
    """The CPU clock of parks never steps back, and is above 0 once it was read."""
    busy = """
async def main():
    for n in range(3):
        sum(range(200_000))
        await asyncio.sleep(0.01)
"""
    (path,) = record(tmp_path, busy + WHOLE.format(""))
    trace = read_file(path)
    clocks = [e.values["cpu_time_ns"] for e in as_dial9(path).named("WorkerParkEvent")]

    assert len(trace.checkpoints) > 0
    assert UNKNOWN not in trace.checkpoints.cpu_ns
    assert 0 < clocks[0]
    assert sorted(clocks) == clocks


def test_the_recorder_writes_dial9(tmp_path: Path) -> None:
    """With that profile each sealed segment is dial9's, also where its tasks began before."""
    source = """
async def main():
    for n in range(3):
        await asyncio.sleep(0)
        recorder.dump()
"""
    paths = record(tmp_path, source + 'run(lambda: asyncio.run(main()), profile="dial9")')
    reports = [check(read_bytes(path)) for path in paths]

    assert len(reports) >= 3
    assert {".gz"} == {path.suffix for path in paths}
    for report in reports:
        assert [] == report.broken
        entries = report.named("SegmentMetadataEvent")[0].values["entries"]
        assert "dial9" == entries["tachograph.profile"]
        places = {event.values["spawn_loc"] for event in report.named("PollStartEvent")}
        assert "unknown" not in places
        assert any(place.endswith(".main") for place in places)


def test_dial9_has_smaller_segments() -> None:
    """What is rewritten in memory is sealed earlier, unless the program says a size."""
    assert 4 << 20 == recorder.RecorderConfig(profile="dial9").file_bytes
    assert 100 << 20 == recorder.RecorderConfig().file_bytes
    assert 7 == recorder.RecorderConfig(profile="dial9", max_file_bytes=7).file_bytes
