"""A small file that is always replaced as a whole, away from the caller's thread.

Readers see the old text or the new one, never a part: the new one is written beside it and renamed
over it. Several processes may update one file; they take turns by a lock on the directory.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from tachograph._base.forks import tell_in_children
from tachograph._base.ratelimit import warn_once

__all__ = ["Document"]

try:
    import fcntl
except ImportError:  # Windows: several processes may overwrite each other's update
    fcntl = None  # type: ignore[assignment]


class Document:
    """A file that `update` rewrites in the background.

    Args:
        path: Where it is. Its directory is created when missing.
        render: From the present text (None if there is no file) to the new one.
    """

    def __init__(self, path: Path, render: Callable[[bytes | None], bytes]) -> None:
        self._path = path
        self._render = render
        self.forget_parent()
        tell_in_children(self)
        self.failures = 0
        """How often a rewrite failed; the next `update` or `flush` tries again."""

    def forget_parent(self) -> None:
        """Begin anew in a forked child: what the parent is writing is the parent's."""
        self._lock = threading.Lock()
        self._idle = threading.Condition(self._lock)
        self._wanted = False
        self._running = False

    @property
    def path(self) -> Path:
        """Where the file is."""
        return self._path

    def update(self) -> None:
        """Rewrite the file soon. Returns at once, never raises."""
        with self._lock:
            self._wanted = True
            if self._running:
                return
            self._running = True
        try:
            threading.Thread(target=self._work, name="tachograph-document", daemon=True).start()
        except RuntimeError:  # the interpreter is shutting down: `flush` does the work
            with self._lock:
                self._running = False

    def flush(self, timeout: float) -> bool:
        """Wait at most *timeout* seconds until every update is on disk; tell whether it is."""
        with self._lock:
            done = self._idle.wait_for(lambda: not self._running, timeout)
            if not done or not self._wanted:
                return done
        self._write()
        with self._lock:
            return not self._wanted

    def _work(self) -> None:
        while True:
            ok = self._write()
            with self._lock:
                if not self._wanted or not ok:
                    self._running = False
                    self._idle.notify_all()
                    return

    def _write(self) -> bool:
        with self._lock:
            self._wanted = False
        try:
            _replace(self._path, self._render)
        except Exception as error:  # noqa: BLE001 -- telemetry never raises into the application
            with self._lock:
                self.failures += 1
                self._wanted = True
            warn_once(f"document {self._path}", f"Cannot write {self._path}: {error}")
            return False
        return True


def _replace(path: Path, render: Callable[[bytes | None], bytes]) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _turn(path.parent):
        try:
            existing = path.read_bytes()
        except FileNotFoundError:
            existing = None
        text = render(existing)
        if text == existing:
            return
        beside = path.with_name(f".{path.name}.{os.getpid()}")
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(text)
            beside.replace(path)
        except BaseException:
            beside.unlink(missing_ok=True)
            raise


@contextlib.contextmanager
def _turn(directory: Path) -> Iterator[None]:
    if fcntl is None:
        yield
        return
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        # Said aloud, for a child that was forked meanwhile has the descriptor too.
        fcntl.flock(descriptor, fcntl.LOCK_UN)
        os.close(descriptor)
