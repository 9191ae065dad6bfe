"""Trace files: their bytes whatever their name says, read in pieces.

A file is a trace or the gzip of one, told apart by its first bytes, so that `.bin`, `.bin.gz` and
a segment that is still `.active` read alike. A gzip file that was cut gives what is before the cut.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import suppress
from operator import add
from pathlib import Path

from tachograph.errors import TraceFormatError
from tachograph.trace.assemble import assemble
from tachograph.trace.decode import Decoder
from tachograph.trace.model import Anchor, Trace
from tachograph.trace.schema import Event

__all__ = ["read_bytes", "read_file", "read_pieces"]

GZIP = b"\x1f\x8b"
PIECE_BYTES = 1 << 20
EITHER = 32 + zlib.MAX_WBITS  # zlib reads the header of gzip


def read_file(path: Path | str, *, strict: bool = False) -> Trace:
    """Return what the trace file at *path* tells.

    Args:
        path: A `.bin`, `.bin.gz` or `.active` file.
        strict: Raise at the first deviation from the format instead of marking it.

    Raises:
        TraceFormatError: The file is no trace; when strict, anything that is not as it should be.
        OSError: The file cannot be read.
    """
    decoder = Decoder(strict=strict)
    events: list[Event] = []
    cut: CutError | None = None
    try:
        for piece in read_pieces(path):
            events += decoder.feed(piece)
    except CutError as error:
        if strict:
            raise
        cut = error
    events += decoder.close()
    trace = assemble(events, decoder)
    _anchor(trace, events, Path(path))
    if cut is not None:
        trace.truncated = True
        trace.problems.append(cut)
    return trace


def _anchor(trace: Trace, events: list[Event], path: Path) -> None:
    """Give a trace that tells no wall clock the file's time of change for its newest event."""
    if trace.anchors:
        return
    times = [event.timestamp_ns for event in events if event.timestamp_ns is not None]
    for table in (trace.steps, trace.parks):
        times.extend(map(add, table.start_ns, table.duration_ns))
    if times:
        trace.anchors.append(Anchor(max(times), path.stat().st_mtime_ns))
        trace.anchor_guessed = True


class CutError(TraceFormatError):
    """A gzip file ends too early or is damaged; the pieces before have been given."""


def read_bytes(path: Path | str) -> bytes:
    """Return the bytes of the trace at *path*, uncompressed as far as they go."""
    pieces: list[bytes] = []
    with suppress(CutError):
        pieces.extend(read_pieces(path))
    return b"".join(pieces)


def read_pieces(path: Path | str) -> Iterator[bytes]:
    """Yield the bytes of the trace at *path*, uncompressed, in pieces of bounded size."""
    with Path(path).open("rb") as file:
        piece = file.read(PIECE_BYTES)
        if not piece.startswith(GZIP):
            while piece:
                yield piece
                piece = file.read(PIECE_BYTES)
            return
        member = zlib.decompressobj(EITHER)
        while piece:
            try:
                yield member.decompress(piece, PIECE_BYTES)
            except zlib.error as error:
                raise CutError(f"Expected gzip in `{path}`, got {error}.") from error
            piece = member.unconsumed_tail
            if member.eof:  # several members in one file are one trace
                piece = (member.unused_data or file.read(PIECE_BYTES)).lstrip(b"\0")
                if piece:
                    member = zlib.decompressobj(EITHER)
            elif not piece:
                piece = file.read(PIECE_BYTES)
        if not member.eof:
            raise CutError(f"Expected the end of the gzip data in `{path}`, got the file's end.")
