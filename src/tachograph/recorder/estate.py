"""What dead processes left, kept within a budget of its own.

Each process keeps its own directory within its budget; what it leaves at its end nobody counts any
more, and a service that is started often would fill the disk. So each start looks after the
directories of its service's dead processes: together they get what one living process may have,
and the oldest segments go first. Those that this very start recovered go last: nobody can have
read them.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from pathlib import Path

from tachograph.errors import TraceFormatError
from tachograph.recorder.home import dead_homes, segment_index
from tachograph.trace.compact import METADATA
from tachograph.trace.decode import Decoder
from tachograph.trace.files import read_pieces

__all__ = ["Estate", "keep_within", "service_of"]


@dataclass(slots=True)
class Estate:
    """What was let go.

    Attributes:
        segments_evicted: How many segments of dead processes.
        bytes_evicted: Their size.
    """

    segments_evicted: int = 0
    bytes_evicted: int = 0


@dataclass(slots=True)
class _Family:
    """The files of one segment."""

    directory: Path
    files: list[Path] = field(default_factory=list[Path])
    size: int = 0
    changed_ns: int = 0


def keep_within(
    parent: Path, own: Path, service: str, most: int, recovered: frozenset[Path]
) -> Estate:
    """Delete the oldest segments of a service's dead processes until the others fit.

    Never a file of a living process, of another service, or beside unknown files.

    Args:
        parent: Holds the directories of all processes.
        own: This process's.
        service: Name of the service, as its segments tell it.
        most: Bytes for all of them together.
        recovered: Segments that were recovered just now.

    Raises:
        OSError: *parent* cannot be read.
    """
    found = Estate()
    families = [family for dead in dead_homes(parent, own) for family in _families(dead.path)]
    if sum(family.size for family in families) <= most:
        return found
    services = {path: service_of(path) for path in {family.directory for family in families}}
    ours = [family for family in families if services[family.directory] == service]
    ours.sort(key=lambda f: (not recovered.isdisjoint(f.files), f.changed_ns, f.files))
    excess = sum(family.size for family in ours) - most
    going: dict[Path, list[_Family]] = {}
    for family in ours:
        if excess <= 0:
            break
        excess -= family.size
        going.setdefault(family.directory, []).append(family)
    for dead in dead_homes(parent, own):  # locked again: another start may be at it
        for family in going.get(dead.path, ()):
            with contextlib.suppress(OSError):
                for file in family.files:
                    file.unlink(missing_ok=True)
                found.segments_evicted += 1
                found.bytes_evicted += family.size
    return found


def _families(directory: Path) -> list[_Family]:
    found: dict[int, _Family] = {}
    with contextlib.suppress(OSError):
        for path in directory.iterdir():
            index = segment_index(path.name)
            if index is None:
                continue
            facts = path.lstat()
            family = found.setdefault(index, _Family(directory))
            family.files.append(path)
            family.size += facts.st_size
            family.changed_ns = max(family.changed_ns, facts.st_mtime_ns)
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
