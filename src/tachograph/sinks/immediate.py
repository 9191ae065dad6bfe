"""Writing on the caller's thread: for functions as a service, where nothing runs afterwards."""

from __future__ import annotations

from tachograph._base.forks import ForkLock
from tachograph._base.ratelimit import warn_once
from tachograph.sinks.protocols import Target
from tachograph.sinks.statistics import SinkStatistics

__all__ = ["ImmediateSink"]

_ATTEMPTS = 20


class ImmediateSink:
    """Writes and flushes each line at once, under a lock. It may wait for the target.

    Args:
        target: Where the lines go.
    """

    def __init__(self, target: Target) -> None:
        self._target = target
        self._lock = ForkLock()
        self._accepted = self._written = self._lost = self._late = 0
        self._errors = self._bytes = 0
        self._closed = False

    def write(self, line: bytes) -> None:
        """Write *line*; a failure is counted."""
        with self._lock:
            self._accepted += 1
            if self._closed:
                self._late += 1
                return
            try:
                if self._whole(line):
                    self._target.flush()
                    self._written += 1
                    self._bytes += len(line)
                else:
                    self._lost += 1
            except Exception as error:  # noqa: BLE001 -- telemetry never raises into the application
                self._errors += 1
                self._lost += 1
                warn_once(f"immediate {id(self)}", f"Cannot write telemetry: {error}")

    def _whole(self, line: bytes) -> bool:
        rest = line
        for _ in range(_ATTEMPTS):
            rest = rest[self._target.write(rest) :]
            if not rest:
                return True
        return False

    def flush(self, timeout: float = 5.0) -> bool:
        """Return True: nothing waits here."""
        return True

    def close(self, timeout: float = 5.0) -> bool:
        """Close the target."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self._target.close()
        return True

    def statistics(self) -> SinkStatistics:
        """Return the counts so far."""
        with self._lock:
            return SinkStatistics(
                accepted=self._accepted,
                written=self._written,
                dropped=self._lost + self._late,
                lost_to_io=self._lost,
                late=self._late,
                io_errors=self._errors,
                bytes_written=self._bytes,
            )
