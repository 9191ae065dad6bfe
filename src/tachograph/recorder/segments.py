"""Segments on disk: batches appended to the active one, sealed, compressed, within a budget.

    trace.7.bin.active   being written; valid up to its last whole batch, whenever the process dies
    trace.7.bin          sealed by a rename
    trace.7.bin.gz       compressed; the raw file is deleted then

One object owns the directory and counts every byte of it. Evidence goes only when the budget asks
for it, oldest first; never a file that is not of this process's segments.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tachograph._base.clock import clock
from tachograph._base.ratelimit import RateLimit
from tachograph.recorder.home import segment_index

__all__ = ["SegmentStatistics", "Segments"]

_logger = logging.getLogger("tachograph")
_RETRY_NS = 60 * 10**9  # after a full disk
_TAIL = 1_024  # room for what a segment ends with


@dataclass(slots=True)
class SegmentStatistics:
    """What became of the segments.

    Attributes:
        batches_written: Batches that are on file.
        bytes_written: Their size.
        batches_lost: Batches that could not be written.
        segments_sealed: Segments that were ended in order.
        segments_abandoned: Active files that somebody deleted or moved, or that could not be ended.
        segments_evicted: Segments deleted to stay within the budget.
        bytes_evicted: Their size.
        io_errors: Failed calls of the system.
        disk_full_encountered: How often there was no room on the disk.
        write_stopped_no_space: Whether nothing is written at present for that reason.
    """

    batches_written: int = 0
    bytes_written: int = 0
    batches_lost: int = 0
    segments_sealed: int = 0
    segments_abandoned: int = 0
    segments_evicted: int = 0
    bytes_evicted: int = 0
    io_errors: int = 0
    disk_full_encountered: int = 0
    write_stopped_no_space: bool = False


class Segments:
    """The segments of one process; used by one thread.

    Args:
        directory: Holds them.
        head: Returns the bytes that a new segment begins with: its clock anchor and metadata. Told
            whether the segment before was sealed with nothing left outside.
        tail: Returns those that it ends with, told the same of this one.
        max_total_bytes: Size of all segments together.
        max_file_bytes: Size at which a segment is sealed at once.
        rotation_s: Seconds after which it is sealed.
        on_sealed: Called with each sealed file; for the pipeline.
    """

    def __init__(
        self,
        directory: Path,
        head: Callable[[bool], bytes],
        tail: Callable[[bool], bytes],
        *,
        max_total_bytes: int,
        max_file_bytes: int,
        rotation_s: float,
        on_sealed: Callable[[Path], None],
    ) -> None:
        self.directory = directory
        self.statistics = SegmentStatistics()
        self._head = head
        self._tail = tail
        self._max_total = max_total_bytes
        self._max_file = max_file_bytes
        self._rotation_ns = int(rotation_s * 1e9)
        self._on_sealed = on_sealed
        self._file = -1
        self._size = self._head_size = 0
        self._began_ns = 0
        self._index = self._next_index()
        self._clean = True
        self._retry_ns = 0
        self._told_full = False
        self._says = RateLimit(60)

    # ------------------------------------------------------------------ writing

    @property
    def active(self) -> Path:
        """The file that is being written, or would be next."""
        return self.directory / f"trace.{self._index}.bin.active"

    @property
    def index(self) -> int:
        """The number of the segment that is being written, or would be next."""
        return self._index

    @property
    def is_due(self) -> bool:
        """Whether the active segment is as old as it may get."""
        age = clock.monotonic_ns() - self._began_ns
        return self._file >= 0 and age >= self._rotation_ns

    def append(self, make: Callable[[], bytes]) -> bool:
        """Write one batch whole, or not at all; tell whether it is on file.

        Args:
            make: Returns the batch. Called when the segment it goes into has begun, so that it can
                rely on what the segment's head tells; once more when it needs another segment. What
                it raises comes out; nothing else does.
        """
        if self._is_stopped():
            self.statistics.batches_lost += 1
            return False
        batch, fits = b"", False
        try:
            self._abandon_if_gone()
            if self._file < 0:
                self._begin()
            batch = make()
            if self._size + len(batch) + _TAIL > self._max_file and self._size > self._head_size:
                self.seal(clean=False)  # at once: what is still in the rings comes into the next
                self._begin()
                batch = make()
            fits = self._make_room(len(batch))
            if fits:
                self._write(batch)
        except OSError as error:
            self._failed(error)
            self.seal(clean=False)  # what the lost batch told, the next segment's head tells
            fits = False
        if not fits:
            self.statistics.batches_lost += 1
            return False
        self._told_full = False
        self.statistics.batches_written += 1
        self.statistics.bytes_written += len(batch)
        if self._size + _TAIL >= self._max_file:
            self.seal(clean=False)
        return True

    def forget(self) -> None:
        """Close the active file and leave it: in a forked child it is the parent's."""
        if self._file >= 0:
            self._close()

    def _make_room(self, more: int) -> bool:
        """Let old segments go where *more* bytes do not fit beside them; tell if they fit now."""
        size = self._size + more + _TAIL
        if size > self._max_total:
            self.seal(clean=False)
            if self._says.allow():
                _logger.error(
                    "A batch of %d bytes is more than all segments may have (max_total_bytes: %d); "
                    "such batches are lost and counted. Allow more.",
                    more,
                    self._max_total,
                )
            return False
        if size > self._max_file:
            self.evict(self._max_total - size)
        return True

    def _write(self, data: bytes) -> None:
        """Write all of *data* behind what is there; on failure nothing of it stays."""
        done = 0
        try:
            while done < len(data):
                done += os.write(self._file, data[done:] if done else data)
        except OSError:
            if done:
                self._cut()
            raise
        self._size += len(data)

    def _cut(self) -> None:
        """Take back a batch that was written in part; a file that keeps it is left as it is."""
        try:
            os.ftruncate(self._file, self._size)
            os.lseek(self._file, self._size, os.SEEK_SET)
        except OSError:
            self._abandon()

    def _begin(self) -> None:
        self._size = self._head_size = 0
        self._began_ns = clock.monotonic_ns()
        head = self._head(self._clean)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0)
        try:
            self._file = os.open(self.active, flags, 0o600)
        except FileNotFoundError:  # the directory was removed: once more, then it is an error
            self.directory.mkdir(mode=0o700, parents=True)
            self._file = os.open(self.active, flags, 0o600)
        self._write(head)
        self._head_size = self._size
        self._clean = True

    def _abandon_if_gone(self) -> None:
        if self._file >= 0 and os.fstat(self._file).st_nlink == 0:
            self._abandon()

    def _abandon(self) -> None:
        self.statistics.segments_abandoned += 1
        self._close()
        self._index += 1
        self._clean = False

    def _close(self) -> None:
        file, self._file = self._file, -1
        with contextlib.suppress(OSError):
            os.close(file)

    # ------------------------------------------------------------------ sealing

    def seal(self, *, clean: bool = True) -> Path | None:
        """End the active segment; return its file, None if there was nothing in it. Never raises.

        Args:
            clean: Whether the rings were emptied into it before.
        """
        if self._file < 0:
            return None
        active, sealed = self.active, self.directory / f"trace.{self._index}.bin"
        empty = self._size <= self._head_size
        try:
            if not empty and not self.statistics.write_stopped_no_space:
                self._write(self._tail(clean))
        except OSError as error:
            self._failed(error)
        if self._file < 0:
            return None  # its tail was written in part and could not be taken back
        self._close()
        self._index += 1
        self._clean = clean
        try:
            if empty:
                active.unlink()
                return None
            active.rename(sealed)
        except OSError as error:
            self.statistics.segments_abandoned += 1
            self._clean = False
            if not isinstance(error, FileNotFoundError):
                self._failed(error)
            return None
        self.statistics.segments_sealed += 1
        self.evict()
        self._on_sealed(sealed)
        return sealed

    # ------------------------------------------------------------------ the budget

    @property
    def retained(self) -> tuple[int, int]:
        """How many segments there are without the active one, and their size."""
        families = self._families().values()
        return len(families), sum(size for _, size in families)

    @property
    def max_total_bytes(self) -> int:
        """The size that all segments may have."""
        return self._max_total

    def evict(self, most: int | None = None) -> None:
        """Delete the oldest segments until the others and an active one are within the budget."""
        most = max(0, self._max_total - self._max_file) if most is None else most
        families = self._families()
        total = sum(size for _, size in families.values())
        for index in sorted(families):
            if total <= most:
                break
            names, size = families[index]
            try:
                for name in names:
                    (self.directory / name).unlink(missing_ok=True)
            except OSError:
                self.statistics.io_errors += 1
                continue
            total -= size
            self.statistics.segments_evicted += 1
            self.statistics.bytes_evicted += size

    def _families(self) -> dict[int, tuple[list[str], int]]:
        """Return the files and bytes of each segment but the active one, by its number."""
        found: dict[int, dict[str, int]] = {}
        active = self.active.name if self._file >= 0 else ""
        try:
            with os.scandir(self.directory) as entries:
                for entry in entries:
                    index = segment_index(entry.name)
                    if index is None or entry.name == active:
                        continue
                    # One that has gone was compressed meanwhile, or evicted.
                    for name in (entry.name, f"{entry.name}.gz"):
                        with contextlib.suppress(FileNotFoundError):
                            size = (self.directory / name).lstat().st_size
                            found.setdefault(index, {})[name] = size
                            break
        except OSError:
            self.statistics.io_errors += 1
        return {index: (list(sizes), sum(sizes.values())) for index, sizes in found.items()}

    def _next_index(self) -> int:
        try:
            taken = [segment_index(name) for name in os.listdir(self.directory)]  # noqa: PTH208
        except OSError:
            return 0
        return max((index for index in taken if index is not None), default=-1) + 1

    # ------------------------------------------------------------------ trouble

    def _is_stopped(self) -> bool:
        if not self.statistics.write_stopped_no_space:
            return False
        if clock.monotonic_ns() < self._retry_ns:
            return True
        self.statistics.write_stopped_no_space = False
        return False

    def _failed(self, error: OSError) -> None:
        self.statistics.io_errors += 1
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            self.statistics.disk_full_encountered += 1
            self.statistics.write_stopped_no_space = True
            self._retry_ns = clock.monotonic_ns() + _RETRY_NS
            self.evict()
            if not self._told_full:
                self._told_full = True
                _logger.error(
                    "The disk of %s is full: the recorder pauses for a minute and keeps what it "
                    "has. What is recorded meanwhile is lost and counted.",
                    self.directory,
                )
        elif self._says.allow():
            _logger.warning("The recorder cannot write %s: %s", self.active, error)
