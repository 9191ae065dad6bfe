"""A program's segments read back tell what its loop did."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from tests.recorder.reading import Told, decode, names_in, read_steps, segments, tell

from tachograph import recorder
from tachograph._version import __version__
from tachograph.recorder import Recorder, RecorderConfig
from tachograph.recorder.batches import SHIFT
from tachograph.recorder.core import core, is_native
from tachograph.recorder.sources import SourcesConfig
from tachograph.trace.delta import RAW_EVENT

KIB = 1024


@recorder.event
def turned(n: int) -> None:
    """A worker had its turn."""


def start(directory: Path, **settings: Any) -> tuple[Recorder, Path]:
    """Start a recorder; return it and its directory."""
    settings = {"service": "tests", "sources": SourcesConfig.none(), **settings}
    it = recorder.start(RecorderConfig(directory=directory, **settings))
    assert it.directory is not None
    return it, it.directory


async def busy(turns: int) -> None:
    """Make some steps, each with an event of its own."""

    async def worker(first: int) -> None:
        for n in range(first, turns, 4):
            await asyncio.sleep(0)
            turned(n)

    await asyncio.gather(*(worker(first) for first in range(4)))


def steps_of(told: Told, name: str) -> int:
    """Return how many steps the tasks of a coroutine have."""
    tasks = {
        spawn.task
        for each in told.spawns.values()
        for spawn in each
        if told.names[1, spawn.name].endswith(f".{name}")
    }
    return sum(s.task in tasks and not s.flags & 4 for each in told.steps.values() for s in each)


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """What the drain reads from rings, piece by piece."""
    from tachograph.recorder import batches

    found: list[bytes] = []
    stock = batches.Batches.of_lane

    def watched(self: Any, lane: int, tid: int, sequence: int, raw: bytes) -> bytes:
        found.append(raw)
        return stock(self, lane, tid, sequence, raw)

    monkeypatch.setattr(batches.Batches, "of_lane", watched)
    return found


class Stalled:
    """A disk that takes nothing until it is let go."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.reached = threading.Event()
        self.let_go = threading.Event()
        stock = os.write

        def write(file: int, data: bytes) -> int:
            if threading.current_thread().name == "tachograph-drain":
                self.reached.set()
                self.let_go.wait(60)
            return stock(file, data)

        monkeypatch.setattr(os, "write", write)


@pytest.fixture
def stalled(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stalled]:
    """A disk that stalls until the test is over at the latest."""
    found = Stalled(monkeypatch)
    yield found
    found.let_go.set()


def test_segments_tell_what_the_hooks_saw(tmp_path: Path, seen: list[bytes]) -> None:
    """Each event once, in its order, with times cut to units: by the strict decoder."""
    it, home = start(tmp_path)
    asyncio.run(busy(4_000))
    it.close()
    told = tell(segments(home))
    raw = [event for piece in seen for event in RAW_EVENT.iter_unpack(piece)]

    steps = [event for event in raw if event[6] == 1]
    (read,) = told.steps.values()
    assert [(e[0] >> SHIFT << SHIFT, e[1], e[8]) for e in steps] == [
        (step.start_ns, step.task, step.queue) for step in read
    ]
    assert len(raw) == told.events == it.statistics()["events_recorded"]
    assert 4_004 == steps_of(told, "worker")
    assert list(range(4_000)) == sorted(event["n"] for event in told.own)


def test_metadata_tell_what_was_recorded_where(tmp_path: Path) -> None:
    """Of the service, the process, the interpreter, and how the segment ended."""
    it, home = start(tmp_path, loop_name="io", metadata={"release": "7"})
    asyncio.run(busy(8))
    it.dump()
    it.close()
    asyncio.run(busy(8))
    told = tell(segments(home))
    expected = {
        "service": "tests",
        "boot_id": home.name,
        "tachograph.version": __version__,
        "tachograph.profile": "compact",
        "tachograph.core": "native" if is_native else "python",
        "python.version": sys.version.split()[0],
        "release": "7",
        "segment.prior_sealed_clean": "true",
        "segment.sealed_clean": "true",
    }

    assert expected.items() <= told.metadata.items()
    assert "runtime.io" in told.metadata
    assert ["ClockSyncEvent", "SegmentMetadataEvent"] == [
        event.name for event in decode(segments(home)[0])[:2]
    ]


def test_segments_tell_what_was_lost(tmp_path: Path, stalled: Stalled) -> None:
    """Since the segment before; that no event was dropped is told as well."""
    it, home = start(tmp_path, ring_events=1_024, drain_interval_s=0.001)
    stalled.let_go.set()
    asyncio.run(busy(8))
    it.dump()
    stalled.let_go.clear()
    stalled.reached.clear()
    asyncio.run(busy(8))
    it._drain._flushed_ns = 0  # a second has passed
    assert stalled.reached.wait(30)
    asyncio.run(busy(4_000))
    stalled.let_go.set()
    it.dump()
    asyncio.run(busy(8))
    it.close()
    lost = [
        {k: v for k, v in tell([path]).metadata.items() if k.startswith("tachograph.lost.")}
        for path in segments(home)
    ]

    dropped = it.statistics()["events_dropped"]
    assert dropped > 2_000
    name = "tachograph.lost.events_dropped"
    assert [{name: "0"}, {name: str(dropped)}, {name: "0"}] == lost


def test_its_threads_are_those_that_it_began_with(tmp_path: Path) -> None:
    """A program that counts its threads, as CPython's tests do, sees none come with a segment."""
    before = set(threading.enumerate())
    it, _ = start(tmp_path)
    own = set(threading.enumerate()) - before
    asyncio.run(busy(8))
    assert it.dump() is not None
    assert {"tachograph-drain", "tachograph-pipeline"} == {thread.name for thread in own}
    assert own == set(threading.enumerate()) - before

    it.close()
    assert before == set(threading.enumerate())


def test_a_drain_that_cannot_start_leaves_no_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the system has no thread left for it, nothing was started."""
    before = set(threading.enumerate())
    stock = threading.Thread.start

    def one_only(self: threading.Thread) -> None:
        if self.name == "tachograph-drain":
            raise RuntimeError("can't start new thread")
        stock(self)

    monkeypatch.setattr(threading.Thread, "start", one_only)
    with pytest.raises(RuntimeError, match="can't start new thread"):
        start(tmp_path)
    assert set(threading.enumerate()) <= before
    assert not recorder.is_enabled()


def test_every_segment_stands_alone(tmp_path: Path) -> None:
    """Each tells its lanes and every name that its events have."""
    it, home = start(tmp_path)
    for _ in range(3):
        asyncio.run(busy(40))
        it.dump()
    it.close()
    found = segments(home)

    assert 3 == len(found)
    for path in found:
        told = tell([path])
        assert 44 == steps_of(told, "worker")
        assert {threading.get_native_id()} == {tid for tid, _ in told.lanes.values()}
        groups = {s.task for each in told.steps.values() for s in each if s.flags & 4}
        assert groups <= {number for kind, number in told.names if kind == 0}


def windows(paths: list[Path]) -> list[tuple[int, int]]:
    """Return when the first and the last step of each segment ended."""
    found = []
    for path in paths:
        ends = [step.end_ns for each in tell([path]).steps.values() for step in each]
        found.append((min(ends), max(ends)))
    return found


@pytest.mark.skipif(not is_native, reason="the twin's rings cannot be looked at in one go")
def test_windows_of_segments_do_not_overlap(tmp_path: Path) -> None:
    """A rotation empties all rings first: whatever ended before it is in the older segment."""
    it, home = start(tmp_path)
    stop, counts = threading.Event(), [0, 0]

    async def work(thread: int) -> None:
        while not stop.is_set():
            await asyncio.sleep(0)
            counts[thread] += 1

    threads = [threading.Thread(target=lambda n=n: asyncio.run(work(n))) for n in range(2)]
    for thread in threads:
        thread.start()
    while min(counts) < 10:
        it.flush()
    for _ in range(5):
        before = min(counts)
        while min(counts) < before + 10:
            it.flush()
        it.dump()
    stop.set()
    for thread in threads:
        thread.join()
    it.close()
    found = segments(home)

    assert len(found) >= 5
    assert all(before[1] <= after[0] for before, after in pairwise(windows(found)))
    assert sum(counts) + 2 == steps_of(tell(found), "work")
    assert {"true"} == {tell([path]).metadata["segment.sealed_clean"] for path in found}


def test_rotation_by_size_keeps_the_budget_and_every_event(tmp_path: Path) -> None:
    """Segments that are sealed early say so; with room for all, none of their events is missing."""
    it, home = start(tmp_path, max_total_bytes=4_000 * KIB, max_file_bytes=64 * KIB)
    for _ in range(10):
        asyncio.run(busy(2_000))
        it.flush()
    it.close()
    found = segments(home)

    assert len(found) >= 3
    assert 20_040 == steps_of(tell(found), "worker")
    assert "false" == tell(found[:1]).metadata["segment.sealed_clean"]
    assert "false" == tell(found[1:2]).metadata["segment.prior_sealed_clean"]


def test_the_budget_holds_while_it_records(tmp_path: Path) -> None:
    """The oldest segments go; what is there is read back as it should be (recorder.md row 5)."""
    it, home = start(tmp_path, max_total_bytes=256 * KIB, max_file_bytes=64 * KIB)
    for _ in range(10):
        asyncio.run(busy(2_000))
        it.flush()
    it.close()
    found = segments(home)

    assert sum(path.stat().st_size for path in found) <= 256 * KIB
    assert it.statistics()["segments_evicted"] > 0
    assert tell(found).events > 0


def test_a_stalled_disk_costs_events_not_memory(tmp_path: Path, stalled: Stalled) -> None:
    """Rings are of one size: what finds no room is dropped, counted, nobody waits.

    (recorder.md row 8)
    """
    it, home = start(tmp_path, ring_events=1_024, drain_interval_s=0.001)
    asyncio.run(busy(8))
    it._drain._flushed_ns = 0  # a second has passed
    assert stalled.reached.wait(30)
    asyncio.run(busy(4_000))

    told = it.statistics()
    (lane,) = core.lanes()
    assert lane.head - lane.tail <= 1_024
    assert told["events_dropped"] > 2_000
    stalled.let_go.set()
    it.close()
    last = it.statistics()
    assert last["events_recorded"] == last["events_written"] == tell(segments(home)).events
    assert last["events_dropped"] == told["events_dropped"]


def test_the_end_does_not_wait_for_a_stalled_disk(
    tmp_path: Path, stalled: Stalled, caplog: pytest.LogCaptureFixture
) -> None:
    """It says so; the directory stays as a killed process leaves it, and is locked.

    (recorder.md row 25)
    """
    it, home = start(tmp_path, drain_interval_s=0.001)
    asyncio.run(busy(8))
    it._drain._flushed_ns = 0
    assert stalled.reached.wait(30)
    thread = it._drain._thread

    assert not it.close(timeout=0)
    assert not it.is_enabled
    assert (home / ".lock").exists()
    assert is_native == any(path.name.startswith("ring.") for path in home.iterdir())
    assert str(home) in caplog.records[-1].getMessage()
    # Another recorder begins meanwhile, and touches nothing of it.
    with recorder.start(RecorderConfig(directory=tmp_path)) as other:
        assert 0 == other.statistics()["segments_recovered"]
    stalled.let_go.set()
    thread.join(30)
    assert not thread.is_alive()


@pytest.mark.skipif(not is_native, reason="the ring lies in memory without the native core")
def test_a_ring_is_a_file_while_the_recorder_runs(tmp_path: Path) -> None:
    """It goes at the end, though the loop's thread lives on; what it records then goes nowhere."""

    async def main() -> Path:
        it, home = start(tmp_path)
        await busy(8)
        assert [f"ring.0-{threading.get_native_id()}"] == [
            path.name for path in home.iterdir() if path.name.startswith("ring.")
        ]
        it.close()
        await busy(8)
        return home

    home = asyncio.run(main())

    assert ["trace.0.bin.gz"] == names_in(home)
    (lane,) = (lane for lane in core.lanes() if not lane.ended)
    assert lane.head - lane.tail <= 2  # the step that was open at the end, and a checkpoint


def test_a_loop_that_runs_already_is_recorded_from_its_next_step_on(tmp_path: Path) -> None:
    """And its step that is open at the end of one recording is no part of the next."""

    async def main() -> list[Path]:
        homes = []
        for _ in range(2):
            it, home = start(tmp_path)
            await busy(8)
            it.close()
            homes.append(home)
        return homes

    for home in asyncio.run(main()):
        told = tell(segments(home))
        assert 12 == steps_of(told, "worker")
        (steps,) = told.steps.values()
        assert all(before.end_ns <= after.start_ns for before, after in pairwise(steps))


def test_spans_have_the_ids_of_their_tasks(tmp_path: Path) -> None:
    """The id of a span's task is that of its steps."""

    async def child() -> None:
        async with recorder.span("inner"):
            await asyncio.sleep(0)

    async def main() -> None:
        async with recorder.span("outer"):
            await asyncio.create_task(child())

    it, home = start(tmp_path)
    asyncio.run(main())
    it.close()
    told = tell(segments(home))

    spans = {event["span_name"]: event for event in told.own}
    assert spans["outer"]["span_id"] == spans["inner"]["parent_span_id"]
    (spawns,) = told.spawns.values()
    names = {s.task: told.names[1, s.name].rpartition(".")[2] for s in spawns}
    assert ["main", "child"] == [names[spans[name]["task_id"]] for name in ("outer", "inner")]


def test_problems_are_told_in_the_metadata(tmp_path: Path) -> None:
    """What cannot be recorded here is no secret of the process."""
    it, home = start(tmp_path)
    problems = dict(it.problems)
    turned(1)
    it.close()
    told = tell(segments(home))

    prefix = "tachograph.problem."
    assert problems == {
        key.removeprefix(prefix): text
        for key, text in told.metadata.items()
        if key.startswith(prefix)
    }
    assert is_native == ("native core" not in problems)


def test_times_are_of_the_monotonic_clock(tmp_path: Path) -> None:
    """Steps and own events have one clock, so that they can be joined."""
    it, home = start(tmp_path)
    asyncio.run(busy(8))
    it.close()
    (path,) = segments(home)
    events = decode(path)
    (block,) = (event for event in events if event.name == "tacho:Steps")
    columns = list(block.values[5:])
    steps = read_steps((block["count"], block["base"], *columns), block["shift"])
    times = [event.timestamp_ns for event in events if event.name.endswith(".turned")]

    assert 8 == len(times)
    assert all(steps[0].start_ns <= (time or 0) <= steps[-1].end_ns for time in times)
