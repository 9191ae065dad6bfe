"""The budget of segments, and the disk that is full."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
from pathlib import Path

import pytest
from tests.recorder.calls import Log
from tests.recorder.test_segments import KIB, failing, files, make, put

from tachograph.testing import FakeClock

FULL = OSError(errno.ENOSPC, "No space left on device")


def size(directory: Path) -> int:
    """Bytes of all files."""
    return sum(len(data) for data in files(directory).values())


def said(caplog: pytest.LogCaptureFixture, level: int) -> list[str]:
    """What was logged at a level."""
    return [record.getMessage() for record in caplog.records if record.levelno == level]


def test_the_oldest_segments_make_room(tmp_path: Path, log: Log) -> None:
    """The total never exceeds the budget; the oldest families go first, counted.

    (recorder.md row 5)
    """
    segments = make(tmp_path, log)
    for number in range(40):
        put(segments, bytes([number]) * 30 * KIB)
        assert size(tmp_path) <= 400 * KIB
    statistics = segments.statistics

    assert 13 == statistics.segments_sealed
    assert [10, 11, 12, 13] == sorted(int(name.split(".")[1]) for name in files(tmp_path))
    assert 10 == statistics.segments_evicted
    assert 10 * (90 * KIB + 2) == statistics.bytes_evicted


def test_sealed_segments_leave_room_for_the_active_one(tmp_path: Path, log: Log) -> None:
    """They are evicted down to the total less one file."""
    segments = make(tmp_path, log)
    for _ in range(9):
        put(segments, b"a" * 99 * KIB)

    assert size(tmp_path) <= 300 * KIB


def test_a_family_goes_as_a_whole(tmp_path: Path, log: Log) -> None:
    """Raw, compressed and partial files of a number are one thing."""
    family = ("trace.0.bin", "trace.0.bin.gz", "trace.0.bin.gz.01ARZ3NDEKTSV4RRFFQ69G5FAV.partial")
    for name in family:
        (tmp_path / name).write_bytes(b"a" * 60 * KIB)
    (tmp_path / "trace.1.bin.gz").write_bytes(b"b" * 200 * KIB)
    segments = make(tmp_path, log)
    segments.evict()

    assert ["trace.1.bin.gz"] == list(files(tmp_path))
    assert (1, 180 * KIB) == (
        segments.statistics.segments_evicted,
        segments.statistics.bytes_evicted,
    )


def test_a_segment_that_is_compressed_meanwhile_is_counted(
    tmp_path: Path, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A look at the directory saw the raw file only, which has gone since: its successor counts."""
    (tmp_path / "trace.0.bin").write_bytes(b"a" * 60 * KIB)
    segments = make(tmp_path, log)
    with os.scandir(tmp_path) as entries:
        seen = list(entries)
    (tmp_path / "trace.0.bin").unlink()
    (tmp_path / "trace.0.bin.gz").write_bytes(b"a" * 20 * KIB)
    monkeypatch.setattr(os, "scandir", lambda _: contextlib.nullcontext(seen))

    assert (1, 20 * KIB) == segments.retained


def test_only_own_files_are_evicted(tmp_path: Path, log: Log) -> None:
    """Whatever else lies in the directory is neither counted nor touched."""
    (tmp_path / "notes.txt").write_bytes(b"n" * 900 * KIB)
    (tmp_path / "ring.0-1").write_bytes(b"r" * 900 * KIB)
    segments = make(tmp_path, log)
    put(segments, b"a" * 100 * KIB)

    assert 0 == segments.statistics.segments_evicted
    assert {"notes.txt", "ring.0-1", "trace.0.bin"} == set(files(tmp_path))


def test_a_file_that_cannot_be_deleted_is_counted_and_passed_over(
    tmp_path: Path, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next one goes in its place, and no batch is written twice for it."""
    segments = make(tmp_path, log)
    put(segments, b"a" * 90 * KIB)
    segments.seal()
    stock = Path.unlink

    def refuses(self: Path, missing_ok: bool = False) -> None:
        if self.name == "trace.0.bin":
            raise PermissionError(errno.EACCES, "no")
        stock(self, missing_ok=missing_ok)

    monkeypatch.setattr(Path, "unlink", refuses)
    for _ in range(4):
        assert put(segments, b"b" * 90 * KIB)
        segments.seal()

    assert {"trace.0.bin", "trace.3.bin", "trace.4.bin"} == set(files(tmp_path))
    assert segments.statistics.io_errors > 0


def test_a_batch_larger_than_a_file_takes_the_place_of_old_ones(tmp_path: Path, log: Log) -> None:
    """It is written while it fits into the budget at all, and the budget holds."""
    segments = make(tmp_path, log)
    for _ in range(3):
        put(segments, b"a" * 99 * KIB)

    assert put(segments, b"b" * 200 * KIB)
    assert size(tmp_path) <= 400 * KIB


def test_a_batch_larger_than_the_budget_is_lost(
    tmp_path: Path, log: Log, caplog: pytest.LogCaptureFixture
) -> None:
    """One file alone would exceed the budget: none is left, counted, one error.

    (recorder.md row 6)
    """
    segments = make(tmp_path, log)
    put(segments, b"a" * KIB)

    for _ in range(3):
        assert not put(segments, b"b" * 400 * KIB)
    assert ["trace.0.bin"] == list(files(tmp_path))
    assert put(segments, b"c")
    assert 3 == segments.statistics.batches_lost
    (error,) = said(caplog, logging.ERROR)
    assert "max_total_bytes" in error


def test_a_full_disk_pauses_and_keeps_the_evidence(
    tmp_path: Path,
    log: Log,
    time: FakeClock,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Disk full: sealed evidence stays, one error, counted; again after a minute.

    (recorder.md row 7)
    """
    segments = make(tmp_path, log)
    for _ in range(3):
        put(segments, b"a" * 99 * KIB)
    before = set(files(tmp_path))
    calls: list[int | OSError] = [FULL]
    monkeypatch.setattr(os, "write", failing(calls))

    assert not put(segments, b"b")
    assert before == set(files(tmp_path))
    statistics = segments.statistics
    assert (1, True) == (statistics.disk_full_encountered, statistics.write_stopped_no_space)
    for _ in range(5):  # nothing is tried meanwhile
        time.advance(11)
        assert not put(segments, b"c")
    calls.append(FULL)
    time.advance(10)
    assert not put(segments, b"d")
    assert [] == calls
    time.advance(60)
    assert put(segments, b"e")
    assert not statistics.write_stopped_no_space
    assert (2, 7) == (statistics.disk_full_encountered, statistics.batches_lost)
    (error,) = said(caplog, logging.ERROR)
    assert str(tmp_path) in error


def test_a_full_disk_in_the_middle_seals_what_is_there(
    tmp_path: Path, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The active segment is ended at its last whole batch; no tail is tried (recorder.md row 7)."""
    segments = make(tmp_path, log)
    put(segments, b"first")
    monkeypatch.setattr(os, "write", failing([2, FULL]))

    assert not put(segments, b"second")
    assert {"trace.0.bin": b"<first"} == files(tmp_path)
    assert (["trace.0.bin"], []) == (log.sealed, log.tails)


def test_a_full_disk_evicts_only_down_to_the_reserve(
    tmp_path: Path, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Own oldest families go until one file has room; never a foreign file (recorder.md row 7)."""
    for number in range(5):
        (tmp_path / f"trace.{number}.bin.gz").write_bytes(b"a" * 100 * KIB)
    (tmp_path / "foreign").write_bytes(b"f" * 100 * KIB)
    segments = make(tmp_path, log)
    monkeypatch.setattr(os, "write", failing([FULL]))
    put(segments, b"b")

    kept = {"foreign", "trace.2.bin.gz", "trace.3.bin.gz", "trace.4.bin.gz"}
    assert kept == set(files(tmp_path))


def test_each_full_disk_is_said_once(
    tmp_path: Path,
    log: Log,
    time: FakeClock,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A second one, after batches were written, is news."""
    segments = make(tmp_path, log)
    calls: list[int | OSError] = []
    monkeypatch.setattr(os, "write", failing(calls))
    for _ in range(2):
        calls.append(FULL)
        put(segments, b"a")
        time.advance(60)
        put(segments, b"b")

    assert 2 == len(said(caplog, logging.ERROR))


def test_other_errors_are_warned_about_once_a_minute(
    tmp_path: Path,
    log: Log,
    time: FakeClock,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A write error in the flush loop: a warning at most every 60 s (recorder.md row 2)."""
    segments = make(tmp_path, log)
    broken: list[int | OSError] = [OSError(errno.EIO, "broken") for _ in range(100)]
    monkeypatch.setattr(os, "write", failing(broken))
    for _ in range(13):
        put(segments, b"a")
        time.advance(5)

    assert 2 == len(said(caplog, logging.WARNING))
    assert 13 == segments.statistics.batches_lost


def test_an_unreadable_directory_is_counted(
    tmp_path: Path, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The budget cannot be kept then, which is an error and no crash."""
    segments = make(tmp_path, log)

    def refused(path: Path) -> None:
        raise PermissionError(errno.EACCES, "no")

    monkeypatch.setattr(os, "scandir", refused)

    assert put(segments, b"a" * 90 * KIB)
    segments.seal()
    assert (1, 1) == (segments.statistics.segments_sealed, segments.statistics.io_errors)
