"""What dead processes left, kept within a budget of its own.

Each process keeps its own directory within its budget; what it leaves at its end nobody counts any
more, and a service that is started often would fill the disk. So each process looks after the
directories of its service's dead ones, at its start and whenever it has sealed a segment: together
they get what one living process may have, and the oldest segments go first. Those that its own
start recovered go last: nobody can have read them.

Several processes may look at once. One does, the others leave it to that one; and what a start is
still to recover is left to the start.
"""

from __future__ import annotations

import contextlib
import logging
import time
from dataclasses import dataclass, field
from pathlib import Path

from tachograph._base.ratelimit import RateLimit
from tachograph.errors import TraceFormatError
from tachograph.recorder.home import alone_in, boot_ids, is_dead, lock_dead, segment_index
from tachograph.trace.compact import METADATA
from tachograph.trace.decode import Decoder
from tachograph.trace.files import read_pieces

__all__ = ["Estate", "service_of"]

_SETTLED_NS = 2 * 10**9  # some systems' times of change are that coarse
_logger = logging.getLogger("tachograph")


@dataclass(slots=True)
class _Family:
    """The files of one segment; a recovery that is still to come may need them."""

    index: int
    files: list[Path] = field(default_factory=list[Path])
    size: int = 0
    changed_ns: int = 0
    is_needed: bool = False


@dataclass(slots=True)
class _Left:
    """What a dead process left, as long as its directory does not change."""

    changed_ns: int
    families: list[_Family]
    service: str | None = None
    is_asked: bool = False


class Estate:
    """Keeps what a service's dead processes left within a budget; used by one thread at a time.

    Never a file of a living process, of another service, or beside unknown files.

    Args:
        parent: Holds the directories of all processes.
        own: This process's.
        service: Name of the service, as its segments tell it.
        most: Bytes for all of them together.
        recovered: Segments that this process's start recovered.
    """

    def __init__(
        self,
        parent: Path,
        own: Path,
        service: str,
        most: int,
        recovered: frozenset[Path] = frozenset(),
    ) -> None:
        self.segments_evicted = 0
        """How many segments of dead processes were let go."""
        self.bytes_evicted = 0
        """Their size."""
        self._parent = parent
        self._own = own
        self._service = service
        self._most = most
        self._recovered = recovered
        self._left: dict[Path, _Left] = {}
        self._says = RateLimit(60)

    def keep(self) -> None:
        """Delete the oldest segments until the others fit. Never raises.

        Cheap where nothing changed: for each dead process one question to the system.
        """
        try:
            with alone_in(self._parent) as alone:
                if alone:
                    self._look()
                    self._let_go()
        except Exception as error:  # noqa: BLE001 -- what the dead left must not stop the living
            if self._says.allow():
                _logger.warning("Cannot keep dead processes' segments within the budget: %s", error)

    def _look(self) -> None:
        known, self._left = self._left, {}
        for path in boot_ids(self._parent):
            if path == self._own:
                continue
            with contextlib.suppress(OSError):  # it has gone meanwhile
                changed_ns = path.stat().st_mtime_ns
                left = known.get(path)
                if left is None or left.changed_ns != changed_ns:
                    if not is_dead(path):
                        continue
                    # What changes after this look, and at the same time by that clock, is not seen.
                    settled = time.time_ns() - changed_ns > _SETTLED_NS
                    left = _Left(changed_ns if settled else -1, _families(path))
                self._left[path] = left

    def _let_go(self) -> None:
        all_of_them = (family for left in self._left.values() for family in left.families)
        if sum(family.size for family in all_of_them) <= self._most:
            return
        ours = [
            (path, family)
            for path, left in self._left.items()
            if self._is_ours(path, left)
            for family in left.families
        ]
        excess = sum(family.size for _, family in ours) - self._most
        going: dict[Path, list[_Family]] = {}
        for path, family in sorted(ours, key=lambda each: self._rank(each[1])):
            if excess <= 0:
                break
            if not family.is_needed:
                excess -= family.size
                going.setdefault(path, []).append(family)
        for path, families in going.items():
            self._delete(path, families)

    def _is_ours(self, path: Path, left: _Left) -> bool:
        if not left.is_asked:
            left.service, left.is_asked = service_of(path), True
        return left.service == self._service

    def _rank(self, family: _Family) -> tuple[bool, int, list[Path]]:
        return not self._recovered.isdisjoint(family.files), family.changed_ns, family.files

    def _delete(self, path: Path, families: list[_Family]) -> None:
        dead = lock_dead(path)
        if dead is None:  # a start is at it, or somebody has put a file there
            return
        self._left.pop(path)  # it changes
        try:
            for family in families:
                for file in family.files:
                    file.unlink(missing_ok=True)
                self.segments_evicted += 1
                self.bytes_evicted += family.size
        except OSError:
            pass  # the next look tries again
        finally:
            dead.close()


def _families(directory: Path) -> list[_Family]:
    found: dict[int, _Family] = {}
    to_recover = False
    with contextlib.suppress(OSError):
        for path in sorted(directory.iterdir()):
            index = segment_index(path.name)
            if index is None:
                to_recover |= path.name.startswith("ring.")
                continue
            facts = path.lstat()
            family = found.setdefault(index, _Family(index))
            family.files.append(path)
            family.size += facts.st_size
            family.changed_ns = max(family.changed_ns, facts.st_mtime_ns)
            family.is_needed |= path.name.endswith(".active")
    if to_recover and found:  # of the newest a recovery reads what the rings need not tell
        found[max(found)].is_needed = True
    return list(found.values())


def service_of(directory: Path) -> str | None:
    """Return the name of the service that a directory's segments tell; None if they do not."""
    for family in _families(directory):
        for file in family.files:
            with contextlib.suppress(OSError, TraceFormatError):
                service = _service_in(file)
                if service is not None:
                    return service
    return None


def _service_in(file: Path) -> str | None:
    decoder = Decoder()
    for piece in read_pieces(file):
        for event in decoder.feed(piece):
            if event.name == METADATA.name:
                service: str | None = dict(event["entries"]).get("service")
                return service
        return None  # the metadata stand at a segment's beginning
    return None
