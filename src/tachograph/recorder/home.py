"""The directory of one process's segments: named by a boot id, locked while the process lives.

traces/abcd-4711/.lock  ring.0-4711  names  trace.7.bin.active  trace.6.bin.gz
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import time
from collections.abc import Collection, Iterator
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows: no locks, so a dead process's directory is never touched
    fcntl = None  # type: ignore[assignment]

__all__ = [
    "Home",
    "alone_in",
    "boot_ids",
    "dead_homes",
    "is_artefact",
    "is_dead",
    "lock_dead",
    "segment_index",
]

_BOOT_ID = re.compile(r"[a-z]{4}-[0-9]+")
_SEGMENT = re.compile(r"trace\.([0-9]+)\.bin(?:\.active|\.gz|(?:\.gz)?\.[0-9A-Z]{26}\.partial)?")
_OWN = re.compile(r"\.lock|names|ring\.[0-9]+-[0-9]+")


def new_boot_id() -> str:
    """Return four letters drawn from the time, and the process id."""
    ns, letters = time.time_ns(), ""
    for _ in range(4):
        ns, digit = divmod(ns, 26)
        letters += chr(ord("a") + digit)
    return f"{letters}-{os.getpid()}"


def segment_index(name: str) -> int | None:
    """Return the number of the segment that a file belongs to, None for any other file."""
    found = _SEGMENT.fullmatch(name)
    return None if found is None else int(found[1])


def is_artefact(name: str) -> bool:
    """Return whether a file of this name is one that the recorder makes."""
    return _OWN.fullmatch(name) is not None or segment_index(name) is not None


class Home:
    """A directory that this process owns: made anew, locked until it is closed.

    Args:
        parent: Holds the directories of all processes.

    Raises:
        OSError: It cannot be made or written.
    """

    def __init__(self, parent: Path) -> None:
        parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        while True:
            self.boot_id = new_boot_id()
            self.path = parent / self.boot_id
            try:
                self.path.mkdir(mode=0o700)
            except FileExistsError:
                continue
            self._lock = -1
            try:
                self._lock_it()
            except BlockingIOError:  # another took it for a dead process's in this very moment
                self.close()
            except OSError:
                self.close()
                raise
            else:
                return

    def _lock_it(self) -> None:
        self._lock = os.open(self.path / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        if fcntl is not None:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(self._lock).st_nlink == 0:  # it looked empty, and was removed
            raise BlockingIOError(errno.EAGAIN, "another process removed the directory")

    @property
    def names(self) -> Path:
        """The file of names."""
        return self.path / "names"

    def close(self) -> None:
        """Let the lock go; remove what only a living process needs. Never raises."""
        with contextlib.suppress(OSError):  # whoever removed the directory did it all
            for name in os.listdir(self.path):  # noqa: PTH208
                if _OWN.fullmatch(name):
                    (self.path / name).unlink(missing_ok=True)
            self.path.rmdir()  # if nothing was recorded
        self.forget()

    def forget(self) -> None:
        """Close the lock's file and nothing else: in a forked child, the rest is the parent's."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1


class Dead:
    """The directory of a process that is no more, locked while something is done in it.

    Args:
        path: The directory.
        lock: The file of its lock, which is held.
        made_lock: Whether that file was made for it.
    """

    def __init__(self, path: Path, lock: int, *, made_lock: bool = False) -> None:
        self.path = path
        self._lock = lock
        self._made_lock = made_lock

    def close(self) -> None:
        """Let the lock go; remove the directory if nothing is left in it."""
        with contextlib.suppress(OSError):
            empty = os.listdir(self.path) == [".lock"]  # noqa: PTH208
            if empty or self._made_lock:
                (self.path / ".lock").unlink()
            if empty:
                self.path.rmdir()
        _let_go(self._lock)


def dead_homes(parent: Path, own: Path | None, skip: Collection[Path] = ()) -> Iterator[Dead]:
    """Yield the directories of dead processes, each locked until the next is asked for.

    A directory is one if its name is a boot id, its lock is free, and it holds known files only. A
    process that ended in order has left segments and no lock. Never goes deeper; without file locks
    yields nothing.

    Args:
        parent: Holds the directories of all processes.
        own: This process's, which is none of them.
        skip: Others that are left aside.
    """
    for path in boot_ids(parent):
        dead = None if path == own or path in skip else lock_dead(path)
        if dead is not None:
            try:
                yield dead
            finally:
                dead.close()


def boot_ids(parent: Path) -> list[Path]:
    """Return the directories that are named as processes' are; none without file locks."""
    if fcntl is None or not parent.is_dir():
        return []
    return [
        p for p in sorted(parent.iterdir()) if _BOOT_ID.fullmatch(p.name) and not p.is_symlink()
    ]


def lock_dead(path: Path) -> Dead | None:
    """Return a directory with its lock held, None if it is no dead process's."""
    names = _artefacts(path)
    if fcntl is None or names is None:
        return None
    # Without a segment and a lock it may be a process's that begins in this very moment.
    made = ".lock" not in names and _has_segment(names)
    flags = os.O_RDWR | os.O_CLOEXEC | (os.O_CREAT if made else 0)
    try:
        lock = os.open(path / ".lock", flags, 0o600)
    except OSError:
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(lock).st_nlink:  # else another start was here, and has removed it
            return Dead(path, lock, made_lock=made)
    except OSError:
        pass
    os.close(lock)
    return None


def is_dead(path: Path) -> bool:
    """Return whether a directory is a dead process's, as `dead_homes` has it.

    Holds its lock for no longer than a moment, and shared: several may ask.
    """
    names = _artefacts(path)
    if fcntl is None or names is None:
        return False
    if ".lock" not in names:
        return _has_segment(names)
    try:
        lock = os.open(path / ".lock", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        return False
    _let_go(lock)
    return True


@contextlib.contextmanager
def alone_in(parent: Path) -> Iterator[bool]:
    """Tell whether no other process looks after the dead ones in here; none does meanwhile.

    Raises:
        OSError: *parent* cannot be read.
    """
    if fcntl is None:
        yield False
        return
    lock = os.open(parent, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        alone = True
    except BlockingIOError:
        alone = False
    except OSError:  # some file systems lock no directories: at worst two delete the same
        alone = True
    try:
        yield alone
    finally:
        _let_go(lock)


def _artefacts(path: Path) -> list[str] | None:
    """Return the names in a directory, None if one of them is of an unknown file."""
    names = []
    try:
        with os.scandir(path) as entries:
            for entry in entries:
                if not is_artefact(entry.name) or not entry.is_file(follow_symlinks=False):
                    return None
                names.append(entry.name)
    except OSError:
        return None
    return names


def _has_segment(names: list[str]) -> bool:
    return any(segment_index(name) is not None for name in names)


def _let_go(lock: int) -> None:
    """Close a file and its lock, which a child that was forked meanwhile would keep."""
    assert fcntl is not None
    with contextlib.suppress(OSError):
        fcntl.flock(lock, fcntl.LOCK_UN)
    os.close(lock)
