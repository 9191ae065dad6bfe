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


class Period(enum.Enum):
    """How long one file lasts: seconds, the format of its name, what the name looks like."""

    MINUTE = (60, "%Y-%m-%d-%H-%M", r"\d{4}-\d\d-\d\d-\d\d-\d\d")
    HOUR = (3_600, "%Y-%m-%d-%H", r"\d{4}-\d\d-\d\d-\d\d")


class RollingFile:
    """A target of files `<prefix>.<period>` in one directory.

    The file of the present period is opened for append at the first write in it, so quiet periods
    leave no files and two processes can share a directory: each block of whole lines is one
    `write`. A clock that is set back appends to the earlier file. Files get mode 0600, directories
    0700. A directory or file that was removed is made again.

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
        self._descriptor: int | None = None
        self._path: Path | None = None
        self._index = -1
        self._pid = 0
        self._mid_line = False
        self._torn = False
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
        cut = self._mid_line
        descriptor = self._current()
        if cut and not self._mid_line:
            # The file with the start of this line is gone; its end would be no line in the new one.
            return block.index(b"\n") + 1
        if self._torn:
            # A newline first, in the same write: nobody else's line can come in between.
            taken = os.write(descriptor, b"\n" + block) - 1
            if taken < 0:
                return 0
            self._torn = False
        else:
            taken = os.write(descriptor, block)
        self._mid_line = taken > 0 and block[taken - 1] != 0x0A
        return max(0, taken)

    def flush(self) -> None:
        """Nothing to do: each write went to the system already."""

    def close(self) -> None:
        """Close the file; a line that was given up in its midst is ended for the next writer."""
        if self._mid_line and self._descriptor is not None:
            with contextlib.suppress(OSError):
                os.write(self._descriptor, b"\n")
            self._mid_line = False
        self._release()

    def _current(self) -> int:
        index = clock.time_ns() // 1_000_000_000 // self._seconds
        forked = self._pid != os.getpid()
        # A line that was cut by a full disk is ended in the file it began in.
        if self._descriptor is None or forked or (index != self._index and not self._mid_line):
            self._release()
            return self._open()
        if os.fstat(self._descriptor).st_nlink == 0:  # removed: nobody would ever read it
            self._release()
            self._mid_line = False
            return self._open()
        return self._descriptor

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
        self._index = seconds // self._seconds
        self._pid = os.getpid()
        self._mid_line = False
        self._torn = _ends_in_a_line(path)
        try:
            self._retention.apply(self._directory, self._pattern, path)
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


def _ends_in_a_line(path: Path) -> bool:
    """Tell whether the last line of a file has no end: a process died while it wrote.

    Blocks of whole lines are written by one call each, which other processes see at once and whole;
    so no living writer shows up here, except one whose disk is full in the midst of a line.
    """
    try:
        with path.open("rb") as file:
            if file.seek(0, os.SEEK_END) == 0:
                return False
            file.seek(-1, os.SEEK_END)
            return file.read(1) != b"\n"
    except OSError:  # not ours to read
        return False
