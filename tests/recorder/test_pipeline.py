"""What happens to sealed segments."""

from __future__ import annotations

import errno
import gzip
import logging
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.recorder.reading import names_in

from tachograph.recorder import pipeline as module
from tachograph.recorder.home import is_artefact
from tachograph.recorder.pipeline import Pipeline, compress, new_ulid


def segment(directory: Path, number: int = 0, data: bytes = b"abc" * 1000) -> Path:
    """A sealed segment."""
    path = directory / f"trace.{number}.bin"
    path.write_bytes(data)
    return path


class Gate:
    """Stands in for `compress`; lets nothing through until it is opened."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.opened = threading.Event()

    def __call__(self, sealed: Path) -> tuple[int, int]:
        self.entered.set()
        self.opened.wait(30)
        return compress(sealed)


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    """A gate that is open after the test at the latest."""
    gate = Gate()
    monkeypatch.setattr(module, "compress", gate)
    yield gate
    gate.opened.set()


def test_gzip_replaces_the_raw_file(tmp_path: Path) -> None:
    """The compressed file stands in its place, whole, for the user alone."""
    data = os.urandom(700_000)
    sizes = compress(segment(tmp_path, data=data))
    packed = tmp_path / "trace.0.bin.gz"

    assert ["trace.0.bin.gz"] == names_in(tmp_path)
    assert data == gzip.decompress(packed.read_bytes())
    assert (700_000, packed.stat().st_size) == sizes
    assert 0o600 == packed.stat().st_mode & 0o777


def test_a_partial_file_has_a_name_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until it is whole it is a known artefact and no segment."""
    seen: list[str] = []
    stock = Path.rename

    def watched(self: Path, target: Path) -> Path:
        seen.extend(names_in(tmp_path))
        return stock(self, target)

    monkeypatch.setattr(Path, "rename", watched)
    compress(segment(tmp_path))

    raw, partial = seen
    assert "trace.0.bin" == raw
    assert partial.startswith("trace.0.bin.gz.")
    assert partial.endswith(".partial")
    assert is_artefact(partial)


@pytest.mark.parametrize("call", ["rename", "open", "unlink"])
def test_a_failure_leaves_the_raw_file_alone(
    call: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The raw segment reads as well, and there is one of the two: nothing is read twice."""
    sealed = segment(tmp_path)
    stock = getattr(Path, call)

    def fails(self: Path, *args: Any, **named: Any) -> Any:
        if call != "unlink" or self == sealed:
            raise OSError(errno.EIO, "broken")
        return stock(self, *args, **named)

    monkeypatch.setattr(Path, call, fails)
    with pytest.raises(OSError, match="broken"):
        compress(sealed)
    monkeypatch.undo()

    assert ["trace.0.bin"] == names_in(tmp_path)


def test_an_evicted_segment_does_not_come_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that was evicted while it was compressed is gone."""
    sealed = segment(tmp_path)
    opened = Path.open

    def open_then_evict(self: Path, mode: str = "r") -> Any:
        file = opened(self, mode)
        if mode == "rb":
            sealed.unlink()
        return file

    monkeypatch.setattr(Path, "open", open_then_evict)
    with pytest.raises(FileNotFoundError):
        compress(sealed)
    assert [] == names_in(tmp_path)


def test_compresses_in_the_background(tmp_path: Path) -> None:
    """Segments are processed in their order, and counted; the end waits for them."""
    pipeline = Pipeline()
    for number in range(3):
        pipeline.put(segment(tmp_path, number))

    assert pipeline.close(30)
    assert [f"trace.{n}.bin.gz" for n in range(3)] == names_in(tmp_path)
    statistics = pipeline.statistics
    assert (3, 9000, 0) == (statistics.processed, statistics.uncompressed_bytes, statistics.left)
    assert 0 < statistics.compressed_bytes < 9000


def test_a_segment_that_vanished_is_no_error(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Evicted before its turn: skipped, counted, not said (recorder.md row 17)."""
    pipeline = Pipeline()
    pipeline.put(tmp_path / "trace.0.bin")
    pipeline.put(segment(tmp_path, 1))

    assert pipeline.close(30)
    assert (1, 1, 0) == (
        pipeline.statistics.vanished,
        pipeline.statistics.processed,
        pipeline.statistics.failed,
    )
    assert [] == caplog.records


def test_a_stage_that_raises_keeps_the_raw_segment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever it raises: counted, said once, and the next segment is processed.

    (recorder.md row 13)
    """

    def sometimes(sealed: Path) -> tuple[int, int]:
        if sealed.name in ("trace.0.bin", "trace.1.bin"):
            raise ZeroDivisionError(sealed.name)
        return compress(sealed)

    monkeypatch.setattr(module, "compress", sometimes)
    pipeline = Pipeline()
    for number in range(3):
        pipeline.put(segment(tmp_path, number))

    assert pipeline.close(30)
    assert ["trace.0.bin", "trace.1.bin", "trace.2.bin.gz"] == names_in(tmp_path)
    assert (2, 1) == (pipeline.statistics.failed, pipeline.statistics.processed)
    assert 1 == len(caplog.records)


def test_the_end_does_not_wait_for_ever(
    tmp_path: Path, gate: Gate, caplog: pytest.LogCaptureFixture
) -> None:
    """Slower than the deadline: a warning, files stay on disk, counted (recorder.md row 25)."""
    pipeline = Pipeline()
    for number in range(3):
        pipeline.put(segment(tmp_path, number))
    assert gate.entered.wait(30)

    assert not pipeline.close(0)
    assert [f"trace.{n}.bin" for n in range(3)] == names_in(tmp_path)
    assert 3 == pipeline.statistics.left
    (record,) = caplog.records
    assert (logging.WARNING, True) == (record.levelno, "3 segments" in record.getMessage())


def test_it_has_one_thread_from_the_start_to_the_end(tmp_path: Path) -> None:
    """Segments add none to it."""
    before = set(threading.enumerate())
    pipeline = Pipeline()
    pipeline.start()
    (thread,) = own = set(threading.enumerate()) - before
    pipeline.put(segment(tmp_path, 0))
    assert own == set(threading.enumerate()) - before

    assert pipeline.close(30)
    assert not thread.is_alive()
    assert ["trace.0.bin.gz"] == names_in(tmp_path)


def test_a_thread_that_cannot_start_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Where the system has no more threads, segments wait, raw."""
    pipeline = Pipeline()

    def refused(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refused)
        pipeline.put(segment(tmp_path, 0))
        assert pipeline.close(0)
    assert 1 == pipeline.statistics.left
    assert 1 == len(caplog.records)

    pipeline.put(segment(tmp_path, 1))
    assert pipeline.close(30)
    assert ["trace.0.bin.gz", "trace.1.bin.gz"] == names_in(tmp_path)


def test_ulids_sort_by_time() -> None:
    """26 letters of Crockford's alphabet, all different."""
    ids = [new_ulid() for _ in range(100)]

    assert 100 == len(set(ids))
    assert {26} == {len(each) for each in ids}
    assert set().union(*ids) <= set("0123456789ABCDEFGHJKMNPQRSTVWXYZ")
    assert ids[0][:8] <= ids[-1][:8]
