"""What happens to a sealed segment: it is compressed beside itself, and the raw file goes.

One thread, one segment at a time. A file that cannot be processed stays as it is: a raw segment
reads as well as a compressed one. A file that has gone meanwhile was evicted, which is no error.
"""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import secrets
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tachograph._base.clock import clock
from tachograph._base.ratelimit import RateLimit
from tachograph.recorder.home import segment_index
from tachograph.recorder.self_metrics import SegmentMetrics, Teller

__all__ = ["Pieces", "Pipeline", "PipelineStatistics", "compress", "pieces_of"]

Pieces = Callable[[Path], Iterator[bytes]]
"""Gives what is to be compressed of a sealed segment."""

_MOST_ERROR = 300
_CHUNK = 256 * 1024
_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_logger = logging.getLogger("tachograph")


@dataclass(slots=True)
class PipelineStatistics:
    """What became of sealed segments.

    Attributes:
        processed: Segments that were compressed.
        uncompressed_bytes: Their size before.
        compressed_bytes: Their size after.
        vanished: Segments that were evicted meanwhile.
        failed: Segments that stayed raw because something went wrong.
        left: Segments that were still waiting at the end.
    """

    processed: int = 0
    uncompressed_bytes: int = 0
    compressed_bytes: int = 0
    vanished: int = 0
    failed: int = 0
    left: int = 0

    @property
    def done(self) -> int:
        """Segments that were taken and are done with, whatever became of them."""
        return self.processed + self.vanished + self.failed


class Pipeline:
    """Compresses sealed segments on a thread of its own.

    Args:
        pieces: Gives the bytes to compress, if not those of the segment.
        teller: Is told of each segment.
        on_done: Called after each segment; does not raise.
    """

    def __init__(
        self,
        pieces: Pieces | None = None,
        teller: Teller | None = None,
        on_done: Callable[[], None] | None = None,
    ) -> None:
        self.statistics = PipelineStatistics()
        self._on_done = on_done
        self._teller = Teller(None) if teller is None else teller
        self._more = {} if pieces is None else {"pieces": pieces}
        self._waiting: queue.SimpleQueue[Path | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()
        self._says = RateLimit(60)

    def start(self) -> None:
        """Begin to wait for segments; where there are no more threads, the next `put` tries again.

        Called with the recorder's start: a thread that came with the first segment, a minute later,
        would be one too many to a program that counts its own, as tests do.
        """
        with self._starting:  # the drain's thread may have sealed a segment already
            if self._thread is not None:
                return
            thread = threading.Thread(target=self._run, name="tachograph-pipeline", daemon=True)
            try:
                thread.start()
            except RuntimeError as error:
                if self._says.allow():
                    _logger.warning("Segments stay uncompressed for now: %s", error)
            else:
                self._thread = thread

    def put(self, sealed: Path) -> None:
        """Take a sealed segment."""
        self._waiting.put(sealed)
        if self._thread is None:
            self.start()

    def close(self, timeout: float) -> bool:
        """Process what waits; tell whether it was in time. What is left stays on disk, raw."""
        if self._thread is None:
            self.statistics.left = self._waiting.qsize()
            return True
        self._waiting.put(None)
        self._thread.join(timeout)
        ended = not self._thread.is_alive()
        if not ended:
            # All that wait, without the sign of the end, and the one that is being worked on.
            self.statistics.left = max(0, self._waiting.qsize() - 1) + 1
            _logger.warning(
                "%d segments were not compressed in %.1f s and stay as they are.",
                self.statistics.left,
                timeout,
            )
        return ended

    def _run(self) -> None:
        yield_the_processor()
        while (sealed := self._waiting.get()) is not None:
            began_ns = clock.monotonic_ns()
            before = after = error = None
            try:
                before, after = compress(sealed, **self._more)
            except FileNotFoundError:
                self.statistics.vanished += 1
            except Exception as caught:  # noqa: BLE001 -- one segment must not stop the next
                self.statistics.failed += 1
                error = f"{type(caught).__name__}: {caught}"[:_MOST_ERROR]
                if self._says.allow():
                    _logger.warning("Cannot compress %s, it stays as it is: %s", sealed, caught)
            else:
                self.statistics.processed += 1
                self.statistics.uncompressed_bytes += before
                self.statistics.compressed_bytes += after
            self._teller.put(
                SegmentMetrics(
                    segment_index=segment_index(sealed.name) or 0,
                    duration_ns=clock.monotonic_ns() - began_ns,
                    success=after is not None,
                    vanished=after is None and error is None,
                    uncompressed_bytes=before,
                    compressed_bytes=after,
                    error=error,
                )
            )
            if self._on_done is not None:
                self._on_done()


def pieces_of(sealed: Path) -> Iterator[bytes]:
    """Yield the bytes of a segment as they are."""
    with sealed.open("rb") as source:
        while chunk := source.read(_CHUNK):
            yield chunk


def compress(sealed: Path, pieces: Pieces = pieces_of) -> tuple[int, int]:
    """Put `*.gz` in the place of a sealed segment; return the sizes before and after.

    Args:
        sealed: The segment.
        pieces: Gives the bytes to compress.

    Raises:
        OSError: It could not be read or written; the raw file is as it was.
    """
    target = sealed.with_name(f"{sealed.name}.gz")
    partial = sealed.with_name(f"{target.name}.{new_ulid()}.partial")
    packer = zlib.compressobj(1, zlib.DEFLATED, 31)
    try:
        with partial.open("xb") as packed:
            os.fchmod(packed.fileno(), 0o600)
            before = sealed.stat().st_size
            for piece in pieces(sealed):
                packed.write(packer.compress(piece))
            packed.write(packer.flush())
            after = packed.tell()
        if not sealed.exists():
            raise FileNotFoundError(sealed)  # evicted: it must not come back
        partial.rename(target)
    except BaseException:
        with contextlib.suppress(OSError):
            partial.unlink()
        raise
    try:
        sealed.unlink(missing_ok=True)
    except OSError:
        target.unlink(missing_ok=True)  # one of the two, or its events would be read twice
        raise
    return before, after


def new_ulid() -> str:
    """Return a new identifier of 26 letters that sorts by time."""
    value = time.time_ns() // 1_000_000 << 80 | secrets.randbits(80)
    return "".join(_CROCKFORD[value >> shift & 31] for shift in range(125, -1, -5))


def yield_the_processor() -> None:
    """Run this thread after others, where the system knows threads by number."""
    with contextlib.suppress(AttributeError, OSError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 10)
