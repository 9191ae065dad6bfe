"""A stream: a pipe, a terminal, a redirected file. Never blocks for ever, even if nobody reads."""

from __future__ import annotations

import os
import select
import stat
from typing import BinaryIO

from tachograph._core import native

__all__ = ["StreamTarget"]

# A pipe or FIFO that poll() calls writable takes this much without blocking (POSIX.1, PIPE_BUF).
_PIPE_BUF = getattr(select, "PIPE_BUF", 512)
_WAIT_MS = 50


class StreamTarget:
    """A target on a stream that others own; it is never closed.

    Descriptors are written to directly. For pipes, sockets and terminals the target first asks
    whether bytes would go, and gives only as many as cannot block, whole lines where they fit; so
    the lines of several processes on one pipe do not mix. When nobody reads, `write` returns 0
    after a moment instead of hanging. A stream without descriptor is written to as it is.

    Args:
        stream: A file descriptor or a binary stream, such as `sys.stdout.buffer`.
    """

    def __init__(self, stream: int | BinaryIO) -> None:
        self._stream: BinaryIO | None = None
        self._descriptor: int | None = None
        if isinstance(stream, int):
            self._descriptor = stream
        else:
            stream.flush()
            try:
                self._descriptor = stream.fileno()
            except (OSError, AttributeError):
                self._stream = stream
        self._waits = self._descriptor is not None and _may_block(self._descriptor)

    def write(self, block: bytes) -> int:
        """Write what goes without blocking; 0 when nobody reads."""
        if self._stream is not None:
            self._stream.write(block)
            return len(block)
        assert self._descriptor is not None
        if not self._waits:
            return os.write(self._descriptor, block)
        if native is not None:
            return native.write_ready(self._descriptor, block, _WAIT_MS)
        poll = select.poll()
        poll.register(self._descriptor, select.POLLOUT)
        if not poll.poll(_WAIT_MS):
            return 0
        try:
            # So much is written at once or not at all; a longer line goes in parts.
            end = block.rfind(b"\n", 0, _PIPE_BUF) + 1 or _PIPE_BUF
            return os.write(self._descriptor, memoryview(block)[:end])
        except BlockingIOError:
            return 0

    def flush(self) -> None:
        """Flush a stream that has a buffer of its own."""
        if self._stream is not None:
            self._stream.flush()

    def close(self) -> None:
        """Leave the stream open; it is not ours."""


def _may_block(descriptor: int) -> bool:
    if not hasattr(select, "poll"):
        return False
    try:
        mode = os.fstat(descriptor).st_mode
    except OSError:
        return False
    return not stat.S_ISREG(mode)
