"""What the recorder tells of its own work."""

from __future__ import annotations

import asyncio
import logging
import threading
from pathlib import Path
from typing import Any, TypeVar

import pytest
from tests.recorder.reading import segments
from tests.recorder.test_recording import busy

from tachograph import recorder
from tachograph.recorder import (
    DrainMetrics,
    FlushMetrics,
    RecorderConfig,
    SegmentMetrics,
    SelfMetrics,
    WorkerMetrics,
)
from tachograph.recorder.self_metrics import Teller

_T = TypeVar("_T")
KIB = 1024


class Heard:
    """What was told, and on which threads."""

    def __init__(self) -> None:
        self.records: list[SelfMetrics] = []
        self.threads: set[str] = set()

    def __call__(self, record: SelfMetrics) -> None:
        self.records.append(record)
        self.threads.add(threading.current_thread().name)

    def of(self, kind: type[_T]) -> list[_T]:
        return [record for record in self.records if isinstance(record, kind)]


def run(directory: Path, heard: Any, **settings: Any) -> tuple[dict[str, Any], Path]:
    """Record a program in two segments; return the counts at the end, and the directory."""
    settings = {"sources": recorder.SourcesConfig.none(), **settings}
    config = RecorderConfig(directory=directory, service="tests", **settings)
    it = recorder.start(config, on_metrics=heard)
    home = it.directory
    assert home is not None
    for _ in range(2):
        asyncio.run(busy(400))
        it.dump()
    asyncio.run(busy(40))
    it.close()
    return it.statistics(), home


def test_the_sums_are_the_statistics(tmp_path: Path) -> None:
    """Each event, batch, byte and segment is told in one record."""
    heard = Heard()
    counts, home = run(tmp_path, heard)
    flushes, drains = heard.of(FlushMetrics), heard.of(DrainMetrics)
    done, stands = heard.of(SegmentMetrics), heard.of(WorkerMetrics)

    assert counts["events_written"] == sum(f.events for f in flushes)
    assert counts["own_events_written"] == sum(f.own_events for f in flushes) == 840
    assert counts["batches_written"] == sum(f.batches for f in flushes)
    assert counts["bytes_written"] == sum(f.bytes for f in flushes)
    assert counts["events_recorded"] >= sum(d.events for d in drains) > 500
    assert [0, 1, 2] == [segment.segment_index for segment in done]
    assert all(segment.success and segment.error is None for segment in done)
    sizes = [path.stat().st_size for path in segments(home)]
    assert sizes == [segment.compressed_bytes for segment in done]
    assert counts["uncompressed_bytes"] == sum(s.uncompressed_bytes or 0 for s in done)
    assert len(stands) == len(drains)
    assert {RecorderConfig().max_total_bytes} == {s.budget_bytes for s in stands}
    assert 3 == stands[-1].retained_segments
    assert 0 < min(r.duration_ns for r in [*flushes, *drains, *done])  # type: ignore[attr-defined]


def test_the_last_is_marked(tmp_path: Path) -> None:
    """One flush and one drain, at the end."""
    heard = Heard()
    run(tmp_path, heard)
    flushes = [record.last for record in heard.of(FlushMetrics)]
    drains = [record.last for record in heard.of(DrainMetrics)]
    for found in (flushes, drains):
        assert [*[False] * (len(found) - 1), True] == found
        assert len(found) > 1


def test_they_are_told_on_the_recorders_thread(tmp_path: Path) -> None:
    """Only what is left at the end is told by whoever ends it."""
    heard = Heard()
    run(tmp_path, heard)

    assert {"tachograph-drain", threading.current_thread().name} >= heard.threads
    assert [] == [name for name in heard.threads if "pipeline" in name]


def test_evictions_are_told(tmp_path: Path) -> None:
    """With their bytes, and what is retained is within the budget."""
    heard = Heard()
    config = RecorderConfig(directory=tmp_path, max_total_bytes=128 * KIB, max_file_bytes=32 * KIB)
    it = recorder.start(config, on_metrics=heard)
    for _ in range(10):
        asyncio.run(busy(2_000))
        it.flush()
    it.close()
    counts, stands = it.statistics(), heard.of(WorkerMetrics)

    assert counts["segments_evicted"] == sum(s.segments_evicted for s in stands) > 0
    assert counts["bytes_evicted"] == sum(s.bytes_evicted for s in stands) > 0
    assert max(s.retained_bytes for s in stands) <= 128 * KIB
    assert 0 <= min(s.waiting_segments for s in stands)


def test_a_segment_that_fails_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With what went wrong; one that was evicted is no failure."""
    from tachograph.recorder import pipeline

    answers: list[Exception] = [OSError(5, "on purpose"), FileNotFoundError(2, "evicted")]

    def compress(sealed: Path) -> tuple[int, int]:
        if answers:
            raise answers.pop(0)
        return 7, 5

    monkeypatch.setattr(pipeline, "compress", compress)
    heard = Heard()
    run(tmp_path, heard)
    first, second, third = heard.of(SegmentMetrics)

    assert (False, False, "OSError: [Errno 5] on purpose") == (
        *(first.success, first.vanished, first.error),
    )
    assert (False, True, None) == (second.success, second.vanished, second.error)
    assert (True, 7, 5) == (third.success, third.uncompressed_bytes, third.compressed_bytes)


def test_a_full_disk_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was lost, and that nothing is written at present."""
    import errno
    import os

    def full(file: int, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "full")

    heard = Heard()
    it = recorder.start(RecorderConfig(directory=tmp_path), on_metrics=heard)
    asyncio.run(busy(40))
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        it.flush()
    it.close()
    told = next(f for f in heard.of(FlushMetrics) if f.batches_lost)

    assert 1 == told.disk_full_encountered
    assert told.write_stopped_no_space
    assert told.events_lost > 40


def test_a_callback_that_raises_costs_its_record(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Counted, said once a minute, and the next is told (recorder.md row 27)."""
    told: list[SelfMetrics] = []

    def fails(record: SelfMetrics) -> None:
        told.append(record)
        raise ZeroDivisionError("on purpose")

    counts, home = run(tmp_path, fails)

    assert len(told) == counts["metrics_failures"] > 5
    assert 3 == len(segments(home))
    said = [r for r in caplog.records if r.levelno >= logging.WARNING]
    assert 1 == len(said)
    assert "on purpose" in said[0].getMessage()


def test_a_callback_may_use_the_recorder(tmp_path: Path) -> None:
    """It holds nothing that a dump or the end needs."""
    asked: list[object] = []

    def asks(record: SelfMetrics) -> None:
        if isinstance(record, DrainMetrics) and len(asked) < 3:
            asked.append(recorder.statistics()["enabled"])
            recorder.dump()

    run(tmp_path, asks)

    assert 3 == len(asked)


def test_nobody_asks_nothing_is_made() -> None:
    """By default there is no callback, and no record waits."""
    teller = Teller(None)
    teller.put(DrainMetrics(1, 1, 0, 0, 0, False))
    teller.tell()

    assert not teller.is_wanted
    assert (0, 0) == (teller.dropped, teller.failures)


def test_what_waits_is_bounded() -> None:
    """When nobody takes the records the newest go, counted."""
    heard = Heard()
    teller = Teller(heard)
    for n in range(2_000):
        teller.put(DrainMetrics(n, 1, 0, 0, 0, False))
    teller.tell()

    assert (1_024, 976) == (len(heard.records), teller.dropped)
