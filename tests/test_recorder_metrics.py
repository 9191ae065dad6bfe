"""The recorder's own work as records beside the service's."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import tachograph as tg
from tachograph import recorder
from tachograph.recorder import RecorderConfig, SourcesConfig, control
from tachograph.recorder.self_metrics import (
    DrainMetrics,
    FlushMetrics,
    SegmentMetrics,
    SelfMetrics,
    WorkerMetrics,
)
from tachograph.recorder_metrics import RecorderRecords
from tachograph.testing import CapturedEvent, FakeClock, capture_events

MS = 1_000_000
ALL = {f"Recorder{kind}Metrics" for kind in ("Drain", "Flush", "Segment", "Worker")}


class Job(tg.WideEvent):
    """A job of the service's."""

    number: int = tg.metric(default=0)


@recorder.event
def came(n: int) -> None:
    """Something for the trace."""


@pytest.fixture(autouse=True)
def no_recorder_is_left() -> Iterator[None]:
    """End what a test leaves running."""
    yield
    control.current().close()


def drained(ms: int, events: int, *, last: bool = False) -> DrainMetrics:
    """A look of the recorder."""
    return DrainMetrics(ms * MS, lanes=2, lanes_ended=1, events=events, events_dropped=3, last=last)


def flushed(size: int, *, stopped: bool) -> FlushMetrics:
    """Something written."""
    return FlushMetrics(
        2 * MS, 5, 1, 0, 1, size, 0, 1, 0, write_stopped_no_space=stopped, last=False
    )


def packed(index: int, error: str | None = None, *, vanished: bool = False) -> SegmentMetrics:
    """A segment that was worked on."""
    success = error is None and not vanished
    before, after = (1_000, 100) if success else (None, None)
    return SegmentMetrics(index, MS, success, vanished, before, after, error)


def stands(waiting: int, retained: int) -> WorkerMetrics:
    """How segments stand."""
    return WorkerMetrics(waiting, 1, 2, 2_000, retained, retained * 100, 10_000)


def values(event: CapturedEvent) -> dict[str, Any]:
    """Return the fields that are the record's own."""
    return {name: event[name] for name in event if name not in ("timestamp", "record")}


def lines(directory: Path, name: str | None = None) -> list[dict[str, Any]]:
    """Return the records on file, in order; those of a class if it is named."""
    texts = [path.read_text() for path in sorted(directory.glob("metrics.log*"))]
    found = [json.loads(line) for text in texts for line in text.splitlines()]
    return [line for line in found if name in (None, line["record"])]


def wait_for(guard: tg.TelemetryGuard, directory: Path, name: str, count: int) -> None:
    """Have the recorder work until there are so many records of a class, half a minute at most."""
    until = time.monotonic() + 30
    while len(lines(directory, name)) < count:
        assert time.monotonic() < until
        recorder.dump()
        guard.flush()
        time.sleep(0.05)


def config(tmp_path: Path, **settings: Any) -> tg.TelemetryConfig:
    """Return telemetry into files, with a recorder."""
    settings = {"recorder_metrics": tg.RecorderMetricsConfig(), **settings}
    traces = RecorderConfig(directory=tmp_path / "traces", sources=SourcesConfig.none())
    return tg.TelemetryConfig(
        service="shop", telemetry_dir=tmp_path / "telemetry", recorder=traces, **settings
    )


def test_work_is_summed_up_and_told_once_an_interval() -> None:
    """Counts and durations add up, states are the last ones, what is not known is absent."""
    with FakeClock() as clock, capture_events() as events:
        records = RecorderRecords(60.0, "preserve")
        work: list[SelfMetrics] = [
            *(drained(2, 10), drained(5, 20)),
            *(flushed(100, stopped=True), flushed(200, stopped=False)),
            *(packed(0), packed(1, "OSError: no"), packed(2, vanished=True)),
            *(stands(3, 7), stands(1, 8)),
        ]
        for one in work:
            records(one)
        clock.advance(59.0)
        records(drained(1, 1))
        assert 0 == len(events)
        clock.advance(2.0)
        records(drained(1, 1, last=True))
        assert ALL == {event.record for event in events}
        assert 4 == len(events)
        records.close()
        assert 4 == len(events)

    assert {"elapsed_ms": 61_000, "drains": 4, "duration_ms": 9, "duration_max_ms": 5, "lanes": 2,
            "lanes_ended": 4, "events": 32, "events_dropped": 12,
            "last": True} == values(events.one("RecorderDrainMetrics"))  # fmt: skip
    assert {"elapsed_ms": 61_000, "flushes": 2, "duration_ms": 4, "duration_max_ms": 2,
            "events": 10, "own_events": 2, "events_lost": 0, "batches": 2, "bytes": 300,
            "batches_lost": 0, "io_errors": 2, "disk_full_encountered": 0,
            "write_stopped_no_space": False,
            "last": False} == values(events.one("RecorderFlushMetrics"))  # fmt: skip
    assert {"elapsed_ms": 61_000, "segments": 3, "segments_failed": 1, "segments_vanished": 1,
            "segment_index": "2", "duration_ms": 3, "duration_max_ms": 1,
            "uncompressed_bytes": 1_000, "compressed_bytes": 100,
            "error": "OSError: no"} == values(events.one("RecorderSegmentMetrics"))  # fmt: skip
    assert {"elapsed_ms": 61_000, "waiting_segments": 1, "waiting_segments_max": 3,
            "dispatched_segments": 2, "segments_evicted": 4, "bytes_evicted": 4_000,
            "retained_segments": 8, "retained_bytes": 800,
            "budget_bytes": 10_000} == values(events.one("RecorderWorkerMetrics"))  # fmt: skip


def test_the_end_tells_what_is_left_and_then_nothing() -> None:
    """Each interval begins anew; kinds that had nothing to tell have no record."""
    with FakeClock() as clock, capture_events() as events:
        records = RecorderRecords(60.0, "PascalCase")
        records(packed(0, vanished=True))
        clock.advance(61.0)
        records(drained(1, 1))
        clock.advance(5.0)
        records(drained(1, 2))
        records.close()
        records(drained(1, 4))
        records.close()

    found = [(event.record, event.events) for event in events.all("RecorderDrainMetrics")]
    assert [("RecorderDrainMetrics", 1), ("RecorderDrainMetrics", 2)] == found
    assert 5_000 == events.last["ElapsedMs"]
    segment = events.one("RecorderSegmentMetrics")
    assert "UncompressedBytes" not in segment
    assert "Error" not in segment
    assert 3 == len(events)


def test_a_service_has_them_beside_its_own(tmp_path: Path) -> None:
    """Whatever its sampler: their sums are the recorder's statistics; its own keep their order."""

    async def main() -> None:
        for number in range(50):
            came(number)
            with Job(number=number):
                await asyncio.sleep(0)

    chosen = config(tmp_path, recorder_metrics=tg.RecorderMetricsConfig(interval=0.1))
    with tg.init_telemetry(chosen) as guard:
        for _ in range(3):
            asyncio.run(main())
            recorder.dump()
        wait_for(guard, tmp_path / "telemetry", "RecorderSegmentMetrics", 1)
        came(0)
    told, found = guard.statistics(), lines(tmp_path / "telemetry")
    of = {name: [line for line in found if line["record"] == name] for name in ALL}

    counts = told["recorder"]
    flushes, segments = of["RecorderFlushMetrics"], of["RecorderSegmentMetrics"]
    assert ALL == {line["record"] for line in found} - {"Job"}
    assert counts["events_written"] == sum(line["events"] for line in flushes) > 150
    assert counts["own_events_written"] == sum(line["own_events"] for line in flushes) >= 150
    assert counts["bytes_written"] == sum(line["bytes"] for line in flushes)
    assert counts["processed"] == sum(line["segments"] for line in segments) >= 3
    assert len(flushes) >= 2
    assert (True, True) == (flushes[-1]["last"], of["RecorderDrainMetrics"][-1]["last"])
    assert {"shop"} == {line["service_name"] for line in found}
    assert [*range(50)] * 3 == [line["number"] for line in found if line["record"] == "Job"]
    assert 0 == counts["metrics_failures"] == counts["metrics_dropped"]
    assert told["metrics_sink"]["written"] == len(found)


def test_samplers_do_not_thin_them_out(tmp_path: Path) -> None:
    """A sampling made for requests keeps every record of the recorder."""
    with tg.init_telemetry(config(tmp_path, sampling=tg.Sampling(1e-9))):
        came(1)

    assert ALL == {line["record"] for line in lines(tmp_path / "telemetry")}


def test_it_does_not_tell_of_its_telling(tmp_path: Path) -> None:
    """Records of the recorder put nothing into the trace, so they make no further records."""
    chosen = config(tmp_path, recorder_metrics=tg.RecorderMetricsConfig(interval=0.1))
    with tg.init_telemetry(chosen) as guard:
        wait_for(guard, tmp_path / "telemetry", "RecorderDrainMetrics", 3)

    counts = guard.statistics()["recorder"]
    assert (0, 0) == (counts["own_events_written"], counts["segments_sealed"])
    assert {"RecorderDrainMetrics", "RecorderWorkerMetrics", "RecorderFlushMetrics"} == {
        line["record"] for line in lines(tmp_path / "telemetry")
    }


def test_it_is_off_unless_asked_for(tmp_path: Path) -> None:
    """Nobody is told then, nothing is made, and what would do it is not even loaded."""
    with tg.init_telemetry(config(tmp_path, recorder_metrics=None)):
        came(1)
        assert not control.current()._teller.is_wanted
        recorder.dump()
    assert [] == lines(tmp_path / "telemetry")

    program = """if True:
        import sys, tachograph as tg
        from tachograph.recorder import RecorderConfig
        traces = RecorderConfig(directory=sys.argv[1])
        with tg.init_telemetry(tg.TelemetryConfig(service="x", recorder=traces)):
            sys.exit("tachograph.recorder_metrics" in sys.modules)
    """
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "other")],
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert (0, b"") == (done.returncode, done.stdout)


def test_without_a_recorder_there_is_nothing_to_tell(tmp_path: Path) -> None:
    """The setting alone starts none; one that cannot start has no records."""
    alone = tg.TelemetryConfig(
        service="x",
        telemetry_dir=tmp_path / "telemetry",
        recorder_metrics=tg.RecorderMetricsConfig(),
    )
    with tg.init_telemetry(alone):
        assert not recorder.is_enabled()
    (tmp_path / "traces").write_text("no directory")
    with tg.init_telemetry(config(tmp_path)):
        assert not recorder.is_enabled()

    assert [] == lines(tmp_path / "telemetry")


def test_a_forked_child_tells_nothing_of_its_parents(tmp_path: Path) -> None:
    """What was summed up before the fork is the parent's to emit."""
    records = RecorderRecords(60.0, "preserve")
    records(drained(1, 1))
    child = os.fork()
    if child == 0:
        with capture_events() as events:
            records.close()
        os._exit(len(events))
    assert 0 == os.waitpid(child, 0)[1]
    with capture_events() as events:
        records.close()

    assert ["RecorderDrainMetrics"] == [event.record for event in events]


def test_the_recorders_thread_and_the_end_take_turns() -> None:
    """A recorder that did not end in time tells on: nothing comes twice, nothing afterwards."""
    records = RecorderRecords(1e9, "preserve")
    told = threading.Event()

    def tell() -> None:
        for _ in range(2_000):
            records(drained(1, 1))
            told.set()

    with capture_events() as events:
        thread = threading.Thread(target=tell)
        thread.start()
        told.wait()
        records.close()
        at_the_end = len(events)
        thread.join()

    assert 1 == at_the_end == len(events)
    assert events.last["events"] == events.last["drains"] >= 1


def test_settings_are_checked_and_read() -> None:
    """As those of the event loop's records: off unless asked for, each problem by its name."""
    on = {"RECORDER_METRICS": "on", "RECORDER_METRICS_INTERVAL": "5",
          "RECORDER_METRICS_RENAME": "PascalCase"}  # fmt: skip

    def read(environ: dict[str, str], **settings: Any) -> tg.RecorderMetricsConfig | None:
        found = tg.TelemetryConfig.from_env(service="x", environ=environ, **settings)
        return found.recorder_metrics

    assert read({}) is None
    assert read({**on, "RECORDER_METRICS": "no"}) is None
    assert tg.RecorderMetricsConfig() == read({"RECORDER_METRICS": "1"})
    assert tg.RecorderMetricsConfig(interval=5, rename="PascalCase") == read(on)
    assert read(on, recorder_metrics=None) is None
    for name, value in (("", "perhaps"), ("_INTERVAL", "0"), ("_RENAME", "TitleCase")):
        with pytest.raises(tg.ConfigError, match=f"RECORDER_METRICS{name}: expected"):
            read({f"RECORDER_METRICS{name}": value})
    with pytest.raises(tg.ConfigError) as raised:
        tg.RecorderMetricsConfig(interval=float("nan"), rename="Title Case")
    assert ["interval", "rename"] == [
        line.partition(":")[0] for line in str(raised.value).splitlines()
    ]
