"""Lines on their way into a target, and how far they got."""

from __future__ import annotations

from collections.abc import Callable

from tachograph.sinks.lines import Batch

__all__ = ["Block"]


class Block:
    """Some lines joined, of which a target takes a part at a time.

    Args:
        batch: The lines.
        start: Number of the first one since the sink began.
        mark: Given the first line, returns the line to be written in its place.
    """

    __slots__ = ("_batch", "_data", "_longer", "done", "queued_bytes", "start")

    def __init__(
        self, batch: Batch, *, start: int, mark: Callable[[bytes], bytes] | None = None
    ) -> None:
        self._batch = batch
        self._data = batch.data
        self.queued_bytes = len(self._data)
        """What the lines counted for in the queue."""
        if mark is not None:
            first = batch.first
            self._data = mark(self._data[:first]) + self._data[first:]
        self._longer = len(self._data) - self.queued_bytes
        self.done = 0
        """Bytes that the target took."""
        self.start = start

    def __len__(self) -> int:
        return len(self._batch)

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
        return self._batch.whole(max(0, self.done - self._longer))
