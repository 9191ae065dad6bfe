"""Lines that wait for the writer thread; what the native core does, in Python.

The queue is bounded in lines and in bytes; the oldest lines go first. Bytes that were taken count
until they are released, for they are still in memory. Where there is no GIL, callers append under a
lock that nobody holds during I/O.
"""

from __future__ import annotations

import itertools
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from tachograph._base.gil import CHANGES_ARE_WHOLE
from tachograph._core import native

__all__ = ["Batch", "Lines", "PureBatch", "PureLines"]

_BATCH_BYTES = 64 * 1024


class PureBatch:
    """Lines that were taken together."""

    __slots__ = ("_lines",)

    def __init__(self, lines: Sequence[bytes]) -> None:
        self._lines = lines

    def __len__(self) -> int:
        return len(self._lines)

    @property
    def data(self) -> bytes:
        """The lines, one after the other."""
        return b"".join(self._lines)

    @property
    def first(self) -> int:
        """Bytes of the first line."""
        return len(self._lines[0])

    def whole(self, done: int) -> int:
        """Return how many lines lie wholly in the first *done* bytes."""
        ends = itertools.accumulate(len(line) for line in self._lines)
        return sum(1 for _ in itertools.takewhile(lambda end: end <= done, ends))


class PureLines:
    """Lines that wait, oldest first.

    Args:
        max_lines: Most lines.
        max_bytes: Most bytes; one line larger than this still waits.
        attend: Called when a line comes while `asleep`, and when the first line after a `take` is
            dropped.
    """

    __slots__ = (
        "_attend",
        "_lock",
        "_max_bytes",
        "_max_lines",
        "_queue",
        "asleep",
        "bytes",
        "dropped",
        "popped",
        "refused",
        "shut",
        "unmarked",
    )

    def __init__(self, max_lines: int, max_bytes: int, attend: Callable[[], None]) -> None:
        self._max_lines = max_lines
        self._max_bytes = max_bytes
        self._attend = attend
        self.reset()

    def reset(self) -> None:
        """Begin anew, empty, all counts zero: in a forked child."""
        self._lock = threading.RLock()
        self._queue: deque[bytes] = deque()
        self.asleep = True
        """Whether the next line is to call `attend`."""
        self.shut = False
        """Whether lines are refused."""
        self.bytes = 0
        """Of the lines that wait or were taken and not released."""
        self.popped = 0
        """Lines that left the queue, taken or dropped."""
        self.dropped = 0
        """Lines that were dropped because there were too many."""
        self.unmarked = 0
        """Lines dropped that no later line has told of yet; the reader sets it back."""
        self.refused = 0
        """Lines that came while it was shut."""

    def __len__(self) -> int:
        return len(self._queue)

    def _put(self, line: bytes) -> bool:
        """Take *line*, drop the oldest ones when there are too many; tell whether to `attend`."""
        if self.shut:
            self.refused += 1
            return False
        size = len(line)
        queue = self._queue
        queue.append(line)
        self.bytes += size
        full = self.bytes > self._max_bytes or len(queue) > self._max_lines
        return (full and self._drop_oldest()) or self.asleep

    def _append(self, line: bytes) -> None:
        """Take *line*; drop the oldest ones when there are too many."""
        if self._put(line):
            self._attend()

    def _append_locked(self, line: bytes) -> None:
        """Take *line*; drop the oldest ones when there are too many."""
        with self._lock:
            wanted = self._put(line)
        if wanted:  # without the lock: who attends takes the writer's, which takes this one
            self._attend()

    append = _append if CHANGES_ARE_WHOLE else _append_locked

    def _drop_oldest(self) -> bool:
        """Make room; tell whether these are the first to go since somebody was told."""
        told = self.unmarked
        queue = self._queue
        with self._lock:
            while len(queue) > 1 and (self.bytes > self._max_bytes or len(queue) > self._max_lines):
                self.bytes -= len(queue.popleft())
                self.popped += 1
                self.dropped += 1
                self.unmarked += 1
        return told == 0 and self.unmarked > 0

    def take(self) -> PureBatch | None:
        """Return the oldest lines, some 64 KiB of them, or None."""
        with self._lock:
            queue = self._queue
            if not queue:
                return None
            lines: list[bytes] = []
            size = 0
            while queue and (not lines or size + len(queue[0]) <= _BATCH_BYTES):
                line = queue.popleft()
                size += len(line)
                lines.append(line)
            self.popped += len(lines)
            return PureBatch(lines)

    def release(self, size: int) -> None:
        """Forget *size* bytes of a batch: they are in memory no more."""
        with self._lock:
            self.bytes -= size

    def clear(self) -> int:
        """Drop every line; return how many there were."""
        with self._lock:
            count = len(self._queue)
            self._queue.clear()
            self.bytes = 0
            self.popped += count
            return count


if TYPE_CHECKING:
    Lines = PureLines
    Batch = PureBatch
elif native is None:
    Lines, Batch = PureLines, PureBatch
else:
    Lines, Batch = native.Lines, native.Batch
