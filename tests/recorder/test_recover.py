"""What a killed process leaves: read once, whole, and never twice."""

from __future__ import annotations

import gzip
import logging
import struct
from pathlib import Path

import pytest
from tests.recorder.reading import decode, names_in, segments, tell

from tachograph.errors import TraceFormatError
from tachograph.recorder import home
from tachograph.recorder import recover as module
from tachograph.recorder.batches import Batches
from tachograph.recorder.config import RecorderConfig
from tachograph.recorder.events import EventKind, Recorded
from tachograph.recorder.names import Names
from tachograph.recorder.recover import read_ring, recover_all
from tachograph.trace.files import read_file

KIND = EventKind("app.hit", (("n", "int", False),))
HEADER = struct.Struct("=8s4I4Q8x5Q24xQ")
SLOT = struct.Struct("=QQQIIIBBH")
STEP, SPAWN, PARK, CHECKPOINT = 1, 2, 3, 4
SLOTS, TID = 64, 77


def event(number: int, kind: int) -> bytes:
    """An event of a ring; its task says which one it is."""
    return SLOT.pack(number * 8_000, 2_000 + number, 0, 800, 0, 1, kind, 0, 0)


def mixed(first: int, count: int) -> list[bytes]:
    """Events of all types, as a loop makes them."""
    kinds = (STEP, STEP, PARK, SPAWN, STEP, CHECKPOINT, PARK)
    return [event(n, kinds[n % len(kinds)]) for n in range(first, first + count)]


def ring(
    events: list[bytes], tail: int, *, open_step: tuple[int, int, int] = (0, 0, 0), drops: int = 0,
    lane: int = 0,
) -> bytes:  # fmt: skip
    """The bytes of a ring's file that holds *events* from number *tail* on."""
    slots = bytearray(SLOTS * SLOT.size)
    for n, each in enumerate(events, tail):
        at = n % SLOTS * SLOT.size
        slots[at : at + SLOT.size] = each
    head = tail + len(events)
    header = HEADER.pack(
        b"TACHORNG", 1, SLOT.size, SLOTS, lane, 1, TID, 5_000, 10**18, head, drops, *open_step, tail
    )
    return header.ljust(4096, b"\0") + slots


class Dead:
    """The directory of a process that died."""

    def __init__(self, parent: Path) -> None:
        self.parent = parent
        self.path = parent / "abcd-1"
        self.path.mkdir()
        (self.path / ".lock").write_bytes(b"")
        self.names = Names()
        self.batches = Batches(RecorderConfig(), lambda: {"service": "s"}, self.names)

    def put(self, name: str, data: bytes) -> Path:
        path = self.path / name
        path.write_bytes(data)
        return path

    def segment(self, *batches: bytes) -> bytes:
        return b"".join((self.batches.head(True), *batches))

    def lane(self, first: int, events: list[bytes], lane: int = 0) -> bytes:
        self.batches.restart()  # so that each can be read alone
        return self.batches.of_lane(lane, TID, first, b"".join(events))

    def hits(self, *numbers: int) -> bytes:
        self.batches.restart()
        return self.batches.of_events([Recorded(KIND, n, (n,)) for n in numbers])[0]

    def recover(self) -> int:
        return len(recover_all(self.parent))

    def seen(self) -> list[int]:
        """The numbers of all steps, parks and spawns that have a task in all segments."""
        told = tell(segments(self.path))
        steps = [step.task - 2_000 for each in told.steps.values() for step in each]
        spawns = [spawn.task - 2_000 for each in told.spawns.values() for spawn in each]
        return sorted(steps + spawns)


@pytest.fixture
def dead(tmp_path: Path) -> Dead:
    """The directory of a process that died."""
    return Dead(tmp_path)


def with_task(events: list[bytes]) -> list[int]:
    """The numbers of the events that have a task."""
    unpacked = [SLOT.unpack(each) for each in events]
    return [each[1] - 2_000 for each in unpacked if each[6] in (STEP, SPAWN)]


def test_an_active_segment_is_sealed(dead: Dead) -> None:
    """Its batches are read as they are; what only a living process needs goes.

    (recorder.md row 22)
    """
    dead.put("trace.3.bin.active", dead.segment(dead.hits(1, 2)))
    dead.put("names", b"")

    assert 1 == dead.recover()
    assert {".lock", "trace.3.bin"} == set(names_in(dead.path))
    assert [1, 2] == [e["n"] for e in tell([dead.path / "trace.3.bin"]).own]


@pytest.mark.slow
def test_a_tail_torn_at_any_byte_costs_the_torn_batch_only(dead: Dead) -> None:
    """Cut anywhere, the file reads strictly afterwards, and all whole batches are in it."""
    whole = [dead.segment(dead.hits(1, 2)), dead.hits(3), dead.lane(0, mixed(0, 9)), dead.hits(4)]
    data = b"".join(whole)
    ends = [sum(map(len, whole[: n + 1])) for n in range(len(whole))]
    expected = [[1, 2], [1, 2, 3], [1, 2, 3], [1, 2, 3, 4]]
    for cut in range(len(data) + 1):
        dead.put("trace.0.bin.active", data[:cut])
        dead.recover()
        sealed = dead.path / "trace.0.bin"
        if cut <= 5:  # a header at most: there is nothing in it
            assert not dead.path.exists()
            dead.path.mkdir()
            dead.put(".lock", b"")
            continue
        told = tell([sealed])
        on_file = [e for end, e in zip(ends, expected, strict=True) if end <= cut]
        least = on_file[-1] if on_file else []
        assert least == [e["n"] for e in told.own][: len(least)], cut
        assert data.startswith(sealed.read_bytes()), cut
        sealed.unlink()


def test_the_last_moments_come_from_the_ring(dead: Dead) -> None:
    """Events that were never written, the open step, the names and the losses.

    (recorder.md row 22)
    """
    dead.put("trace.0.bin.active", dead.segment(dead.lane(0, mixed(0, 20))))
    dead.put("names", b'["spawn", 1, "app.py:1 app.work"]\n["spawn", 2, "torn')
    dead.put(f"ring.0-{TID}", ring(mixed(20, 30), 20, open_step=(9, 999_000, 4), drops=5))

    assert 2 == dead.recover()
    assert {".lock", "trace.0.bin", "trace.1.bin"} == set(names_in(dead.path))
    told = tell([dead.path / "trace.1.bin"])
    assert 30 == told.events
    assert with_task(mixed(0, 50)) == dead.seen()
    assert [(9, 999_000, 4)] == told.open_steps
    assert {(1, 1): "app.py:1 app.work"} == told.names
    assert {0: (TID, "recovered")} == told.lanes
    assert ("true", "abcd-1", "5") == (
        told.metadata["segment.recovered"],
        told.metadata["boot_id"],
        told.metadata["lane.0.events_dropped"],
    )
    clock = decode(dead.path / "trace.1.bin")[0]
    assert ("ClockSyncEvent", 5_000, 10**18) == (clock.name, clock.timestamp_ns, clock.values[0])


def test_the_last_moments_are_read_alone(dead: Dead) -> None:
    """Tasks of the ring that began in the segment before are told again; the profile is told."""
    spawns = [event(n, SPAWN) for n in range(4)]
    dead.put("trace.0.bin.active", dead.segment(dead.lane(0, [*spawns, *mixed(4, 6)])))
    dead.put("names", b'["spawn", 1, "app.py:1 app.work"]\n')
    after = [event(2, STEP), event(20, PARK)]
    dead.put(f"ring.0-{TID}", ring(after, 10, open_step=(2_003, 999_000, 0)))
    dead.recover()
    trace = read_file(dead.path / "trace.1.bin", strict=True)

    assert {2_002, 2_003} == {n for n, task in trace.tasks.items() if task.began_before}
    assert "app.py:1 app.work" == trace.tasks[2_002].location
    assert "compact" == trace.metadata["tachograph.profile"]


def test_what_is_on_file_and_in_the_ring_comes_once(dead: Dead) -> None:
    """The process died after a batch was written and before the ring let go of it."""
    dead.put("trace.0.bin.active", dead.segment(dead.lane(100, mixed(100, 40))))
    dead.put(f"ring.0-{TID}", ring(mixed(100, 50), 100))
    dead.recover()

    assert with_task(mixed(100, 50)) == dead.seen()
    assert 10 == tell([dead.path / "trace.1.bin"]).events


@pytest.mark.slow
def test_a_batch_torn_at_any_byte_is_completed_by_the_ring(dead: Dead) -> None:
    """Whatever part of it is on file: each event once, none twice, none missing."""
    head, batch = dead.segment(), dead.lane(100, mixed(100, 14))
    for cut in range(len(batch) + 1):
        dead.put("trace.0.bin.active", head + batch[:cut])
        dead.put(f"ring.0-{TID}", ring(mixed(100, 20), 100))
        dead.recover()

        told = tell(segments(dead.path))
        assert with_task(mixed(100, 20)) == dead.seen(), cut
        assert 20 == told.events, cut
        for path in segments(dead.path):
            path.unlink()


@pytest.mark.parametrize("compressed", [False, True])
def test_a_batch_in_a_segment_that_was_just_sealed_comes_once(dead: Dead, compressed: bool) -> None:
    """It filled its segment, which was sealed, compressed perhaps, before the process died."""
    data = dead.segment(dead.lane(100, mixed(100, 40)))
    if compressed:
        dead.put("trace.4.bin.gz", gzip.compress(data))
    else:
        dead.put("trace.4.bin", data)
    dead.put(f"ring.0-{TID}", ring(mixed(100, 50), 100))
    dead.recover()

    assert with_task(mixed(100, 50)) == dead.seen()


def test_another_lanes_blocks_are_not_taken_for_this_ones(dead: Dead) -> None:
    """A number counts for its lane and thread only."""
    other = dead.lane(100, mixed(0, 40), lane=1)
    dead.put("trace.0.bin.active", dead.segment(other, dead.lane(60, mixed(60, 40))))
    dead.put(f"ring.0-{TID}", ring(mixed(100, 50), 100))
    dead.recover()

    assert 50 == tell([dead.path / "trace.1.bin"]).events


def test_a_second_recovery_finds_nothing(dead: Dead) -> None:
    """It changes no file."""
    dead.put("trace.0.bin.active", dead.segment(dead.hits(1)))
    dead.put(f"ring.0-{TID}", ring(mixed(0, 30), 0, open_step=(9, 9, 0)))
    dead.recover()
    before = {path.name: path.read_bytes() for path in dead.path.iterdir()}

    assert 0 == dead.recover()
    assert before == {path.name: path.read_bytes() for path in dead.path.iterdir()}


@pytest.mark.parametrize("calls", range(6))
def test_a_recovery_that_is_killed_is_gone_on_with(
    calls: int, dead: Dead, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After each change it makes, the next one ends it, and nothing comes twice."""
    dead.put("trace.0.bin.active", dead.segment(dead.hits(1), dead.lane(100, mixed(100, 9))))
    dead.put("names", b"")
    dead.put(f"ring.0-{TID}", ring(mixed(100, 50), 100, open_step=(9, 9, 0)))
    dead.put("ring.1-78", ring([], 7, lane=1))
    left = [calls]

    def counted(name: str) -> None:
        stock = getattr(Path, name)

        def call(self: Path, *args: object, **named: object) -> object:
            if not left[0]:
                raise KeyboardInterrupt
            left[0] -= 1
            return stock(self, *args, **named)

        monkeypatch.setattr(Path, name, call)

    for name in ("rename", "unlink", "write_bytes"):
        counted(name)
    with pytest.raises(KeyboardInterrupt):
        dead.recover()
    monkeypatch.undo()
    dead.recover()

    told = tell(segments(dead.path))
    assert with_task(mixed(100, 50)) == dead.seen()
    assert [1] == [e["n"] for e in told.own]
    assert [(9, 9, 0)] == told.open_steps
    assert {".lock", "trace.0.bin", "trace.1.bin"} == set(names_in(dead.path))


def test_a_step_that_was_just_ended_is_not_open(dead: Dead) -> None:
    """The process died after the step was written and before it was no longer shown as open."""
    last = event(3, STEP)
    at = (2_003, 3 * 8_000, 0)
    for tail, events in ((0, mixed(0, 3)), (4, [])):
        ended = ring([*events, last] if events else [], tail, open_step=at)
        slots = bytearray(ended)
        slots[4096 + 3 * SLOT.size : 4096 + 4 * SLOT.size] = last
        assert read_ring(bytes(slots)).open_step is None
    checked = ring([*mixed(0, 3), last, event(4, CHECKPOINT)], 0, open_step=at)
    assert read_ring(checked).open_step is None
    assert (2_004, 32_000, 0) == read_ring(ring([last], 3, open_step=(2_004, 32_000, 0))).open_step


def test_a_ring_wraps(dead: Dead) -> None:
    """Its slots are used again and again."""
    found = read_ring(ring(mixed(1_000, 64), 1_000))

    assert (1_000, b"".join(mixed(1_000, 64))) == (found.first, found.raw)


@pytest.mark.parametrize(
    "damage",
    [
        (0, b"X"),
        (8, b"\2"),
        (12, b"\x29"),
        (16, b"\0"),
        (16, b"\x41"),
        (16, b"\0\0\0\1"),
        (64, b"\xff" * 8),
        (128, b"\xff" * 8),
    ],
)
def test_what_is_no_ring_is_told(
    damage: tuple[int, bytes], dead: Dead, caplog: pytest.LogCaptureFixture
) -> None:
    """A damaged header is an error with a sentence; the rest is recovered all the same."""
    at, data = damage
    good = ring(mixed(0, 9), 0)
    bad = good[:at] + data + good[at + len(data) :]

    for each in (bad, b"", good[:4095], good[:4096]):
        with pytest.raises(TraceFormatError, match="Expected "):
            read_ring(each)
    dead.put(f"ring.0-{TID}", bad)
    dead.put("trace.0.bin.active", dead.segment(dead.hits(1)))
    assert 1 == dead.recover()
    assert 1 == len(caplog.records)


def test_nothing_unread_is_deleted(dead: Dead) -> None:
    """A segment that is damaged, or no trace, is kept byte for byte under its sealed name."""
    good = dead.segment(dead.hits(1))
    damaged = good + b"\x02\xff\xff" + dead.hits(2)
    dead.put("trace.0.bin.active", damaged)
    dead.put("trace.1.bin.active", b"something else")
    dead.put("trace.2.bin", b"sealed, whatever it is")

    assert 2 == dead.recover()
    kept = [(dead.path / f"trace.{n}.bin").read_bytes() for n in range(3)]
    assert [damaged, b"something else", b"sealed, whatever it is"] == kept


@pytest.mark.parametrize("whole", [True, False])
def test_a_segment_is_there_once(dead: Dead, whole: bool) -> None:
    """The process died between the compressed file's rename and the raw file's end."""
    data = dead.segment(dead.hits(1))
    packed = gzip.compress(data)
    dead.put("trace.0.bin", data)
    dead.put("trace.0.bin.gz", packed if whole else packed[:-9])
    dead.recover()

    (path,) = segments(dead.path)
    assert ("trace.0.bin.gz" if whole else "trace.0.bin") == path.name
    assert [1] == [event["n"] for event in tell([path]).own]


def test_partial_files_go(dead: Dead) -> None:
    """What they hold, the file that they were made from holds."""
    dead.put("trace.0.bin", dead.segment(dead.hits(1)))
    dead.put("trace.0.bin.gz.01ARZ3NDEKTSV4RRFFQ69G5FAV.partial", b"half")
    dead.recover()

    assert {".lock", "trace.0.bin"} == set(names_in(dead.path))


def test_a_foreign_file_keeps_everything_as_it_is(dead: Dead) -> None:
    """A directory that holds an unknown file is left untouched (recorder.md row 30)."""
    dead.put("trace.0.bin.active", dead.segment(dead.hits(1)))
    dead.put("notes.txt", b"mine")

    assert 0 == dead.recover()
    assert {".lock", "trace.0.bin.active", "notes.txt"} == set(names_in(dead.path))


def test_a_process_that_recorded_nothing_leaves_nothing(dead: Dead) -> None:
    """No segment is made of nothing, and the directory goes."""
    dead.put("names", b"")
    dead.put(f"ring.0-{TID}", ring([], 0))

    assert 0 == dead.recover()
    assert not dead.path.exists()


def test_one_that_cannot_be_recovered_does_not_stop_the_others(
    dead: Dead, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Garbage of the dead never keeps the living from starting."""
    dead.put("trace.0.bin.active", dead.segment(dead.hits(1)))
    dead.path.rename(dead.parent / "aaaa-1")
    other = Dead(dead.parent)
    other.put("trace.0.bin.active", other.segment(other.hits(1)))
    stock = module.recover

    def sometimes(found: home.Dead) -> list[Path]:
        if found.path.name == "aaaa-1":
            raise ZeroDivisionError
        return stock(found)

    monkeypatch.setattr(module, "recover", sometimes)

    assert 1 == other.recover()
    assert [logging.WARNING] == [record.levelno for record in caplog.records]
