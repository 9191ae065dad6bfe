"""The two ends: a sink that callers write to, a target that a writer thread writes to."""

from __future__ import annotations

from typing import Protocol

from tachograph.sinks.statistics import SinkStatistics

__all__ = ["Sink", "Target"]


class Sink(Protocol):
    """Takes lines from any thread."""

    def write(self, line: bytes, /) -> None:
        r"""Take one whole line ending in `\n`. Never raises, never blocks."""
        ...

    def flush(self, timeout: float = 5.0) -> bool:
        """Wait until all lines taken before are written; tell whether they were in time."""
        ...

    def close(self, timeout: float = 5.0) -> bool:
        """Flush, then release the target; a second call is a no-op. Later lines are dropped."""
        ...

    def statistics(self) -> SinkStatistics:
        """Return the counts so far."""
        ...


class Target(Protocol):
    """A file or stream; used by one thread at a time."""

    def write(self, block: bytes) -> int:
        """Write as much of *block* (whole lines) as goes now; return how many bytes went.

        It may wait, but not for ever: 0 means that nothing went within a moment.

        Raises:
            OSError: The block's remaining bytes were not written.
            BrokenPipeError: Nobody will ever read what is written here.
        """
        ...

    def flush(self) -> None:
        """Hand what is buffered to the system.

        Raises:
            OSError: It could not be written.
        """
        ...

    def close(self) -> None:
        """Release what is held. Never raises."""
        ...
