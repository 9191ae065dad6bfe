"""Sealed segments in the dial9 profile: converted on the pipeline's thread, one at a time.

The recorder writes compact blocks whatever the profile is; a segment is rewritten when it is
sealed. That holds one segment in memory as columns, a multiple of its size on disk, and takes the
interpreter some forty microseconds a step.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tachograph.errors import TraceFormatError
from tachograph.trace.dial9 import Conversion
from tachograph.trace.files import read_file, read_pieces

__all__ = ["dial9_pieces"]


def dial9_pieces(sealed: Path, *, idle_mean_ns: int = 10_000_000) -> Iterator[bytes]:
    """Yield a segment in the dial9 profile, or as it is when it has nothing dial9 would show.

    Args:
        sealed: Its file.
        idle_mean_ns: Of which waits it is told where, as `Conversion` takes it.

    Raises:
        TraceFormatError: The file is no trace.
        OSError: It cannot be read.
    """
    batches = Conversion(read_file(sealed), idle_mean_ns=idle_mean_ns).batches()
    try:
        first = next(batches)
    except TraceFormatError:
        yield from read_pieces(sealed)
        return
    yield first
    yield from batches
