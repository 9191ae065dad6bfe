"""The bounded queue between callers and a writer thread."""

from __future__ import annotations

import weakref
from collections.abc import Callable

from tachograph.sinks.lines import Lines
from tachograph.sinks.protocols import Target
from tachograph.sinks.statistics import SinkStatistics
from tachograph.sinks.writer import Writer

__all__ = ["QueueSink"]

_MIB = 2**20


class QueueSink:
    """Hands lines to a target on a thread of its own.

    The thread starts with the first line. It outlives failures of the target: the rest of a block
    that could not be written is tried again until it goes, with pauses from 50 ms to 1 s. A target
    that is gone for good (a broken pipe, a closed descriptor) is tried once more and then left;
    from then on lines are counted as lost. After `os.fork` the child starts with an empty queue.
    When nobody refers to the sink any more, what waits is written and the thread ends.

    Args:
        target: Where blocks of lines are written.
        name: For the thread and for warnings.
        max_lines: Most lines that wait.
        max_bytes: Most bytes that wait; one line larger than this still does.
        flush_interval: Seconds after which written bytes are flushed.
        tick: Seconds between two looks at the queue while lines come.
        mark_dropped: Given a line and the number of lines lost before it, returns the line that
            tells; None for the format's own way when a `Destination` writes here, else to count
            only.
        observer: Called with an event and its value, on the writer thread (`overflow` on the
            caller's): `written` lines of a block, `overflow` lines dropped so far, `io_error` their
            number so far, and at each flush `queued` lines waiting and `idle`, the part of the time
            since the last one in which the thread slept. Whatever it raises is contained.
    """

    def __init__(
        self,
        target: Target,
        *,
        name: str,
        max_lines: int = 16_384,
        max_bytes: int = 32 * _MIB,
        flush_interval: float = 1.0,
        tick: float = 0.01,
        mark_dropped: Callable[[bytes, int], bytes] | None = None,
        observer: Callable[[str, float], None] | None = None,
    ) -> None:
        # Apart, for the thread must not keep the sink: it ends when the sink is forgotten.
        self._writer = writer = Writer(
            target,
            name=name,
            max_lines=max_lines,
            max_bytes=max_bytes,
            flush_interval=flush_interval,
            tick=tick,
            mark_dropped=mark_dropped,
            observer=observer,
        )
        self.lines: Lines = writer.lines
        """What waits; the native core appends to it directly."""
        self.write: Callable[[bytes], None] = writer.lines.append
        """Take one line; the oldest ones are dropped when the queue is full."""
        weakref.finalize(self, writer.forgotten).atexit = False

    def mark_dropped_by(self, mark: Callable[[bytes, int], bytes]) -> None:
        """Tell lost lines by *mark*, unless the sink was made with another."""
        if self._writer.mark_dropped is None:
            self._writer.mark_dropped = mark

    def flush(self, timeout: float = 5.0) -> bool:
        """Wait until each line taken before is settled and flushed; False if *timeout* passed."""
        return self._writer.flush(timeout)

    async def aflush(self, timeout: float = 5.0) -> bool:  # noqa: ASYNC109 -- as in `flush`
        """Do as `flush`, without holding the event loop."""
        import asyncio  # noqa: PLC0415 -- not needed without a loop, and slow to load

        return await asyncio.to_thread(self.flush, timeout)

    def close(self, timeout: float = 5.0) -> bool:
        """Write what waits, stop the thread, close the target.

        When *timeout* seconds have passed, what still waits is counted as lost.

        Returns:
            Whether everything was written in time.
        """
        return self._writer.close(timeout)

    def statistics(self) -> SinkStatistics:
        """Return the counts so far."""
        return self._writer.statistics()
