"""What a process left behind when it was killed: its ring and its active segment, sealed.

The ring lies in a file that outlives the process, so the last moments are there, the step that
never ended included. What was on file already is recognised by the number that each block carries,
so nothing comes twice, and a second recovery after one that was killed itself finds nothing.
Nothing that was not read is deleted: the segments stay until a budget takes them.
"""

from __future__ import annotations

import contextlib
import gzip
import logging
import os
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

from tachograph.errors import TraceFormatError
from tachograph.recorder.batches import SHIFT, put_names, put_stack
from tachograph.recorder.core import chains_in, columns
from tachograph.recorder.home import Dead, dead_homes, segment_index
from tachograph.recorder.names import read_names
from tachograph.recorder.pipeline import new_ulid
from tachograph.trace.compact import (
    CHECKPOINTS,
    CLOCK,
    LANE,
    LIVING,
    METADATA,
    OPEN_STEP,
    PARKS,
    SPAWNS,
    STEPS,
    Spawn,
    put_blocks,
    put_living,
    raw_spawn,
    read_living,
    read_spawns,
)
from tachograph.trace.decode import Decoder
from tachograph.trace.delta import RAW_EVENT
from tachograph.trace.encode import Encoder
from tachograph.trace.schema import HEADER, Event

__all__ = ["Ring", "read_ring", "recover", "recover_all"]

_PAGE = 4_096
# magic, version, bytes of a slot, slots, lane, pid, tid, both clocks; head, drops, open step; tail
_HEADER = struct.Struct("=8s4I4Q8x5Q24xQ")
_MAGIC = b"TACHORNG"
_STEP = 1
_TYPES = {STEPS.name: _STEP, SPAWNS.name: 2, PARKS.name: 3, CHECKPOINTS.name: 4}
_TYPE_AT = 36  # in an event of a ring
_LOOP = "recovered"  # in the place of a loop's name
_MOST_SLOTS = 2**24
_BATCH = 16_384
_logger = logging.getLogger("tachograph")


@dataclass(frozen=True, slots=True)
class Ring:
    """What a ring's file holds.

    Attributes:
        lane: Its number.
        tid: The system's id of its thread.
        monotonic_ns: A reading of the monotonic clock ...
        time_ns: ... and of the wall clock at the same moment.
        first: How many events came before `raw`.
        raw: Events that may not be on file, oldest first.
        drops: Events that found no room.
        open_step: Task, start in ns and flags of the step that never ended; None if there is none.
    """

    lane: int
    tid: int
    monotonic_ns: int
    time_ns: int
    first: int
    raw: bytes
    drops: int
    open_step: tuple[int, int, int] | None


def read_ring(data: bytes) -> Ring:
    """Return what the bytes of a ring's file hold.

    Raises:
        TraceFormatError: They are no ring's.
    """
    if len(data) < _PAGE:
        msg = f"Expected a ring's header of {_PAGE} bytes, got {len(data)}."
        raise TraceFormatError(msg)
    (magic, version, width, slots, lane, _, tid, monotonic_ns, time_ns, head, drops, *rest) = (
        _HEADER.unpack_from(data)
    )
    task, start_ns, flags, tail = rest
    room = (len(data) - _PAGE) // RAW_EVENT.size
    if magic != _MAGIC or version != 1 or width != RAW_EVENT.size:
        msg = f"Expected a ring of version 1, got {magic!r}, version {version}."
        raise TraceFormatError(msg)
    if (
        not 0 < slots <= min(room, _MOST_SLOTS)
        or slots & (slots - 1)
        or not 0 <= head - tail <= slots
    ):
        msg = f"Expected {slots} slots with events {tail} to {head}, got room for {room}."
        raise TraceFormatError(msg)

    def slot(number: int) -> bytes:
        at = _PAGE + number % slots * RAW_EVENT.size
        return data[at : at + RAW_EVENT.size]

    raw = b"".join(map(slot, range(tail, head)))
    # A step is written, and only then no longer open: the process may have died between the two.
    newest = b"".join(map(slot, range(max(0, head - 2), head)))
    ends = {event[:2] for event in RAW_EVENT.iter_unpack(newest) if event[6] == _STEP}
    is_open = task and (start_ns, task) not in ends
    step = (task, start_ns, flags) if is_open else None
    return Ring(lane, tid, monotonic_ns, time_ns, tail, raw, drops, step)


def recover_all(parent: Path, own: Path | None = None) -> list[Path]:
    """Recover every dead process's directory under *parent*; return the segments that were sealed.

    Never raises: what cannot be recovered stays as it is.
    """
    sealed: list[Path] = []
    done: set[Path] = set()
    try:
        for _ in range(2):  # somebody may have looked at one in the very moment it was tried
            for dead in dead_homes(parent, own, done):
                done.add(dead.path)
                try:
                    sealed += recover(dead)
                except Exception as error:  # noqa: BLE001 -- garbage must not stop the living
                    _logger.warning("Cannot recover %s, it stays as it is: %s", dead.path, error)
    except OSError as error:
        _logger.warning("Cannot look for dead processes in %s: %s", parent, error)
    return sealed


def recover(dead: Dead) -> list[Path]:
    """Seal what a dead process left; return the segments that that made.

    Raises:
        OSError: A file cannot be read or written; what is left is whole.
    """
    path = dead.path
    files = sorted(os.listdir(path))  # noqa: PTH208
    told: list[Event] = []
    sealed: list[Path] = []
    for name in files:
        if name.endswith(".gz") and name.removesuffix(".gz") in files:
            _keep_one(path / name)
    for name in files:
        if name.endswith(".active"):
            found = _seal(path, name)
            told += found or []
            if found is not None:
                sealed.append(path / name.removesuffix(".active"))
    rings = [name for name in files if name.startswith("ring.")]
    sealed_names = [n for n in os.listdir(path) if n.endswith((".bin", ".gz"))]  # noqa: PTH208
    newest = max((segment_index(name) or 0 for name in sealed_names), default=-1)
    if not told and rings:
        told = _read(path, newest)
    if batch := _last_moments(path, rings, told):
        target = path / f"trace.{newest + 1}.bin"
        partial = target.with_name(f"{target.name}.{new_ulid()}.partial")
        partial.write_bytes(batch)
        partial.rename(target)
        sealed.append(target)
    for name in files:
        # What a partial file holds, the file it was made from holds too.
        if name in rings or name == "names" or name.endswith(".partial"):
            (path / name).unlink(missing_ok=True)
    return sealed


def _keep_one(packed: Path) -> None:
    """Of a segment that is there raw and compressed, keep the compressed file if it is whole."""
    raw = packed.with_suffix("")
    try:
        same = gzip.decompress(packed.read_bytes()) == raw.read_bytes()
    except (OSError, EOFError, zlib.error):
        same = False
    (raw if same else packed).unlink()


def _seal(path: Path, name: str) -> list[Event] | None:
    """Cut an active segment behind its last whole frame and seal it.

    Returns its events; None if there was nothing in it, which is removed.
    """
    active = path / name
    data = active.read_bytes()
    if HEADER.startswith(data):
        active.unlink()
        return None
    decoder = Decoder()
    events: list[Event] = []
    with contextlib.suppress(TraceFormatError):  # no trace: kept as it is, for whoever looks
        events = decoder.read(data)
    if decoder.truncated:
        os.truncate(active, decoder.offset)
    active.rename(path / name.removesuffix(".active"))
    return events


def _read(path: Path, index: int) -> list[Event]:
    """Return the events of a sealed segment, as far as it can be read."""
    for name, unpack in ((f"trace.{index}.bin", bytes), (f"trace.{index}.bin.gz", gzip.decompress)):
        with contextlib.suppress(OSError, EOFError, zlib.error, TraceFormatError):
            return Decoder().read(unpack((path / name).read_bytes()))
    return []


def _last_moments(path: Path, rings: list[str], told: list[Event]) -> bytes:
    """Return a segment of what only the rings know, empty if that is nothing."""
    left: list[tuple[Ring, bytes]] = []
    for name in rings:
        try:
            ring = read_ring((path / name).read_bytes())
        except (OSError, TraceFormatError) as error:
            _logger.warning("Cannot read %s of a dead process: %s", path / name, error)
            continue
        on_file = _on_file(told, ring)
        if on_file is not None:
            left.append((ring, _without(ring.raw, on_file)))
    if not any(raw or ring.open_step or ring.drops for ring, raw in left):
        return b""
    encoder = Encoder(shares_stacks=True)
    _begin(encoder, path, left[0][0], chains_in(b"".join(raw for _, raw in left)))
    born = _born(told, left)
    for ring, raw in left:
        # Also where nothing follows: it says that this ring is done.
        encoder.event(LANE, ring.monotonic_ns, ring.lane, ring.tid, _LOOP)
        if ring.drops:
            entries = [(f"lane.{ring.lane}.events_dropped", str(ring.drops))]
            encoder.event(METADATA, ring.monotonic_ns, entries)
        before = [raw_spawn(spawn) for spawn in born.get(ring.lane, [])]
        put_living(encoder, ring.lane, SHIFT, columns(b"".join(before), SHIFT)[2])
        for start in range(0, len(raw), _BATCH * RAW_EVENT.size):
            piece = raw[start : start + _BATCH * RAW_EVENT.size]
            number = ring.first + start // RAW_EVENT.size
            put_blocks(encoder, ring.lane, number, SHIFT, columns(piece, SHIFT))
        if ring.open_step is not None:
            task, start_ns, flags = ring.open_step
            encoder.event(OPEN_STEP, start_ns, ring.lane, task, start_ns, flags)
    return encoder.take()


def _begin(encoder: Encoder, path: Path, ring: Ring, wanted: list[int]) -> None:
    encoder.event(CLOCK, ring.monotonic_ns, ring.time_ns)
    entries = {
        "boot_id": path.name,
        "segment.recovered": "true",
        "tachograph.profile": "compact",  # whatever the process was asked for
    }
    encoder.event(METADATA, ring.monotonic_ns, list(entries.items()))
    with contextlib.suppress(OSError), (path / "names").open("rb") as lines:
        names, stacks = read_names(lines)
        put_names(encoder, ring.monotonic_ns, names)
        told: set[int] = set()
        for number in wanted:
            if places := stacks.get(number):
                put_stack(encoder, ring.monotonic_ns, number, places, told)


def _born(told: list[Event], left: list[tuple[Ring, bytes]]) -> dict[int, list[Spawn]]:
    """Return by lane the spawns, told in the segment before, of tasks that the rings go on with."""
    tasks = {event[1] for _, raw in left for event in RAW_EVENT.iter_unpack(raw)}
    tasks |= {ring.open_step[0] for ring, _ in left if ring.open_step is not None}
    found: dict[int, tuple[int, Spawn]] = {}
    for event in told:
        read = {LIVING.name: read_living, SPAWNS.name: read_spawns}.get(event.name)
        if read is not None:
            with contextlib.suppress(TraceFormatError):
                new = (spawn for spawn in read(event) if spawn.task in tasks)
                found |= {spawn.task: (event["lane"], spawn) for spawn in new}
    lanes: dict[int, list[Spawn]] = {}
    for task in sorted(found):
        lane, spawn = found[task]
        lanes.setdefault(lane, []).append(spawn)
    return lanes


def _on_file(told: list[Event], ring: Ring) -> dict[int, int] | None:
    """Return how many of a ring's first events are on file, by type; None for all of it.

    The drain lets go of a piece before it writes the next, so at most one piece that the ring still
    holds is on file; and not all of it, if the process died while it was written.
    """
    found: dict[int, int] = {}
    own = False
    for event in told:
        if event.name == LANE.name and event["lane"] == ring.lane:
            own = event["tid"] == ring.tid
            if own and event["loop"] == _LOOP:
                return None  # a recovery before this one wrote it
        elif (
            own
            and event.name in _TYPES
            and (event["lane"], event["sequence"]) == (ring.lane, ring.first)
        ):
            kind = _TYPES[event.name]
            found[kind] = found.get(kind, 0) + event["count"]
    return found


def _without(raw: bytes, on_file: dict[int, int]) -> bytes:
    """Return raw events without the first ones of each type that are on file."""
    if not on_file:
        return raw
    left = dict(on_file)
    kept = bytearray()
    for at in range(0, len(raw), RAW_EVENT.size):
        kind = raw[at + _TYPE_AT]
        if left.get(kind, 0) > 0:
            left[kind] -= 1
        else:
            kept += raw[at : at + RAW_EVENT.size]
    return bytes(kept)
