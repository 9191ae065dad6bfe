"""Lines kept in memory, bounded in bytes."""

from __future__ import annotations

from collections import deque

from tachograph._base.forks import ForkLock
from tachograph.sinks.statistics import SinkStatistics

__all__ = ["MemorySink"]


class MemorySink:
    """Keeps the newest lines up to *max_bytes*; drops whole oldest lines, keeps one oversize line.

    Args:
        max_bytes: Size of the lines together.
    """

    def __init__(self, *, max_bytes: int = 8 * 2**20) -> None:
        self._max_bytes = max_bytes
        self._lock = ForkLock()
        self._lines: deque[bytes] = deque()
        self._bytes = 0
        self._accepted = self._dropped = self._drained = self._late = 0
        self._bytes_drained = 0
        self._closed = False

    @property
    def lines(self) -> list[bytes]:
        """The lines kept, oldest first."""
        with self._lock:
            return list(self._lines)

    def write(self, line: bytes) -> None:
        """Keep *line*."""
        with self._lock:
            self._accepted += 1
            if self._closed:
                self._late += 1
                return
            self._lines.append(line)
            self._bytes += len(line)
            while self._bytes > self._max_bytes and len(self._lines) > 1:
                self._bytes -= len(self._lines.popleft())
                self._dropped += 1

    def drain(self) -> tuple[bytes, int]:
        """Take all lines out; return them joined, and how many were dropped so far."""
        with self._lock:
            block = b"".join(self._lines)
            self._drained += len(self._lines)
            self._bytes_drained += len(block)
            self._lines.clear()
            self._bytes = 0
            return block, self._dropped

    def flush(self, timeout: float = 5.0) -> bool:
        """Return True: a line is kept as soon as it is given."""
        return True

    def close(self, timeout: float = 5.0) -> bool:
        """Take no further lines."""
        with self._lock:
            self._closed = True
        return True

    def statistics(self) -> SinkStatistics:
        """Return the counts; lines count as written when drained."""
        with self._lock:
            return SinkStatistics(
                accepted=self._accepted,
                written=self._drained,
                dropped=self._dropped + self._late,
                queue_dropped=self._dropped,
                late=self._late,
                queued=len(self._lines),
                queued_bytes=self._bytes,
                bytes_written=self._bytes_drained,
            )
