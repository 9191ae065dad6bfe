"""What became of the lines given to a sink."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["SinkStatistics"]


@dataclass(frozen=True, slots=True)
class SinkStatistics:
    """Counts of one sink since it was made, or since the process was forked.

    At rest `accepted == written + dropped + queued`, always.

    Attributes:
        accepted: Lines given to `write`.
        written: Lines that the target took whole.
        dropped: Lines lost for any reason: `queue_dropped + lost_to_io + late`.
        queue_dropped: Lost because the queue was full; the oldest go first.
        lost_to_io: Lost because the target failed for good or the close deadline passed.
        late: Given after the close.
        io_errors: Failed attempts to write or flush.
        queued: Lines waiting, those in the block that is being written included.
        queued_bytes: Their size.
        bytes_written: Bytes of the lines written.
    """

    accepted: int = 0
    written: int = 0
    dropped: int = 0
    queue_dropped: int = 0
    lost_to_io: int = 0
    late: int = 0
    io_errors: int = 0
    queued: int = 0
    queued_bytes: int = 0
    bytes_written: int = 0
