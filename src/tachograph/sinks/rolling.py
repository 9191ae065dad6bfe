"""A file a minute or an hour, named by UTC time, appended to and never renamed under a reader."""

from __future__ import annotations

import contextlib
import enum
import os
import re
import time
from pathlib import Path

from tachograph._base.clock import clock
from tachograph._base.ratelimit import warn_once
from tachograph._base.retention import Retention
from tachograph.errors import ConfigError

__all__ = ["Period", "RollingFile"]

_LOOKS = 100


class Period(enum.Enum):
    """How long one file lasts: seconds, the format of its name, what the name looks like."""

    MINUTE = (60, "%Y-%m-%d-%H-%M", r"\d{4}-\d\d-\d\d-\d\d-\d\d")
    HOUR = (3_600, "%Y-%m-%d-%H", r"\d{4}-\d\d-\d\d-\d\d")


class RollingFile:
    """A target of files `<prefix>.<period>` in one directory.

    The file of the present period is opened for append at the first write in it, so quiet periods
    leave no files and two processes can share a directory: each block of whole lines is one
    `write`. A clock that is set back appends to the earlier file. Files get mode 0600, directories
    0700. A directory or file that was removed is made again, a descriptor that somebody closed is
    opened again.

    A line that a full disk cut is completed where it began when there is room again. Where its
    start is no longer the last thing in the file, because another process wrote or the file is
    gone, the line is written anew, whole; what is torn in front of it is ended with a newline.

    Args:
        directory: Where the files are; created.
        prefix: Start of their names.
        period: How long a file lasts.
        retention: What stays; applied when a file is opened.
        per_process: Append `.<pid>` to the names.

    Raises:
        ConfigError: The directory cannot be created or written.
    """

    def __init__(
        self,
        directory: Path | str,
        *,
        prefix: str,
        period: Period,
        retention: Retention | None = None,
        per_process: bool = False,
    ) -> None:
        self._directory = Path(directory)
        self._prefix = prefix
        self._seconds, self._format, shape = period.value
        self._retention = retention or Retention()
        self._per_process = per_process
        self._pattern = re.compile(rf"{re.escape(prefix)}\.{shape}(\.\d+)?")
        self._opened: dict[str, tuple[str, int]] = {}
        self._descriptor: int | None = None
        self._path: Path | None = None
        self._identity = (0, 0)
        self._index = -1
        self._pid = 0
        self._end = -1  # where our last write ended; another size means that others wrote
        self._head = b""  # what was taken of a line that has no end yet
        self._sent = 0  # how much of it is the last thing in the file
        try:
            self._open()
        except OSError as error:
            msg = (
                f"Cannot write telemetry files to {self._directory}: {error.strerror or error}. "
                "Choose another directory, or give this user write permission."
            )
            raise ConfigError(msg) from error

    @property
    def path(self) -> Path | None:
        """The file that was written last."""
        return self._path

    def write(self, block: bytes) -> int:
        """Append to the file of the present period; one system call."""
        descriptor, size = self._current()
        lead, sent = b"", self._sent
        if size != self._end:
            if size > self._end >= 0 and sent and block[:1] == b"\n":
                # Only the newline was missing, and whoever wrote after us began with one.
                self._end, self._head, self._sent = -1, b"", 0
                return 1
            sent = 0
            # In the same write: nobody else's line can come between the newline and ours.
            lead = b"\n" if size and _is_torn(self._path, descriptor) else b""
        before = lead + self._head[sent:]
        written = os.write(descriptor, before + block if before else block)
        if written <= 0:
            return 0
        self._end = size + written
        taken = written - len(before)
        if taken <= 0:
            self._sent = sent + written - len(lead)
            return 0
        start = block.rfind(b"\n", 0, taken) + 1
        self._head = block[start:taken] if start else self._head + block[:taken]
        self._sent = len(self._head)
        return taken

    def flush(self) -> None:
        """Nothing to do: each write went to the system already."""

    def close(self) -> None:
        """Close the file; a line that was given up in its midst is ended for the next writer."""
        with contextlib.suppress(OSError):
            found = self._state()
            if self._sent and found and found.st_size == self._end and self._descriptor is not None:
                os.write(self._descriptor, b"\n")
        self._head, self._sent = b"", 0
        self._release()

    def _current(self) -> tuple[int, int]:
        """Return the descriptor to write to and the size of its file."""
        index = clock.time_ns() // 1_000_000_000 // self._seconds
        found = self._state()
        if self._pid != os.getpid():  # forked: the line that was cut is the parent's
            self._head, self._sent = b"", 0
            found = None
        if (
            found is None
            or self._descriptor is None
            # A line that was cut is ended in the file it began in.
            or (index != self._index and not self._sent)
            or found.st_nlink == 0  # removed: nobody would ever read it
        ):
            self._release()
            descriptor = self._open()
            return descriptor, os.fstat(descriptor).st_size
        return self._descriptor, found.st_size

    def _state(self) -> os.stat_result | None:
        """Return what the system knows of the open file, None when there is none."""
        if self._descriptor is None:
            return None
        try:
            found = os.fstat(self._descriptor)
        except OSError:
            found = None
        if found is None or (found.st_dev, found.st_ino) != self._identity:
            # Closed behind our back, as daemons do; its number may be another file's by now.
            self._descriptor = None
            return None
        return found

    def _open(self) -> int:
        seconds = clock.time_ns() // 1_000_000_000
        name = f"{self._prefix}.{time.strftime(self._format, time.gmtime(seconds))}"
        if self._per_process:
            name = f"{name}.{os.getpid()}"
        path = self._directory / name
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_CLOEXEC", 0)
        descriptor = os.open(path, flags, 0o600)
        self._descriptor, self._path = descriptor, path
        found = os.fstat(descriptor)
        self._identity = (found.st_dev, found.st_ino)
        self._index = seconds // self._seconds
        self._pid = os.getpid()
        self._end = -1
        try:
            self._retention.apply(self._directory, self._pattern, path, self._opened)
        except OSError as error:
            warn_once(
                f"retention {self._directory} {self._prefix}",
                f"Cannot delete old files in {self._directory}: {error}",
            )
        return descriptor

    def _release(self) -> None:
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            try:
                os.close(descriptor)
            except OSError as error:
                warn_once(f"close {self._path}", f"Cannot close {self._path}: {error}")


def _is_torn(path: Path | None, descriptor: int) -> bool:
    """Tell whether the last line of a file has no end: its writer died there, or the disk was full.

    A write of somebody else that is under way looks the same for a moment. To wait for its end,
    something is asked for that takes its turn behind it; what was torn is then as it was.
    """
    before = _torn_at(path)
    for _ in range(_LOOKS):
        if before is None:
            return False
        with contextlib.suppress(OSError):
            os.fchown(descriptor, -1, -1)  # changes nothing
        after = _torn_at(path)
        if after == before:
            return True
        before = after
    return False


def _torn_at(path: Path | None) -> int | None:
    """Return the size of a file whose last line has no end, None for any other."""
    if path is None:
        return None
    try:
        with path.open("rb") as file:
            if file.seek(0, os.SEEK_END) == 0:
                return None
            size = file.seek(-1, os.SEEK_END) + 1
            return size if file.read(1) != b"\n" else None
    except OSError:  # not ours to read
        return None
