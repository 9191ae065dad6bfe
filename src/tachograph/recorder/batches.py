"""From raw events to the batches of a segment: each one a stream of its own, whole or not there."""

from __future__ import annotations

import contextlib
import math
import operator
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from tachograph.errors import TraceFormatError
from tachograph.recorder.config import RecorderConfig
from tachograph.recorder.core import columns
from tachograph.recorder.events import EventKind, Recorded
from tachograph.recorder.names import Name, Names
from tachograph.trace.compact import CLOCK, LANE, METADATA, NAME, put_blocks
from tachograph.trace.encode import Encoder
from tachograph.trace.schema import Field, FieldType, Schema

__all__ = ["SHIFT", "Batches", "fitting", "put_names"]

SHIFT = 3
"""Times are cut to 8 ns: a third of what reading the clock takes."""

_KINDS = {"callback": 0, "spawn": 1}
_FIELDS = {
    "int": FieldType.I64,
    "float": FieldType.F64,
    "bool": FieldType.BOOL,
    "str": FieldType.STRING,
    "bytes": FieldType.BYTES,
    "map": FieldType.STRING_MAP,
}
_INT = range(-(2**63), 2**63)
_MOST_BYTES = 512 * 1024  # of a batch of the program's own events
_MOST_NOTE = 500
_MOST_TEXT = 16_384  # characters of a text, bytes of bytes


class Batches:
    """Makes the batches of one recording.

    Args:
        config: What was asked for.
        metadata: Returns what a segment tells about the process.
        names: What numbers stand for.
    """

    def __init__(
        self, config: RecorderConfig, metadata: Callable[[], dict[str, str]], names: Names
    ) -> None:
        self._config = config
        self._metadata = metadata
        self._names = names
        self._notes: dict[str, str] = {}
        self._lanes: set[tuple[int, int]] = set()
        self._schemas: dict[EventKind, Schema] = {}

    def note(self, key: str, value: str) -> None:
        """Tell a fact in this segment's metadata."""
        self._notes[key] = value[:_MOST_NOTE]

    def head(self, clean: bool) -> bytes:
        """Return what a segment begins with: the clocks, the metadata, and every name so far."""
        self._lanes.clear()
        encoder = Encoder()
        now = time.monotonic_ns()
        encoder.event(CLOCK, now, time.time_ns())
        entries = {**self._metadata(), "segment.prior_sealed_clean": str(clean).lower()}
        encoder.event(METADATA, now, list(entries.items()))
        put_names(encoder, now, self._names.all())
        return encoder.take()

    def tail(self, clean: bool) -> bytes:
        """Return what a sealed segment ends with."""
        encoder = Encoder()
        entries = {"segment.sealed_clean": str(clean).lower(), **self._notes}
        self._notes.clear()
        encoder.event(METADATA, time.monotonic_ns(), list(entries.items()))
        return encoder.take()

    def of_lane(self, lane: int, tid: int, sequence: int, raw: bytes) -> bytes:
        """Return the batch of a piece of a lane's ring.

        Args:
            lane: Its number.
            tid: The system's id of its thread.
            sequence: How many events came before in this ring.
            raw: The events.
        """
        encoder = Encoder()
        now = time.monotonic_ns()
        if (lane, tid) not in self._lanes:
            self._lanes.add((lane, tid))
            encoder.event(LANE, now, lane, tid, self._config.loop_name)
        # Asked for after the events were read, so that each name they have is among them.
        put_names(encoder, now, self._names.news())
        put_blocks(encoder, lane, sequence, SHIFT, columns(raw, SHIFT))
        return encoder.take()

    def forget_lane(self, lane: int, tid: int) -> None:
        """Tell of a lane again if one with its number and thread id comes; this one has ended."""
        self._lanes.discard((lane, tid))

    def of_events(self, events: Sequence[Recorded]) -> Iterator[tuple[bytes, int]]:
        """Yield batches of events of the program's own, with how many each holds.

        An event that no batch can hold is in none.
        """
        encoder, count = Encoder(), 0
        for event in sorted(events, key=lambda each: each.time_ns):
            schema = self._schemas.get(event.kind)
            if schema is None:
                # Each may be absent: what a field cannot hold is left out.
                fields = [Field(name, _FIELDS[kind], True) for name, kind, _ in event.kind.fields]
                schema = self._schemas[event.kind] = Schema(event.kind.name, tuple(fields))
            kinds = [kind for _, kind, _ in event.kind.fields]
            values = map(fitting, event.values, kinds)
            with contextlib.suppress(TraceFormatError):
                encoder.event(schema, event.time_ns, *values)
                count += 1
            if len(encoder) > _MOST_BYTES:
                yield encoder.take(), count
                count = 0
        if count:
            yield encoder.take(), count


def put_names(encoder: Encoder, time_ns: int, names: Sequence[Name]) -> None:
    """Write what numbers stand for."""
    for name in names:
        encoder.event(NAME, time_ns, _KINDS[name.kind], name.number, name.text)


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
