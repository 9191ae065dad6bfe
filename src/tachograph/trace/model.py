"""What a trace says, whichever profile it was written in.

Steps, wakes and parks are tables: one array of 64-bit integers per column, because a minute of a
busy service has millions. `UNKNOWN` stands in an array for what is not known; a row has `None`.
All times are nanoseconds of the monotonic clock.
"""

from __future__ import annotations

import enum
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, ClassVar, Generic, NamedTuple, TypeVar

from tachograph.errors import TraceFormatError
from tachograph.trace.delta import UNKNOWN
from tachograph.trace.schema import Annotation, Event

__all__ = [
    "JOB_PREFIX",
    "NO_LANE",
    "UNKNOWN",
    "WAKER_NUMBER",
    "WAKER_SHIFT",
    "Anchor",
    "Checkpoint",
    "Checkpoints",
    "Dump",
    "Lane",
    "OpenStep",
    "Outcome",
    "Park",
    "Parks",
    "Sample",
    "Step",
    "StepFlag",
    "Steps",
    "Symbol",
    "Table",
    "Task",
    "Trace",
    "Wake",
    "Waker",
    "Wakes",
]

WAKER_SHIFT = 60
WAKER_NUMBER = (1 << WAKER_SHIFT) - 1
"""What of a waker is its number; the kind stands above."""

JOB_PREFIX = "executor:"
"""What the location of a job begins with: of what a loop gives to a thread."""

NO_LANE = 255
"""The lane of what no lane did: a wake from another thread, a sample of one."""


class StepFlag(enum.IntFlag):
    """What is particular about a step, as blocks write it."""

    CALLBACK = 4  # a plain callback: its task is the id of all callbacks of its name
    TIMER = 8  # called by the clock
    EAGER = 16  # the first step of a task that ran at once, within its creator's
    CONTINUED = 32  # the rest of a step that another one interrupted
    RETURNED = 64  # the task ended with this step
    RAISED = 128
    CANCELLED = 192


class Waker(enum.IntEnum):
    """What put a task on the ready queue: the kind of a waker, above its number."""

    TASK = 0  # number 0: unknown
    CALLBACK = 1
    IO = 2
    TIMER = 3
    THREAD = 4

    def of(self, number: int = 0) -> int:
        """Return this kind with the number of a task, of a group of callbacks or of a thread."""
        return self << WAKER_SHIFT | number


class Outcome(enum.IntEnum):
    """How a task ended."""

    RETURNED = 0
    RAISED = 1
    CANCELLED = 2
    LOST = 3  # destroyed while it was pending


class Step(NamedTuple):
    """One run of a task or callback by the loop.

    `delay_ns` is the time from wake to start, `waker` a `Waker` and a number, 0 if unknown, `depth`
    the length of the ready queue, `stack` the place in `Trace.stacks` of where the task was
    suspended before, 0 for none.
    """

    lane: int
    start_ns: int
    duration_ns: int
    delay_ns: int | None
    task: int
    waker: int
    depth: int
    flags: int
    stack: int = 0

    @property
    def end_ns(self) -> int:
        """When it ended."""
        return self.start_ns + self.duration_ns


class Park(NamedTuple):
    """One sleep of a loop in its selector.

    `gil_wait_ns` is the time from the selector's return to the first byte code, `events` how many
    files were ready.
    """

    lane: int
    start_ns: int
    duration_ns: int
    gil_wait_ns: int | None
    events: int | None


class Checkpoint(NamedTuple):
    """How long a lane's thread ran so far, and how long it waited for a processor."""

    lane: int
    time_ns: int
    cpu_ns: int
    waited_ns: int | None


class Wake(NamedTuple):
    """A task put on the ready queue; `lane` is where that was done, `waker` a task's id or 0."""

    lane: int
    time_ns: int
    waker: int
    woken: int


class OpenStep(NamedTuple):
    """A step that was going on when the trace ends."""

    lane: int
    task: int
    start_ns: int
    flags: int


class Lane(NamedTuple):
    """The thread of a lane, and the name of its loop; `None` is what the trace does not say."""

    tid: int | None
    loop: str | None = None


class Anchor(NamedTuple):
    """The two clocks read at one moment."""

    monotonic_ns: int
    realtime_ns: int


class Sample(NamedTuple):
    """A stack taken of a thread: on CPU (source 0) or off it (source 1)."""

    time_ns: int
    lane: int
    tid: int
    source: int
    frames: tuple[int, ...]
    thread_name: str | None
    task: int | None


class Dump(NamedTuple):
    """Where a suspended task awaits, leaf first."""

    time_ns: int
    task: int
    frames: tuple[int, ...]


class Symbol(NamedTuple):
    """What stands at a code address."""

    name: str
    file: str
    line: int | None
    inline_depth: int


Row = TypeVar("Row", bound=tuple[Any, ...])


class Table(Generic[Row]):
    """Columns of equal length, and rows made of them when asked."""

    row: ClassVar[Any]
    columns: ClassVar[tuple[str, ...]]

    def __init__(self, rows: Iterable[Row] = ()) -> None:
        for name in self.columns:
            setattr(self, name, array("q"))
        for row in rows:
            self.append(row)

    def __len__(self) -> int:
        return len(getattr(self, self.columns[0]))

    def __getitem__(self, n: int) -> Row:
        values = (getattr(self, name)[n] for name in self.columns)
        row: Row = self.row._make(None if value == UNKNOWN else value for value in values)
        return row

    def __iter__(self) -> Iterator[Row]:
        make = self.row._make
        for values in zip(*(getattr(self, name) for name in self.columns), strict=True):
            yield make(
                [None if v == UNKNOWN else v for v in values] if UNKNOWN in values else values
            )

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Table):
            return NotImplemented
        mine: list[Any] = [getattr(self, name) for name in self.columns]
        return self.columns == other.columns and mine == [
            getattr(other, name) for name in other.columns
        ]

    __hash__ = None  # type: ignore[assignment]  # tables grow

    def append(self, row: Row) -> None:
        """Append *row*."""
        for name, value in zip(self.columns, row, strict=True):
            getattr(self, name).append(UNKNOWN if value is None else value)

    def extend(self, columns: Iterable[Iterable[int]]) -> None:
        """Append many rows, given as their columns in order.

        Raises:
            TraceFormatError: A number has more than 63 bits, which no time or id has.
        """
        size = len(self)
        try:
            for name, values in zip(self.columns, columns, strict=True):
                getattr(self, name).extend(array("q", values))
        except OverflowError as error:
            for name in self.columns:
                del getattr(self, name)[size:]
            raise TraceFormatError(
                "Expected times and ids below 2^63, got a larger one."
            ) from error

    def sort(self, *keys: str) -> None:
        """Order the rows by the columns *keys*; rows that are equal there keep their order."""
        by = list(zip(*(getattr(self, key) for key in keys), strict=True))
        if all(a <= b for a, b in pairwise(by)):
            return
        order = sorted(range(len(by)), key=by.__getitem__)
        for name in self.columns:
            values = getattr(self, name)
            setattr(self, name, array("q", [values[n] for n in order]))


class Steps(Table[Step]):
    """All steps, by lane and start."""

    row = Step
    columns = Step._fields
    lane: array[int]
    start_ns: array[int]
    duration_ns: array[int]
    delay_ns: array[int]
    task: array[int]
    waker: array[int]
    depth: array[int]
    flags: array[int]
    stack: array[int]


class Parks(Table[Park]):
    """All parks, by lane and start."""

    row = Park
    columns = Park._fields
    lane: array[int]
    start_ns: array[int]
    duration_ns: array[int]
    gil_wait_ns: array[int]
    events: array[int]


class Checkpoints(Table[Checkpoint]):
    """All checkpoints, by lane and time."""

    row = Checkpoint
    columns = Checkpoint._fields
    lane: array[int]
    time_ns: array[int]
    cpu_ns: array[int]
    waited_ns: array[int]


class Wakes(Table[Wake]):
    """All wakes of tasks, by time."""

    row = Wake
    columns = Wake._fields
    lane: array[int]
    time_ns: array[int]
    waker: array[int]
    woken: array[int]


@dataclass(slots=True)
class Task:
    """What is known of a task; `None` is what the trace does not say.

    A group of callbacks is a task with the flag for it, which has a location and nothing else.
    `began_before` says that its spawn, though known, is no part of what was read.
    """

    task: int
    location: str | None = None
    name: str | None = None
    parent: int | None = None
    lane: int | None = None
    spawn_ns: int | None = None
    end_ns: int | None = None
    outcome: int | None = None
    flags: int = 0
    began_before: bool = False


@dataclass
class Trace:
    """Everything that was read.

    `events` are all that none of the tables above holds, as they were read and in their order;
    samples, dumps, anchors, metadata and symbols are made of them. `forgiven` counts what could not
    be resolved or made no sense. `anchor_guessed` says that no clock was told, so that the one
    anchor is the newest event at the time of the file's last change.
    """

    steps: Steps = field(default_factory=Steps)
    parks: Parks = field(default_factory=Parks)
    wakes: Wakes = field(default_factory=Wakes)
    checkpoints: Checkpoints = field(default_factory=Checkpoints)
    open_steps: list[OpenStep] = field(default_factory=list[OpenStep])
    lanes: dict[int, Lane] = field(default_factory=dict[int, Lane])
    tasks: dict[int, Task] = field(default_factory=dict[int, Task])
    stacks: list[tuple[int, ...]] = field(default_factory=lambda: [()])
    events: list[Event] = field(default_factory=list[Event])
    samples: list[Sample] = field(default_factory=list[Sample])
    dumps: list[Dump] = field(default_factory=list[Dump])
    anchors: list[Anchor] = field(default_factory=list[Anchor])
    metadata: dict[str, str] = field(default_factory=dict[str, str])
    symbols: dict[int, list[Symbol]] = field(default_factory=dict[int, "list[Symbol]"])
    annotations: dict[str, list[Annotation]] = field(default_factory=dict[str, "list[Annotation]"])
    anchor_guessed: bool = False
    truncated: bool = False
    corrupt: bool = False
    problems: list[TraceFormatError] = field(default_factory=list[TraceFormatError])
    forgiven: Counter[str] = field(default_factory=Counter[str])
