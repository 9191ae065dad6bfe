"""What the recorder tells of itself, for whoever asks: one typed record for each piece of its work.

Records are made where the work is done and wait for the drain's thread, which gives them to the
callback: so that is called on one thread, holds no lock of the recorder, and may ask it anything.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from tachograph._base.ratelimit import RateLimit

__all__ = [
    "DrainMetrics",
    "FlushMetrics",
    "SegmentMetrics",
    "SelfMetrics",
    "Teller",
    "WorkerMetrics",
]

_MOST = 1_024
_logger = logging.getLogger("tachograph")


@dataclass(frozen=True, slots=True)
class DrainMetrics:
    """The rings were emptied: once a second, at each rotation and at the end.

    Attributes:
        duration_ns: How long that took, with what was written.
        lanes: Loops' threads whose rings were looked at.
        lanes_ended: Those that were given back, because their thread had ended.
        events: Events that were read from rings.
        events_dropped: Events that found no room in a ring since the time before.
        last: Whether it was the last time, at the recorder's end.
    """

    duration_ns: int
    lanes: int
    lanes_ended: int
    events: int
    events_dropped: int
    last: bool


@dataclass(frozen=True, slots=True)
class FlushMetrics:
    """Batches were written, or should have been.

    Attributes:
        duration_ns: How long the turn took that wrote them.
        events: Events of rings that are on file now.
        own_events: Events and spans of the program's own that are.
        events_lost: Events of both kinds that could not be written.
        batches: Batches that were written.
        bytes: Their size.
        batches_lost: Batches that could not be written.
        io_errors: Failed calls of the system.
        disk_full_encountered: How often there was no room on the disk.
        write_stopped_no_space: Whether nothing is written at present for that reason.
        last: Whether it was the last turn, at the recorder's end.
    """

    duration_ns: int
    events: int
    own_events: int
    events_lost: int
    batches: int
    bytes: int
    batches_lost: int
    io_errors: int
    disk_full_encountered: int
    write_stopped_no_space: bool
    last: bool


@dataclass(frozen=True, slots=True)
class SegmentMetrics:
    """A sealed segment was processed.

    Attributes:
        segment_index: Its number.
        duration_ns: How long it took.
        success: Whether it is compressed now; else it stays as it was.
        vanished: Whether it was evicted meanwhile, which is no failure.
        uncompressed_bytes: Its size before; None if it was not processed.
        compressed_bytes: Its size after; None likewise.
        error: What went wrong, None if nothing did.
    """

    segment_index: int
    duration_ns: int
    success: bool
    vanished: bool
    uncompressed_bytes: int | None
    compressed_bytes: int | None
    error: str | None


@dataclass(frozen=True, slots=True)
class WorkerMetrics:
    """How the segments stood after a drain; many waiting and none dispatched is a stuck pipeline.

    Attributes:
        waiting_segments: Sealed segments that wait to be processed, the one at work among them.
        dispatched_segments: Those that were done with since the time before.
        segments_evicted: Segments that went for the budget since the time before.
        bytes_evicted: Their size.
        retained_segments: Segments there are, without the active one.
        retained_bytes: Their size.
        budget_bytes: The size that all may have.
    """

    waiting_segments: int
    dispatched_segments: int
    segments_evicted: int
    bytes_evicted: int
    retained_segments: int
    retained_bytes: int
    budget_bytes: int


SelfMetrics = DrainMetrics | FlushMetrics | SegmentMetrics | WorkerMetrics
"""A record of the recorder's own work."""


class Teller:
    """Keeps records until they are told, at most 1,024; any thread puts, one tells.

    Args:
        callback: Is told each; what it raises is counted and said once a minute.
    """

    def __init__(self, callback: Callable[[SelfMetrics], None] | None) -> None:
        self.dropped = 0
        """Records that found no room, or that nobody took."""
        self.failures = 0
        """Errors of the callback."""
        self._callback = callback
        self._waiting: deque[SelfMetrics] = deque()
        self._says = RateLimit(60)

    @property
    def is_wanted(self) -> bool:
        """Whether there is anybody to tell: else no record needs to be made."""
        return self._callback is not None

    def put(self, record: SelfMetrics) -> None:
        """Take a record."""
        if self._callback is None:
            return
        if len(self._waiting) >= _MOST:
            self.dropped += 1
        else:
            self._waiting.append(record)

    def tell(self) -> None:
        """Give the callback what waits. Never raises."""
        if self._callback is None:
            return
        for _ in range(len(self._waiting)):
            try:
                self._callback(self._waiting.popleft())
            except Exception as error:  # noqa: BLE001 -- the recorder outlives its user's code
                self.failures += 1
                if self._says.allow():
                    _logger.warning("The recorder's `on_metrics` raised: %r", error)
