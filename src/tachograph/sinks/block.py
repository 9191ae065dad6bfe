"""Lines on their way into a target, and how far they got."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["Block"]


class Block:
    """Some lines joined, of which a target takes a part at a time.

    Args:
        lines: Whole lines.
        start: Number of the first one since the sink began.
        queued_bytes: What they counted for in the queue.
    """

    __slots__ = ("_data", "_lines", "done", "queued_bytes", "start")

    def __init__(self, lines: Sequence[bytes], *, start: int, queued_bytes: int) -> None:
        self._lines = lines
        self._data = b"".join(lines)
        self.done = 0
        """Bytes that the target took."""
        self.start = start
        self.queued_bytes = queued_bytes

    def __len__(self) -> int:
        return len(self._lines)

    @property
    def size(self) -> int:
        """Bytes of all lines."""
        return len(self._data)

    @property
    def rest(self) -> bytes:
        """What the target has not taken yet."""
        return self._data[self.done :] if self.done else self._data

    def advance(self, taken: int) -> None:
        """Note that the target took *taken* more bytes."""
        self.done += taken

    def lines_done(self) -> int:
        """Return how many lines the target took whole."""
        end = count = 0
        for line in self._lines:
            end += len(line)
            if end > self.done:
                break
            count += 1
        return count
