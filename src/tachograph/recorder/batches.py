"""From raw events to the batches of a segment: one stream, and each batch whole or not there.

A batch relies on what those before it in its segment have told: schemas, strings, stacks. One that
was made and is not on file is the segment's last, or `restart` is called.
"""

from __future__ import annotations

import contextlib
import math
import operator
import struct
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from tachograph.errors import TraceFormatError
from tachograph.recorder.config import RecorderConfig
from tachograph.recorder.core import chains_in, columns, core
from tachograph.recorder.events import EventKind, Recorded
from tachograph.recorder.names import Name, Names, Places
from tachograph.recorder.symbols import symbols
from tachograph.trace.compact import (
    CLOCK,
    LANE,
    METADATA,
    NAME,
    STACK,
    SYMBOL,
    put_blocks,
    put_living,
)
from tachograph.trace.encode import Encoder
from tachograph.trace.events import EVENTS
from tachograph.trace.requests import END_SHIFT, REQUESTS
from tachograph.trace.schema import Field, FieldType, Schema

__all__ = [
    "SHIFT",
    "Batches",
    "fitting",
    "new_living",
    "put_names",
    "put_stack",
    "runtime_of",
]

FIRST_POOL_LANE = 16
"""From here on lanes are of threads that run jobs of executors; `loop.h` has it too."""

SHIFT = 5
"""Times are cut to 32 ns: about what reading the clock takes."""

_KINDS = {"callback": 0, "spawn": 1}
_FIELDS = {
    "int": FieldType.I64,
    "float": FieldType.F64,
    "bool": FieldType.BOOL,
    "str": FieldType.STRING,
    "bytes": FieldType.BYTES,
    "map": FieldType.STRING_MAP,
}
_END = EVENTS["TaskTerminateEvent"]  # of tasks whose rings do not tell how they ended
_INT = range(-(2**63), 2**63)
_MOST_BYTES = 512 * 1024  # of a batch of the program's own events
_MOST_LIVING = 131_072
_LIVING_BYTES = 12  # of a task in a head, at most in the long run
_MOST_NOTE = 500
_MOST_TEXT = 16_384  # characters of a text, bytes of bytes


class Batches:
    """Makes the batches of one recording.

    Args:
        config: What was asked for.
        metadata: Returns what a segment tells about the process.
        names: What numbers stand for.
        living: The tasks that live, as far as is on file.
        losses: Returns what was lost so far, by name; a segment's end tells what came in it.
    """

    def __init__(
        self,
        config: RecorderConfig,
        metadata: Callable[[], dict[str, str]],
        names: Names,
        living: core.Living | None = None,
        losses: Callable[[], Mapping[str, int]] = dict,
    ) -> None:
        self._config = config
        self._metadata = metadata
        self._names = names
        self._notes: dict[str, str] = {}
        self._living = new_living() if living is None else living
        self._losses = losses
        self._told_losses: dict[str, int] = {}
        self.untold = 0
        """Living tasks that a segment's head had no room for."""
        self._stream = Encoder(shares_stacks=True)
        self._knows_names = False  # whether the stream has those there were before
        self._lanes: set[tuple[int, int]] = set()
        self._schemas: dict[EventKind, Schema] = {}
        self._gone: list[int] = []  # tasks whose ends are told in events
        self._chains: set[int] = set()
        self._told: set[int] = set()  # addresses whose symbol stands in this segment
        self._told_stacks: set[tuple[Any, ...]] = set()  # those with all of them

    def note(self, key: str, value: str) -> None:
        """Tell a fact in this segment's metadata."""
        self._notes[key] = value[:_MOST_NOTE]

    def head(self, clean: bool) -> bytes:
        """Return what a segment begins with: clocks, metadata, every name, the tasks that live."""
        self.restart()
        encoder = self._stream
        now = time.monotonic_ns()
        encoder.event(CLOCK, now, time.time_ns())
        entries = {**self._metadata(), "segment.prior_sealed_clean": str(clean).lower()}
        encoder.event(METADATA, now, list(entries.items()))
        self._put_names(encoder, now)
        self._put_living(encoder, now)
        return encoder.cut()

    def _put_living(self, encoder: Encoder, now: int) -> None:
        """Tell where the tasks are from that began in earlier segments and go on."""
        room = self._config.file_bytes // 4 // _LIVING_BYTES
        tids = {lane.number: lane.tid for lane in core.lanes()}
        for lane, raw in self._living.spawns().items():
            if lane not in tids:
                continue
            count = len(raw) // core.EVENT_BYTES
            told = min(count, room)
            self.untold += count - told
            room -= told
            if told:
                self._tell_lane(encoder, now, lane, tids[lane])
                newest = raw[-told * core.EVENT_BYTES :]  # the likeliest to do something
                put_living(encoder, lane, SHIFT, columns(newest, SHIFT)[2])

    def tail(self, clean: bool) -> bytes:
        """Return what a sealed segment ends with."""
        encoder = self._stream = Encoder(shares_stacks=True)  # a batch before it may be lost
        if clean:  # the rings were emptied: what ended in them is known
            self._living.keep(core.task_ids())
        entries = {"segment.sealed_clean": str(clean).lower(), **self._lost(), **self._notes}
        self._notes.clear()
        encoder.event(METADATA, time.monotonic_ns(), list(entries.items()))
        return encoder.cut()

    def restart(self) -> None:
        """Rely on no batch before, as where one that was begun could not be made."""
        self._stream = Encoder(shares_stacks=True)
        self._knows_names = False
        self._lanes.clear()
        self._told.clear()
        self._told_stacks.clear()
        self._chains.clear()

    def _put_names(self, encoder: Encoder, now: int) -> None:
        """Write what numbers stand for, as far as this stream has not been told."""
        news = self._names.news()  # they are among all: those are asked for afterwards
        put_names(encoder, now, news if self._knows_names else self._names.all())
        self._knows_names = True

    def _lost(self) -> dict[str, str]:
        """Return what was lost since the segment before; of events also that none was."""
        before, now = self._told_losses, dict(self._losses())
        self._told_losses = now
        lost = {name: count - before.get(name, 0) for name, count in now.items()}
        return {
            f"tachograph.lost.{name}": str(count)
            for name, count in lost.items()
            if count or name == "events_dropped"
        }

    def of_lane(self, lane: int, tid: int, sequence: int, raw: bytes) -> bytes:
        """Return the batch of a piece of a lane's ring.

        Args:
            lane: Its number.
            tid: The system's id of its thread.
            sequence: How many events came before in this ring.
            raw: The events.
        """
        encoder = self._stream
        now = time.monotonic_ns()
        self._tell_lane(encoder, now, lane, tid)
        # Asked for after the events were read, so that each name they have is among them.
        self._put_names(encoder, now)
        self._put_stacks(encoder, now, raw)
        put_blocks(encoder, lane, sequence, SHIFT, columns(raw, SHIFT))
        return encoder.cut()

    def _tell_lane(self, encoder: Encoder, now: int, lane: int, tid: int) -> None:
        """Say whose a lane is, once a segment."""
        if (lane, tid) not in self._lanes:
            self._lanes.add((lane, tid))
            encoder.event(LANE, now, lane, tid, runtime_of(lane, self._config.loop_name))

    def done(self, lane: int, raw: bytes) -> None:
        """Take note that a piece of a lane's ring is settled: on file, or lost."""
        self._living.add(lane, raw)

    def _put_stacks(self, encoder: Encoder, now: int, raw: bytes) -> None:
        """Write where tasks waited, as far as this segment has not been told."""
        for number in chains_in(raw):
            if number not in self._chains and (places := self._names.stacks.get(number)):
                self._chains.add(number)
                put_stack(encoder, now, number, places, self._told)

    def _put_symbols(self, encoder: Encoder, event: Recorded) -> None:
        """Write what the addresses in stacks stand for that this segment has not been told."""
        for value in event.values:
            if isinstance(value, tuple) and value not in self._told_stacks:
                self._told_stacks.add(value)
                if self._told.issuperset(value):
                    continue
                for address in value:
                    put_symbol(encoder, address, self._told)

    def forget_lane(self, lane: int, tid: int) -> None:
        """Tell of a lane again if one with its number and thread id comes; this one has ended."""
        self._lanes.discard((lane, tid))
        self._living.forget_lane(lane)

    def of_events(self, events: Sequence[Recorded], start: int = 0) -> tuple[bytes, int, int]:
        """Return a batch of the program's own events, where the next starts, and how many it holds.

        An event that no batch can hold is in none.

        Args:
            events: In the order of their times.
            start: The first that is not in a batch yet.
        """
        encoder = self._stream
        count, at = 0, start
        while at < len(events) and len(encoder) <= _MOST_BYTES:
            event = events[at]
            at += 1
            schema = event.kind.schema
            values: Iterable[Any] = event.values
            if schema is None:
                schema = self._schema_of(event.kind)
                values = map(fitting, values, (kind for _, kind, _ in event.kind.fields))
            else:
                if schema is _END:
                    self._gone.append(event.values[0])
                self._put_symbols(encoder, event)
            with contextlib.suppress(TraceFormatError):
                encoder.event(schema, event.time_ns, *values)
                count += 1
        return encoder.cut(), at, count

    def events_done(self) -> None:
        """Take note that a batch of events is settled: on file, or lost.

        Their rings were emptied before, so the tasks that they tell the end of are done with.
        """
        if self._gone:
            self._living.forget(struct.pack(f"={len(self._gone)}Q", *self._gone))
            self._gone.clear()

    def _schema_of(self, kind: EventKind) -> Schema:
        schema = self._schemas.get(kind)
        if schema is None:
            # Each may be absent: what a field cannot hold is left out.
            fields = [Field(name, _FIELDS[each], True) for name, each, _ in kind.fields]
            schema = self._schemas[kind] = Schema(kind.name, tuple(fields))
        return schema

    def of_requests(self, values: tuple[Any, ...]) -> bytes:
        """Return the batch of a block of requests."""
        self._stream.event(REQUESTS, values[1] << END_SHIFT, *values)
        return self._stream.cut()


def new_living() -> core.Living:
    """Return a table of living tasks, of bounded size."""
    return core.Living(_MOST_LIVING)


def runtime_of(lane: int, loop_name: str) -> str:
    """Return the name of what a lane belongs to: the loops, or `executor`."""
    return "executor" if lane >= FIRST_POOL_LANE else loop_name


def put_names(encoder: Encoder, time_ns: int, names: Sequence[Name]) -> None:
    """Write what numbers stand for."""
    for name in names:
        encoder.event(NAME, time_ns, _KINDS[name.kind], name.number, name.text)


def put_stack(encoder: Encoder, time_ns: int, number: int, places: Places, told: set[int]) -> None:
    """Write where tasks wait that wait there, after the symbols that are not *told* yet."""
    addresses = tuple(a for place in places if (a := symbols.python(*place)))
    for address in addresses:
        put_symbol(encoder, address, told)
    encoder.event(STACK, time_ns, number, addresses)


def put_symbol(encoder: Encoder, address: int, told: set[int]) -> None:
    """Write what stands at an address unless it is *told* already."""
    if address not in told and (symbol := symbols.of(address)) is not None:
        told.add(address)
        name, file, line = symbol
        encoder.event(SYMBOL, 0, address, 0, name, 0, file, line)


def fitting(value: Any, kind: str) -> Any:
    """Return *value* as a field of *kind* takes it, or the nearest that it can hold.

    None where there is no such thing: the value is unknown. Never raises.
    """
    if value is None:
        return None
    try:
        return _FITTING[kind](value)
    except Exception:  # noqa: BLE001 -- a value's own methods may do anything
        return None


def _int(value: Any) -> int | None:
    if isinstance(value, float):
        if math.isnan(value):
            return None
        value = _INT[-1] if value > _INT[-1] else _INT[0] if value < _INT[0] else round(value)
    return min(max(operator.index(value), _INT[0]), _INT[-1])


def _float(value: Any) -> float | None:
    if isinstance(value, str | bytes | bytearray):
        return None
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def _str(value: Any) -> str:
    text = value if isinstance(value, str) else str(value)
    return text if len(text) <= _MOST_TEXT else text[: _MOST_TEXT - 1] + "…"


def _bytes(value: Any) -> bytes:
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value[:_MOST_TEXT])
    return _str(value).encode(errors="replace")


def _map(value: Any) -> list[tuple[str, str]]:
    return [(_str(key), _str(each)) for key, each in value.items()]


_FITTING: dict[str, Callable[[Any], Any]] = {
    "int": _int,
    "float": _float,
    "bool": bool,
    "str": _str,
    "bytes": _bytes,
    "map": _map,
}
