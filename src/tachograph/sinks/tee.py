"""One line to several sinks."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import fields

from tachograph.sinks.protocols import Sink
from tachograph.sinks.statistics import SinkStatistics

__all__ = ["Tee"]


class Tee:
    """Gives each line to every sink; none can hurt another, for none raises.

    Args:
        sinks: In the order in which they get a line.
    """

    def __init__(self, *sinks: Sink) -> None:
        self._sinks = sinks

    def write(self, line: bytes) -> None:
        """Give *line* to every sink."""
        for sink in self._sinks:
            sink.write(line)

    def mark_dropped_by(self, mark: Callable[[bytes, int], bytes]) -> None:
        """Let every sink that can tell lost lines do it by *mark*, unless it has another way."""
        for sink in self._sinks:
            if (accept := getattr(sink, "mark_dropped_by", None)) is not None:
                accept(mark)

    def flush(self, timeout: float = 5.0) -> bool:
        """Flush every sink within *timeout* seconds together; tell whether all did."""
        end = time.monotonic() + timeout
        return all([sink.flush(max(0.0, end - time.monotonic())) for sink in self._sinks])  # noqa: C419

    def close(self, timeout: float = 5.0) -> bool:
        """Close every sink within *timeout* seconds together; tell whether all did."""
        end = time.monotonic() + timeout
        return all([sink.close(max(0.0, end - time.monotonic())) for sink in self._sinks])  # noqa: C419

    def statistics(self) -> SinkStatistics:
        """Return the sums over all sinks; a line counts once for each."""
        parts = [sink.statistics() for sink in self._sinks]
        return SinkStatistics(
            **{f.name: sum(getattr(part, f.name) for part in parts) for f in fields(SinkStatistics)}
        )
