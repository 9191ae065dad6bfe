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

    The rest of a line that was cut goes before the next one, which is lost if it still does not go.

    Args:
        target: Where the lines go.
    """

    def __init__(self, target: Target) -> None:
        self._target = target
        self._lock = ForkLock()
        self._accepted = self._written = self._lost = self._late = 0
        self._errors = self._bytes = 0
        self._rest = b""  # of a line that was cut
        self._cut = 0  # the size of that line
        self._closed = False

    def write(self, line: bytes) -> None:
        """Write *line*; a failure is counted."""
        with self._lock:
            self._accepted += 1
            if self._closed:
                self._late += 1
            elif self._complete():
                self._rest, self._cut = self._put(line), len(line)
                if len(self._rest) == len(line):
                    self._rest = b""
                    self._lost += 1
                elif not self._rest:
                    self._count(len(line))
            else:
                self._lost += 1

    def _complete(self) -> bool:
        """Write the rest of a line that was cut; tell whether none is left."""
        if self._rest:
            self._rest = self._put(self._rest)
            if self._rest:
                return False
            self._count(self._cut)
        return True

    def _count(self, size: int) -> None:
        self._written += 1
        self._bytes += size

    def _put(self, rest: bytes) -> bytes:
        """Return what the target did not take of *rest*."""
        try:
            for _ in range(_ATTEMPTS):
                rest = rest[self._target.write(rest) :]
                if not rest:
                    self._target.flush()
                    break
        except Exception as error:  # noqa: BLE001 -- telemetry never raises into the application
            self._errors += 1
            warn_once(f"immediate {id(self)}", f"Cannot write telemetry: {error}")
        return rest

    def flush(self, timeout: float = 5.0) -> bool:
        """Return True: nothing waits here but the rest of a line that was cut."""
        return True

    def close(self, timeout: float = 5.0) -> bool:
        """Close the target."""
        with self._lock:
            if not self._closed:
                self._closed = True
                if not self._complete():
                    self._rest = b""
                    self._lost += 1
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
                queued=1 if self._rest else 0,
                queued_bytes=len(self._rest),
                bytes_written=self._bytes,
            )
