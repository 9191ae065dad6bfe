"""What the flight recorder tells of its own work, as records beside the service's.

The recorder tells about four things a second; here they are summed up, so that a service has one
record of each kind a minute. They are emitted on the recorder's thread, which holds no lock then.
Nothing of this puts an event into the trace, so the recorder does not tell of its telling.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tachograph._base.clock import clock
from tachograph._base.forks import ForkLock, tell_in_children
from tachograph.metrics.fields import metric
from tachograph.metrics.own_records import emit_kept, restyled
from tachograph.metrics.record import WideEvent
from tachograph.metrics.units import Unit
from tachograph.recorder.self_metrics import (
    DrainMetrics,
    FlushMetrics,
    SegmentMetrics,
    SelfMetrics,
    WorkerMetrics,
)

__all__ = [
    "RecorderDrainMetrics",
    "RecorderFlushMetrics",
    "RecorderRecords",
    "RecorderSegmentMetrics",
    "RecorderWorkerMetrics",
]


class RecorderDrainMetrics(WideEvent):
    """How the recorder emptied its rings."""

    elapsed_ms: float = metric(0.0, unit=Unit.MILLISECONDS, doc="What is counted was in this time.")
    drains: int = metric(0, unit=Unit.COUNT)
    duration_ms: float = metric(0.0, unit=Unit.MILLISECONDS, doc="All of them, with the writing.")
    duration_max_ms: float = metric(0.0, unit=Unit.MILLISECONDS, doc="The longest one.")
    lanes: int = metric(0, unit=Unit.COUNT, doc="Threads whose rings were emptied, the last time.")
    lanes_ended: int = metric(0, unit=Unit.COUNT)
    events: int = metric(0, unit=Unit.COUNT)
    events_dropped: int = metric(0, unit=Unit.COUNT, doc="Those that found no room in a ring.")
    last: bool = metric(default=False, doc="Whether the recorder has ended.")


class RecorderFlushMetrics(WideEvent):
    """What the recorder wrote into its segments."""

    elapsed_ms: float = metric(0.0, unit=Unit.MILLISECONDS, doc="What is counted was in this time.")
    flushes: int = metric(0, unit=Unit.COUNT)
    duration_ms: float = metric(0.0, unit=Unit.MILLISECONDS, doc="All turns that wrote something.")
    duration_max_ms: float = metric(0.0, unit=Unit.MILLISECONDS, doc="The longest one.")
    events: int = metric(0, unit=Unit.COUNT, doc="Of rings, that are on file.")
    own_events: int = metric(0, unit=Unit.COUNT, doc="Of the program and of sources, on file.")
    events_lost: int = metric(0, unit=Unit.COUNT, doc="Of both kinds, that could not be written.")
    batches: int = metric(0, unit=Unit.COUNT)
    bytes: int = metric(0, unit=Unit.BYTES, doc="Of the batches.")
    batches_lost: int = metric(0, unit=Unit.COUNT)
    io_errors: int = metric(0, unit=Unit.COUNT, doc="Failed calls of the system.")
    disk_full_encountered: int = metric(0, unit=Unit.COUNT)
    write_stopped_no_space: bool = metric(default=False, doc="At the end of this time.")
    last: bool = metric(default=False, doc="Whether the recorder has ended.")


class RecorderSegmentMetrics(WideEvent):
    """What became of the segments that the recorder sealed."""

    elapsed_ms: float = metric(0.0, unit=Unit.MILLISECONDS, doc="What is counted was in this time.")
    segments: int = metric(0, unit=Unit.COUNT, doc="That were processed, or should have been.")
    segments_failed: int = metric(0, unit=Unit.COUNT, doc="That stayed as they were.")
    segments_vanished: int = metric(0, unit=Unit.COUNT, doc="That were evicted before.")
    segment_index: int = metric(0, as_property=True, doc="The number of the last one.")
    duration_ms: float = metric(0.0, unit=Unit.MILLISECONDS, doc="All of them together.")
    duration_max_ms: float = metric(0.0, unit=Unit.MILLISECONDS, doc="The longest one.")
    uncompressed_bytes: int | None = metric(None, unit=Unit.BYTES)
    compressed_bytes: int | None = metric(None, unit=Unit.BYTES)
    error: str | None = metric(None, doc="What went wrong the last time.")


class RecorderWorkerMetrics(WideEvent):
    """How the segments stand; many that wait and none dispatched is a stuck pipeline."""

    elapsed_ms: float = metric(0.0, unit=Unit.MILLISECONDS, doc="What is counted was in this time.")
    waiting_segments: int = metric(0, unit=Unit.COUNT, doc="The one at work among them.")
    waiting_segments_max: int = metric(0, unit=Unit.COUNT)
    dispatched_segments: int = metric(0, unit=Unit.COUNT)
    segments_evicted: int = metric(0, unit=Unit.COUNT)
    bytes_evicted: int = metric(0, unit=Unit.BYTES)
    retained_segments: int = metric(0, unit=Unit.COUNT, doc="Without the active one.")
    retained_bytes: int = metric(0, unit=Unit.BYTES)
    budget_bytes: int = metric(0, unit=Unit.BYTES, doc="That all segments may have.")


class _Summed:
    """Pieces of work of one kind, as one."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}

    def add(self, **more: float | None) -> None:
        """Sum up; None is nothing to add."""
        for name, value in more.items():
            if value is not None:
                self.values[name] = self.values.get(name, 0) + value

    def most(self, **found: float) -> None:
        """Keep the largest."""
        for name, value in found.items():
            self.values[name] = max(self.values.get(name, value), value)

    def last(self, **found: int | str | None) -> None:
        """Keep the latest that is known."""
        self.values.update({name: value for name, value in found.items() if value is not None})

    def took(self, ns: int) -> None:
        """Take note of a duration."""
        self.add(duration_ms=ns / 1e6)
        self.most(duration_max_ms=ns / 1e6)


def _drain(sums: _Summed, one: DrainMetrics) -> None:
    sums.took(one.duration_ns)
    sums.add(drains=1, lanes_ended=one.lanes_ended, events=one.events)
    sums.add(events_dropped=one.events_dropped)
    sums.last(lanes=one.lanes, last=one.last)


def _flush(sums: _Summed, one: FlushMetrics) -> None:
    sums.took(one.duration_ns)
    sums.add(flushes=1, events=one.events, own_events=one.own_events, events_lost=one.events_lost)
    sums.add(batches=one.batches, bytes=one.bytes, batches_lost=one.batches_lost)
    sums.add(io_errors=one.io_errors, disk_full_encountered=one.disk_full_encountered)
    sums.last(write_stopped_no_space=one.write_stopped_no_space, last=one.last)


def _segment(sums: _Summed, one: SegmentMetrics) -> None:
    sums.took(one.duration_ns)
    failed = not one.success and not one.vanished
    sums.add(segments=1, segments_failed=failed, segments_vanished=one.vanished)
    sums.add(uncompressed_bytes=one.uncompressed_bytes, compressed_bytes=one.compressed_bytes)
    sums.last(segment_index=one.segment_index, error=one.error)


def _worker(sums: _Summed, one: WorkerMetrics) -> None:
    sums.add(dispatched_segments=one.dispatched_segments)
    sums.add(segments_evicted=one.segments_evicted, bytes_evicted=one.bytes_evicted)
    sums.most(waiting_segments_max=one.waiting_segments)
    sums.last(waiting_segments=one.waiting_segments, retained_segments=one.retained_segments)
    sums.last(retained_bytes=one.retained_bytes, budget_bytes=one.budget_bytes)


_KINDS: dict[type[SelfMetrics], tuple[type[WideEvent], Callable[[_Summed, Any], None]]] = {
    DrainMetrics: (RecorderDrainMetrics, _drain),
    FlushMetrics: (RecorderFlushMetrics, _flush),
    SegmentMetrics: (RecorderSegmentMetrics, _segment),
    WorkerMetrics: (RecorderWorkerMetrics, _worker),
}


class RecorderRecords:
    """Takes what the recorder tells, as its `on_metrics`; emits the sums.

    Args:
        interval: Seconds between two records of a kind.
        rename: The style of their names.
    """

    def __init__(self, interval: float, rename: str) -> None:
        self._interval_ns = round(interval * 1e9)
        self._classes = {kind: restyled(cls, rename) for kind, (cls, _) in _KINDS.items()}
        self._lock = ForkLock()
        self._closed = False
        self._begin()
        tell_in_children(self)

    def _begin(self) -> None:
        self._sums: dict[type[SelfMetrics], _Summed] = {}
        self._began_ns = clock.monotonic_ns()

    def forget_parent(self) -> None:
        """In a forked child: what is summed up here the parent emits."""
        self._begin()

    def __call__(self, one: SelfMetrics) -> None:
        """Add a piece of work; emit the sums when it is time."""
        with self._lock:
            if self._closed:
                return
            _, add = _KINDS[type(one)]
            add(self._sums.setdefault(type(one), _Summed()), one)
            if clock.monotonic_ns() - self._began_ns >= self._interval_ns:
                self._emit()

    def close(self) -> None:
        """Emit what is left. Once; then a no-op."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self._emit()

    def _emit(self) -> None:
        now = clock.monotonic_ns()
        elapsed_ms = (now - self._began_ns) / 1e6
        sums, self._sums, self._began_ns = self._sums, {}, now
        for kind, cls in self._classes.items():
            if kind in sums:
                emit_kept(cls, {"elapsed_ms": elapsed_ms, **sums[kind].values})
