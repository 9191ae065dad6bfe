"""What a turn of the drain did, as the difference of the counts before and after it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import astuple, dataclass

from tachograph._base.clock import clock
from tachograph.recorder.segments import Segments
from tachograph.recorder.self_metrics import DrainMetrics, FlushMetrics, Teller, WorkerMetrics

__all__ = ["Counts", "Measure"]


@dataclass(slots=True)
class Counts:
    """The drain's counts that a turn changes.

    Attributes:
        events: Events of rings that are on file.
        own_events: Events of the program's own that are.
        events_lost: Events of rings that could not be written.
        own_events_lost: Events of the program's own that could not.
        events_dropped: Events that found no room in a ring.
        lanes_ended: Lanes that were given back.
    """

    events: int = 0
    own_events: int = 0
    events_lost: int = 0
    own_events_lost: int = 0
    events_dropped: int = 0
    lanes_ended: int = 0


class Measure:
    """Makes the records of turns; used by one turn at a time.

    Args:
        segments: Where the turns write.
        teller: Is told the records.
        processed: Returns how many sealed segments the pipeline is done with.
    """

    def __init__(
        self, segments: Segments, teller: Teller, processed: Callable[[], int] = int
    ) -> None:
        self._segments = segments
        self._teller = teller
        self._processed = processed
        self._counts = Counts()
        self._of_segments = self._now()
        self._evicted = self._evicted_bytes = self._dispatched = 0
        self._began_ns = 0

    def _now(self) -> tuple[int, int, int, int, int]:
        counts = self._segments.statistics
        return (
            *(counts.batches_written, counts.bytes_written, counts.batches_lost),
            *(counts.io_errors, counts.disk_full_encountered),
        )

    @property
    def is_wanted(self) -> bool:
        """Whether anybody is told."""
        return self._teller.is_wanted

    def begin(self) -> None:
        """Take note that a turn begins."""
        self._began_ns = clock.monotonic_ns()

    def end(self, counts: Counts, *, lanes: int, emptied: bool, last: bool) -> None:
        """Tell what the turn did, if that is anything.

        Args:
            counts: As they are now.
            lanes: Rings that were looked at.
            emptied: Whether all were emptied.
            last: Whether it was the last turn.
        """
        took_ns = clock.monotonic_ns() - self._began_ns
        more = Counts(*(a - b for a, b in zip(astuple(counts), astuple(self._counts), strict=True)))
        now = self._now()
        batches, size, batches_lost, errors, full = (
            a - b for a, b in zip(now, self._of_segments, strict=True)
        )
        self._of_segments = now
        if batches or batches_lost or errors or last:
            stopped = self._segments.statistics.write_stopped_no_space
            self._teller.put(
                FlushMetrics(
                    duration_ns=took_ns,
                    events=more.events,
                    own_events=more.own_events,
                    events_lost=more.events_lost + more.own_events_lost,
                    batches=batches,
                    bytes=size,
                    batches_lost=batches_lost,
                    io_errors=errors,
                    disk_full_encountered=full,
                    write_stopped_no_space=stopped,
                    last=last,
                )
            )
        if not emptied:
            # What only an emptying tells counts from the one before.
            counts.events_dropped = self._counts.events_dropped
            counts.lanes_ended = self._counts.lanes_ended
            self._counts = counts
            return
        self._counts = counts
        self._teller.put(
            DrainMetrics(
                duration_ns=took_ns,
                lanes=lanes,
                lanes_ended=more.lanes_ended,
                events=more.events + more.events_lost,
                events_dropped=more.events_dropped,
                last=last,
            )
        )
        self._tell_of_segments()

    def tell(self) -> None:
        """Tell what waits; on the drain's thread, without its lock. Never raises."""
        self._teller.tell()

    def _tell_of_segments(self) -> None:
        counts, done = self._segments.statistics, self._processed()
        segments, size = self._segments.retained
        self._teller.put(
            WorkerMetrics(
                waiting_segments=counts.segments_sealed - done,
                dispatched_segments=done - self._dispatched,
                segments_evicted=counts.segments_evicted - self._evicted,
                bytes_evicted=counts.bytes_evicted - self._evicted_bytes,
                retained_segments=segments,
                retained_bytes=size,
                budget_bytes=self._segments.max_total_bytes,
            )
        )
        self._evicted, self._evicted_bytes = counts.segments_evicted, counts.bytes_evicted
        self._dispatched = done
