"""From rings to segments: nothing is let go before it is on file or counted as lost."""

from __future__ import annotations

import logging
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tests.recorder.reading import decode, tell

from tachograph.recorder import drain as module
from tachograph.recorder.batches import Batches
from tachograph.recorder.config import RecorderConfig
from tachograph.recorder.drain import Drain
from tachograph.recorder.events import EventBuffer, EventKind
from tachograph.recorder.names import Names
from tachograph.recorder.segments import Segments
from tachograph.testing import FakeClock

_EVENT = struct.Struct("=QQQIIIBBH")
KIND = EventKind("app.hit", (("n", "int", False),))


class Ring:
    """Stands in for a lane of the core."""

    def __init__(self, number: int = 0, tid: int = 100, events: int = 0) -> None:
        self.number, self.tid = number, tid
        self.head = self.tail = self.drops = self.errors = 0
        self.ended = self.closed = False
        self.capacity = 65_536
        self.slots: list[bytes] = []
        self.put(events)

    def put(self, count: int) -> None:
        for _ in range(count):
            self.head += 1
            self.slots.append(_EVENT.pack(self.head * 800, 1_024, 0, 80, 16, 0, 1, 0, 0))

    def read(self, most: int) -> bytes:
        return b"".join(self.slots[:most])

    def release(self, count: int) -> None:
        del self.slots[:count]
        self.tail += count

    def close(self) -> None:
        self.closed = True


class Bench:
    """A drain over rings of its own."""

    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.directory = directory
        self.rings: list[Ring] = []
        fake = SimpleNamespace(
            lanes=lambda: [r for r in self.rings if not r.closed], EVENT_BYTES=40
        )
        monkeypatch.setattr(module, "core", fake)
        self.sealed: list[Path] = []
        self.names = Names()
        self.batches = Batches(RecorderConfig(), dict, self.names)
        self.segments = Segments(
            directory, self.batches.head, self.batches.tail, max_total_bytes=10**9,
            max_file_bytes=10**8, rotation_s=60, on_sealed=self.sealed.append,
        )  # fmt: skip
        self.drain = self.make()

    def make(self, on_turn: Callable[[], None] | None = None, ring_events: int = 65_536) -> Drain:
        return Drain(
            self.segments, self.batches, interval_s=0.001, ring_events=ring_events, on_turn=on_turn,
            ring_of=lambda lane, tid: self.directory / f"ring.{lane}-{tid}",
        )  # fmt: skip

    def turn(self) -> None:
        """One look of the drain's own thread."""
        self.drain._turn(everything=False)


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """A drain over the test's own rings."""
    return Bench(tmp_path, monkeypatch)


def test_writes_when_there_is_enough_or_once_a_second(bench: Bench, time: FakeClock) -> None:
    """A few events wait in the ring, which outlives the process; many, or old ones, are written."""
    bench.drain = bench.make()
    quiet, busy = Ring(0, events=10), Ring(1, events=9_000)
    bench.rings += [quiet, busy]
    bench.turn()

    assert (10, 0) == (len(quiet.slots), len(busy.slots))
    time.advance(1)
    bench.turn()
    assert 0 == len(quiet.slots)
    assert 9_010 == bench.drain.statistics.events_written


def test_looks_more_often_while_rings_fill(bench: Bench) -> None:
    """As often as it can when one is over half full; at leisure after a second without."""
    waits = []
    for second, fullest in enumerate((100, 20_000, 9_000, 20_000, 40_000, 100, 100, 100, 100)):
        now = (second + 1) * 1_000_000_001
        for _ in range(2):  # the second time at the same moment
            bench.drain._pace(fullest, now)
        waits.append(round(0.001 / bench.drain._wait_s))

    assert [1, 4, 1, 4, 8, 2, 1, 1, 1] == waits


def test_a_pause_between_two_bursts_is_not_leisure(bench: Bench) -> None:
    """The next burst comes while it still looks often."""
    bench.drain._pace(40_000, 1_000_000_000)
    bench.drain._pace(0, 1_900_000_000)

    assert 0.001 / 8 == bench.drain._wait_s


def test_a_small_ring_is_written_when_a_quarter_of_it_is_full(bench: Bench) -> None:
    """Whatever is enough for a batch of its own: no ring overflows because it is small."""
    bench.drain = bench.make(ring_events=64)
    ring = Ring(events=15)
    ring.capacity = 64
    bench.rings.append(ring)
    bench.turn()
    assert 15 == len(ring.slots)
    ring.put(1)
    bench.turn()

    assert 0 == len(ring.slots)


def test_a_piece_is_let_go_after_it_is_on_file(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a ring still holds is at most one piece more than what is not on file.

    (recorder.md row 22)
    """
    ring = Ring(events=40_000)
    bench.rings.append(ring)
    seen: list[tuple[int, int]] = []
    stock = ring.release

    def release(count: int) -> None:
        seen.append((count, tell([bench.segments.active]).events))
        stock(count)

    monkeypatch.setattr(ring, "release", release)
    bench.drain.flush()

    assert [(16_384, 16_384), (16_384, 32_768), (7_232, 40_000)] == seen


def test_blocks_carry_how_many_events_came_before(bench: Bench) -> None:
    """So that a recovery knows which of a ring's events are on file."""
    ring = Ring(events=40_000)
    bench.rings.append(ring)
    bench.drain.flush()
    ring.put(5)
    bench.drain.flush()
    blocks = [e for e in decode(bench.segments.active) if e.name == "tacho:Steps"]

    assert [0, 16_384, 32_768, 40_000] == [block["sequence"] for block in blocks]


def test_a_loop_that_is_faster_than_the_disk_does_not_hold_the_drain(bench: Bench) -> None:
    """A turn writes what was there when it began."""
    ring = Ring(events=100)
    bench.rings.append(ring)
    stock = bench.batches.of_lane

    def slow(lane: int, tid: int, sequence: int, raw: bytes) -> bytes:
        ring.put(100)
        return stock(lane, tid, sequence, raw)

    bench.batches.of_lane = slow  # type: ignore[method-assign]
    bench.drain.flush()

    assert 100 == bench.drain.statistics.events_written
    assert 100 == len(ring.slots)


def test_each_segment_tells_the_lanes_it_has(bench: Bench) -> None:
    """After a rotation the first block has its lane before it, as in the first segment."""
    ring = Ring(3, 77, events=10)
    bench.rings.append(ring)
    bench.drain.rotate()
    ring.put(10)
    bench.drain.rotate()

    assert [{3: (77, "main")}] * 2 == [tell([path]).lanes for path in bench.sealed]
    assert [10, 10] == [tell([path]).events for path in bench.sealed]


def test_nothing_comes_between_the_last_look_and_the_seal(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rotation empties the rings into the segment it seals, whoever asks for it."""
    bench.rings.append(Ring(events=10))
    stock = bench.segments.seal

    def seal(*, clean: bool = True) -> Path | None:
        assert bench.drain._lock.locked()
        return stock(clean=clean)

    monkeypatch.setattr(bench.segments, "seal", seal)

    assert bench.directory / "trace.0.bin" == bench.drain.rotate()
    assert "true" == tell(bench.sealed).metadata["segment.sealed_clean"]


def test_a_lane_that_ended_is_emptied_and_closed(bench: Bench) -> None:
    """Its ring's file goes, its counts stay."""
    ring = Ring(2, 5, events=7)
    ring.ended, ring.drops, ring.errors = True, 3, 1
    bench.rings += [ring, Ring(3, events=4)]
    (bench.directory / "ring.2-5").write_bytes(b"")
    bench.turn()

    assert ring.closed
    assert not (bench.directory / "ring.2-5").exists()
    assert 7 == bench.drain.statistics.events_written
    assert {"events_recorded": 11, "events_dropped": 3, "hook_errors": 1} == bench.drain.counts()


def test_what_cannot_be_written_is_lost_and_counted(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, waiting: EventBuffer
) -> None:
    """Rings are emptied all the same: a loop never waits for a disk (recorder.md row 2)."""
    ring = Ring(events=10)
    bench.rings.append(ring)
    waiting.add(KIND, (1,))
    monkeypatch.setattr(bench.segments, "append", lambda make: False)
    bench.drain.flush()

    statistics = bench.drain.statistics
    assert (0, 10) == (statistics.events_written, statistics.events_lost)
    assert (0, 1) == (statistics.own_events_written, statistics.own_events_lost)
    assert 0 == len(ring.slots)


def test_a_batch_that_cannot_be_made_costs_itself(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """An encode error: counted, one warning in 60 s, the next one is written.

    (recorder.md row 2)
    """
    rings = [Ring(0, events=10), Ring(1, events=20)]
    bench.rings += rings
    stock = bench.batches.of_lane

    def sometimes(lane: int, *rest: Any) -> bytes:
        if lane == 0:
            raise ZeroDivisionError
        return stock(lane, *rest)

    monkeypatch.setattr(bench.batches, "of_lane", sometimes)
    bench.drain.flush()
    rings[0].put(5)
    bench.drain.flush()

    statistics = bench.drain.statistics
    assert (20, 15, 2) == (
        statistics.events_written,
        statistics.events_lost,
        statistics.failures,
    )
    assert [logging.WARNING] == [record.levelno for record in caplog.records]


def test_what_a_batch_that_could_not_be_made_told_is_told_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It costs its own events; those that follow have their lane and their names."""
    stock, calls = bench.batches.of_lane, []

    def fails_once(*args: Any) -> bytes:
        calls.append(args)
        batch = stock(*args)
        if len(calls) == 2:
            raise MemoryError
        return batch

    monkeypatch.setattr(bench.batches, "of_lane", fails_once)
    bench.rings.append(Ring(0, events=4))
    bench.drain.flush()
    bench.names.note(0, 5, len, 0, None)
    bench.rings.append(Ring(1, events=4))
    bench.drain.flush()
    bench.rings[1].put(4)
    bench.drain.rotate()
    told = tell(bench.sealed)

    assert {0: 4, 1: 4} == {lane: len(steps) for lane, steps in told.steps.items()}
    assert "callback:builtins.len" in told.names.values()
    assert (8, 4) == (
        bench.drain.statistics.events_written,
        bench.drain.statistics.events_lost,
    )


def test_own_events_are_in_the_order_of_their_times(bench: Bench, waiting: EventBuffer) -> None:
    """Whatever the order in which threads put them."""
    for when in (30, 10, 20):
        waiting.add(KIND, (when,), when)
    bench.drain.rotate()
    events = decode(bench.sealed[0])

    assert [10, 20, 30] == [e.timestamp_ns for e in events if e.name == KIND.name]


def test_own_events_are_written_with_the_rings(bench: Bench, waiting: EventBuffer) -> None:
    """All that wait, in their order; one that fits no batch is counted as lost."""
    for number in range(3):
        waiting.add(KIND, (number,), number)
    waiting.add(KIND, (9,), -1)
    bench.drain.flush()

    assert [0, 1, 2] == [event["n"] for event in tell([bench.segments.active]).own]
    statistics = bench.drain.statistics
    assert (3, 1) == (statistics.own_events_written, statistics.own_events_lost)


@pytest.fixture
def running(bench: Bench) -> Iterator[Bench]:
    """A bench whose drain runs after the test has started it."""
    yield bench
    bench.drain.close(30)


def test_the_end_writes_and_seals(running: Bench) -> None:
    """Everything there is, in order; then the thread is gone."""
    running.rings.append(Ring(events=10))
    running.drain.start()

    assert running.drain.close(30)
    assert [10] == [tell([path]).events for path in running.sealed]


def test_a_callback_that_raises_is_counted(
    running: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    """What the user's code raises is said once, and the drain goes on (recorder.md row 27)."""
    turns = threading.Semaphore(0)

    def raises() -> None:
        turns.release()
        raise ZeroDivisionError

    running.drain = running.make(raises)
    running.drain.start()
    for _ in range(3):
        assert turns.acquire(timeout=30)
    running.rings.append(Ring(events=10))

    assert running.drain.close(30)
    assert running.drain.statistics.failures >= 2
    assert 1 == len(caplog.records)
    assert 10 == running.drain.statistics.events_written


def test_a_callback_may_ask_for_a_dump_or_the_end(running: Bench) -> None:
    """It runs on the drain's thread and holds nothing that these need."""
    done = threading.Event()
    answers: list[object] = []

    def asks() -> None:
        if not done.is_set():
            answers.append(running.drain.rotate())
            answers.append(running.drain.close(30))
            done.set()

    running.rings.append(Ring(events=10))
    running.drain = running.make(asks)
    running.drain.start()

    assert done.wait(30)
    assert [running.directory / "trace.0.bin", True] == answers
