"""Segments on disk: whole batches, sealing and rotation."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.recorder.calls import Log

from tachograph.recorder.segments import Segments
from tachograph.testing import FakeClock

KIB = 1024


def make(directory: Path, log: Log, **settings: Any) -> Segments:
    """Return segments of some KiB."""
    numbers = {"max_total_bytes": 400 * KIB, "max_file_bytes": 100 * KIB, "rotation_s": 60.0}
    return Segments(
        directory, log.head, log.tail,
        on_sealed=lambda path: log.sealed.append(path.name), **(numbers | settings),
    )  # fmt: skip


def put(segments: Segments, data: bytes) -> bool:
    """Append a batch."""
    return segments.append(lambda: data)


def files(directory: Path) -> dict[str, bytes]:
    """The files and what is in them."""
    return {path.name: path.read_bytes() for path in sorted(directory.iterdir())}


def test_a_segment_begins_with_its_head_and_ends_with_its_tail(tmp_path: Path, log: Log) -> None:
    """It is `.active` until a rename seals it; the next one has the next number."""
    segments = make(tmp_path, log)

    assert put(segments, b"one")
    assert put(segments, b"two")
    assert {"trace.0.bin.active": b"<onetwo"} == files(tmp_path)
    assert tmp_path / "trace.0.bin" == segments.seal()
    assert put(segments, b"three")
    assert {"trace.0.bin": b"<onetwo>", "trace.1.bin.active": b"<three"} == files(tmp_path)
    assert ["trace.0.bin"] == log.sealed
    assert 0o600 == (tmp_path / "trace.0.bin").stat().st_mode & 0o777


def test_nothing_is_begun_before_there_is_something(tmp_path: Path, log: Log) -> None:
    """Without a batch there is no file, and nothing to seal."""
    segments = make(tmp_path, log)

    assert segments.seal() is None
    assert not segments.is_due
    assert ({}, []) == (files(tmp_path), log.heads)


def test_an_empty_segment_is_removed(tmp_path: Path, log: Log) -> None:
    """One that has a head only is not sealed."""
    segments = make(tmp_path, log)

    def fails() -> bytes:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        segments.append(fails)
    assert {"trace.0.bin.active": b"<"} == files(tmp_path)
    assert segments.seal() is None
    assert ({}, []) == (files(tmp_path), log.sealed)
    assert 0 == segments.statistics.segments_sealed


def test_numbers_go_on_where_they_ended(tmp_path: Path, log: Log) -> None:
    """Whatever is left of a segment holds its number."""
    for name in ("trace.4.bin.gz", "trace.9.bin.active", "trace.12.bin.gz.x", "names"):
        (tmp_path / name).write_bytes(b"")

    assert 10 == make(tmp_path, log).index


def test_time_makes_a_segment_due(tmp_path: Path, log: Log, time: FakeClock) -> None:
    """The age counts from when the segment was begun."""
    segments = make(tmp_path, log)
    time.advance(1_000)
    put(segments, b"a")
    time.advance(59)

    assert not segments.is_due
    time.advance(1)
    assert segments.is_due
    segments.seal()
    assert not segments.is_due


def test_size_seals_at_once_and_says_so(tmp_path: Path, log: Log) -> None:
    """Rings were not emptied, so neither this segment nor the next one claims a clean border."""
    segments = make(tmp_path, log)
    put(segments, b"a" * 60 * KIB)
    put(segments, b"b" * 60 * KIB)
    put(segments, b"c")
    segments.seal(clean=True)
    put(segments, b"d")

    assert [True, False, True] == log.heads
    assert [False, True] == log.tails
    assert [60 * KIB + 2, 60 * KIB + 3] == [
        len(data) for name, data in files(tmp_path).items() if name.endswith(".bin")
    ]


def test_a_full_file_is_sealed_with_the_batch_that_fills_it(tmp_path: Path, log: Log) -> None:
    """No segment outgrows its size by another batch."""
    segments = make(tmp_path, log)
    put(segments, b"a" * 100 * KIB)

    assert ["trace.0.bin"] == log.sealed


def test_a_batch_is_made_for_the_segment_it_goes_into(tmp_path: Path, log: Log) -> None:
    """It is asked for after the head is written; again, when it comes into another segment."""
    segments = make(tmp_path, log)
    put(segments, b"a" * 60 * KIB)
    seen: list[int] = []

    def batch() -> bytes:
        seen.append(len(log.heads))
        return b"b" * 60 * KIB

    assert segments.append(batch)
    assert [1, 2] == seen


@pytest.mark.parametrize("most", [1, 7, 1000])
def test_a_batch_is_written_whole_in_short_writes(
    most: int, tmp_path: Path, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The system may take less than it is given."""
    stock = os.write
    monkeypatch.setattr(os, "write", lambda file, data: stock(file, data[:most]))
    segments = make(tmp_path, log)

    assert put(segments, bytes(range(200)))
    segments.seal()
    assert {"trace.0.bin": b"<" + bytes(range(200)) + b">"} == files(tmp_path)


def failing(calls: list[int | OSError]) -> Callable[[int, bytes], int]:
    """Return a `write` whose calls take so many bytes or raise; then as it is."""
    stock = os.write

    def write(file: int, data: bytes) -> int:
        what = calls.pop(0) if calls else len(data)
        if isinstance(what, OSError):
            raise what
        return stock(file, data[:what])

    return write


def test_a_batch_that_fails_halfway_is_not_there(
    tmp_path: Path, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A batch is on file whole or not at all; a failed write ends the segment.

    (recorder.md row 2)
    """
    segments = make(tmp_path, log)
    put(segments, b"first")
    monkeypatch.setattr(os, "write", failing([3, OSError(errno.EIO, "broken")]))

    assert not put(segments, b"second")
    assert {"trace.0.bin": b"<first>"} == files(tmp_path)
    assert put(segments, b"third")
    assert b"<third" == files(tmp_path)["trace.1.bin.active"]
    assert [True, False] == log.heads
    statistics = segments.statistics
    assert (2, 1, 1) == (
        statistics.batches_written,
        statistics.batches_lost,
        statistics.io_errors,
    )


def test_a_torn_batch_that_cannot_be_taken_back_is_the_last_of_its_file(
    tmp_path: Path, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is written behind it, so everything before it reads."""
    segments = make(tmp_path, log)
    put(segments, b"first")

    def broken(file: int, size: int) -> None:
        raise OSError(errno.EIO, "broken")

    monkeypatch.setattr(os, "write", failing([3, OSError(errno.EIO, "broken")]))
    monkeypatch.setattr(os, "ftruncate", broken)
    put(segments, b"second")
    put(segments, b"third")

    found = files(tmp_path)
    assert {"trace.0.bin.active": b"<firstsec", "trace.1.bin.active": b"<third"} == found
    assert 1 == segments.statistics.segments_abandoned


def test_a_head_that_cannot_be_written_leaves_no_file(
    tmp_path: Path, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A half-begun segment is removed: no batch comes behind half a head (recorder.md row 2)."""
    segments = make(tmp_path, log)
    monkeypatch.setattr(os, "write", failing([OSError(errno.EIO, "broken")]))

    assert not put(segments, b"first")
    assert {} == files(tmp_path)
    assert put(segments, b"second")
    assert {"trace.1.bin.active": b"<second"} == files(tmp_path)


def test_a_deleted_active_file_is_abandoned(tmp_path: Path, log: Log) -> None:
    """Deleted under us: a new segment is begun (recorder.md row 3)."""
    segments = make(tmp_path, log)
    put(segments, b"first")
    (tmp_path / "trace.0.bin.active").unlink()

    assert put(segments, b"second")
    assert {"trace.1.bin.active": b"<second"} == files(tmp_path)
    assert [True, False] == log.heads
    assert 1 == segments.statistics.segments_abandoned


def test_a_deleted_directory_is_made_again(tmp_path: Path, log: Log) -> None:
    """The parent directory is made once for a segment (recorder.md row 3)."""
    directory = tmp_path / "home"
    directory.mkdir()
    segments = make(directory, log)
    put(segments, b"first")
    shutil.rmtree(directory)

    assert put(segments, b"second")
    assert {"trace.1.bin.active": b"<second"} == files(directory)
    assert 0o700 == directory.stat().st_mode & 0o777


def test_a_directory_that_cannot_be_made_costs_the_batch(tmp_path: Path, log: Log) -> None:
    """After one attempt it is an error like any other, and the next batch tries again."""
    directory = tmp_path / "home"
    segments = make(directory, log)
    directory.write_bytes(b"a file is in the way")

    assert not put(segments, b"first")
    directory.unlink()
    assert put(segments, b"second")
    assert 1 == segments.statistics.io_errors


def test_a_file_that_was_moved_away_is_abandoned_when_it_is_sealed(
    tmp_path: Path, log: Log
) -> None:
    """The rename says `not found`: the segment is abandoned, recording goes on.

    (recorder.md row 4)
    """
    segments = make(tmp_path, log)
    put(segments, b"first")
    (tmp_path / "trace.0.bin.active").rename(tmp_path / "elsewhere")

    assert segments.seal() is None
    assert put(segments, b"second")
    assert {"elsewhere": b"<first>", "trace.1.bin.active": b"<second"} == files(tmp_path)
    assert ([True, False], []) == (log.heads, log.sealed)
    assert (1, 0) == (
        segments.statistics.segments_abandoned,
        segments.statistics.segments_sealed,
    )


def test_a_tail_that_cannot_be_written_is_left_out(
    tmp_path: Path, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last metadata fail: counted, the segment is sealed without them (recorder.md row 24)."""
    segments = make(tmp_path, log)
    put(segments, b"first")
    monkeypatch.setattr(os, "write", failing([OSError(errno.EIO, "broken")]))

    assert tmp_path / "trace.0.bin" == segments.seal()
    assert {"trace.0.bin": b"<first"} == files(tmp_path)
    assert 1 == segments.statistics.io_errors


def test_a_segment_that_cannot_be_renamed_stays_and_reads(
    tmp_path: Path, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The final sealing fails: counted, and the file keeps its name (recorder.md row 24)."""
    segments = make(tmp_path, log)
    put(segments, b"first")

    def refused(self: Path, target: Path) -> None:
        raise PermissionError(errno.EACCES, "no")

    monkeypatch.setattr(Path, "rename", refused)

    assert segments.seal() is None
    assert {"trace.0.bin.active": b"<first>"} == files(tmp_path)
    assert (1, 1) == (segments.statistics.io_errors, segments.statistics.segments_abandoned)


def test_a_child_leaves_the_file_as_it_is(tmp_path: Path, log: Log) -> None:
    """Forgetting writes nothing and renames nothing."""
    segments = make(tmp_path, log)
    put(segments, b"first")
    segments.forget()

    assert {"trace.0.bin.active": b"<first"} == files(tmp_path)
    assert segments.seal() is None
