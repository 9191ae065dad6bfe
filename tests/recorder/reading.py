"""Read segments back with the strict decoder."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from tachograph.recorder.home import segment_index
from tachograph.trace.decode import Decoder
from tachograph.trace.delta import UNKNOWN, rows
from tachograph.trace.events import EVENTS
from tachograph.trace.files import read_bytes
from tachograph.trace.schema import Event

_BLOCKS = ("tacho:Steps", "tacho:Parks", "tacho:Spawns", "tacho:Checkpoints")


class Step(NamedTuple):
    """A step, with its end and the moment it was made ready, None where that is not known."""

    start_ns: int
    end_ns: int
    queued_ns: int | None
    task: int
    waker: int
    queue: int
    flags: int
    chain: int = 0


class Park(NamedTuple):
    """A wait for files."""

    start_ns: int
    woke_ns: int
    end_ns: int
    files: int


class Spawn(NamedTuple):
    """The beginning of a task."""

    time_ns: int
    task: int
    waker: int
    name: int
    flags: int


def read_steps(block: tuple[int | bytes, ...], shift: int) -> list[Step]:
    """Return the steps of the columns that `delta.columns` makes."""
    return [
        Step(start, start + span, None if delay == UNKNOWN else start - delay, *rest)
        for start, span, delay, *rest in zip(*rows(0, block, shift), strict=True)
    ]


def _read_parks(block: tuple[int | bytes, ...], shift: int) -> list[Park]:
    return [
        Park(start, start + span, start + span + max(0, lock), files)
        for start, span, lock, files in zip(*rows(1, block, shift), strict=True)
    ]


def _read_spawns(block: tuple[int | bytes, ...], shift: int) -> list[Spawn]:
    return [Spawn(*row) for row in zip(*rows(2, block, shift), strict=True)]


def _read_checkpoints(block: tuple[int | bytes, ...], shift: int) -> list[tuple[int, ...]]:
    return list(zip(*rows(3, block, shift), strict=True))


_READERS: dict[str, Callable[..., list[Any]]] = dict(
    zip(_BLOCKS, (read_steps, _read_parks, _read_spawns, _read_checkpoints), strict=True)
)


@dataclass
class Told:
    """What one or more segments tell.

    Attributes:
        steps: Each lane's, by its number, in their order; so are `parks` and `spawns`.
        events: How many events of rings there are, checkpoints too.
        lanes: Thread id and loop name of each lane.
        open_steps: Task, start and flags of steps that never ended.
        metadata: The entries, a later one over an earlier.
        names: Texts by kind and number.
        sources: Events of the recorder's own sources.
        own: All other events.
    """

    steps: dict[int, list[Step]] = field(default_factory=dict)
    parks: dict[int, list[Park]] = field(default_factory=dict)
    spawns: dict[int, list[Spawn]] = field(default_factory=dict)
    events: int = 0
    lanes: dict[int, tuple[int, str]] = field(default_factory=dict)
    open_steps: list[tuple[int, int, int]] = field(default_factory=list)
    metadata: dict[str, str] = field(default_factory=dict)
    names: dict[tuple[int, int], str] = field(default_factory=dict)
    sources: list[Event] = field(default_factory=list)
    own: list[Event] = field(default_factory=list)

    def callback_steps(self, ending: str) -> int:
        """Return how many steps a callback whose name ends so has."""
        numbers = {
            number
            for (kind, number), text in self.names.items()
            if kind == 0 and text.endswith(ending)
        }
        return sum(s.task in numbers for steps in self.steps.values() for s in steps if s.flags & 4)


def names_in(directory: Path) -> list[str]:
    """Return the names of what is in a directory, sorted."""
    return sorted(path.name for path in directory.iterdir())


def segments(home: Path) -> list[Path]:
    """Return the segments of a process in their order."""
    found = [path for path in home.iterdir() if segment_index(path.name) is not None]
    return sorted(found, key=lambda path: (segment_index(path.name) or 0, path.name))


def decode(path: Path) -> list[Event]:
    """Return the events of a segment; any deviation from the format raises."""
    return Decoder(strict=True).read(read_bytes(path))


def tell(paths: Iterable[Path]) -> Told:
    """Return what segments tell; an event before its lane's is an error."""
    told = Told()
    for path in paths:
        here: dict[int, int] = {}
        for event in decode(path):
            match event.name:
                case "tacho:Lane":
                    here[event["lane"]] = event["tid"]
                    told.lanes[event["lane"]] = (event["tid"], event["loop"])
                case "tacho:Name":
                    told.names[event["kind"], event["number"]] = event["text"]
                case "tacho:OpenStep":
                    told.open_steps.append((event["task"], event["start_ns"], event["flags"]))
                case "SegmentMetadataEvent":
                    told.metadata |= dict(event["entries"])
                case "ClockSyncEvent" | "tacho:Living":
                    pass
                case name if name in _READERS:
                    assert event["lane"] in here, f"{path.name}: a block before its lane"
                    _block(told, event)
                case name if name in EVENTS:
                    told.sources.append(event)
                case _:
                    told.own.append(event)
    return told


def _block(told: Told, event: Event) -> None:
    head = {"lane", "sequence", "shift", "count", "base"}
    columns = [value for name, value in event.as_dict().items() if name not in head]
    found = _READERS[event.name]((event["count"], event["base"], *columns), event["shift"])
    assert event["count"] == len(found)
    told.events += len(found)
    lanes: dict[str, dict[int, list[Any]]] = {
        "tacho:Steps": told.steps,
        "tacho:Parks": told.parks,
        "tacho:Spawns": told.spawns,
    }
    if event.name in lanes:
        lanes[event.name].setdefault(event["lane"], []).extend(found)
