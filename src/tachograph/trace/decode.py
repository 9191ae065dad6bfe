"""Bytes to events: a `Decoder` is fed pieces of a file, in order and of any size.

Strategy: a frame is read whole or not at all. When its bytes are not there yet, the decoder
remembers where the frame begins and starts it again with the next piece; when it makes no sense,
the decoder keeps what it has read and stops, because a frame has no length to skip it by.

Lenient is for analysis: damage ends the reading, is marked, and costs only what comes after it.
Strict is for tests: any deviation raises `TraceFormatError` with the offset of its frame. Garbage
either reads or raises that error, never another.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

from tachograph.errors import TraceFormatError
from tachograph.trace.schema import (
    HEADER,
    MAGIC,
    MOST_PATH,
    OPTIONAL,
    VERSION,
    Annotation,
    Event,
    Field,
    FieldType,
    FrameTag,
    Pools,
    Schema,
)
from tachograph.trace.values import (
    READERS,
    Context,
    Reader,
    Short,
    read_frames,
    read_leb,
    read_text,
    read_u16,
    read_u32,
)

__all__ = ["Decoder"]

U64 = struct.Struct("<Q").unpack_from


class Decoder:
    """Read events from the bytes of a trace.

    `feed()` pieces and `close()`, or `read()` the whole. Afterwards `offset` is the end of the last
    whole frame, `truncated` and `corrupt` say how the input ended, and `problem` why.

    Args:
        strict: Raise at the first deviation instead of marking and counting it.
    """

    def __init__(self, *, strict: bool = False) -> None:
        self.strict = strict
        self.truncated = False
        self.corrupt = False
        self.problem: TraceFormatError | None = None
        self.offset = 0
        self.frames: Counter[str] = Counter()
        self.annotations: dict[str, list[Annotation]] = {}
        self._context = Context(strict=strict)
        self._schemas: dict[int, Schema] = {}
        self._plans: dict[int, Plan] = {}
        self._base = 0
        self._data = b""
        self._begun = False
        self._events: list[Event] = []
        self._frame_readers: dict[int, Callable[[bytes, int], int]] = {
            FrameTag.SCHEMA: self._schema,
            FrameTag.EVENT: self._event,
            FrameTag.STRINGS: self._strings,
            FrameTag.STACKS: self._stacks,
            FrameTag.RESET: self._reset,
            FrameTag.ANNOTATIONS: self._annotations,
            FrameTag.PATH: self._path,
            MAGIC[0]: self._header,
        }

    @property
    def forgiven(self) -> Counter[str]:
        """How often what was forgiven: unresolved strings and stacks, invalid UTF-8, and so on."""
        return self._context.forgiven

    def read(self, data: bytes) -> list[Event]:
        """Read the whole of *data* and return its events."""
        return self.feed(data) + self.close()

    def feed(self, data: bytes) -> list[Event]:
        """Read the next piece and return the events that it completes.

        Raises:
            TraceFormatError: The input is no trace; when strict, anything that is not as it should
                be.
        """
        if self.corrupt:
            return []
        data = self._data + bytes(data)
        at = 0
        try:
            if not self._begun:
                at = self._first_header(data)
            at = self._frames(data, at)
        finally:
            self._data = b"" if self.corrupt else data[at:]
        events, self._events = self._events, []
        return events

    def close(self) -> list[Event]:
        """Say that no more comes; mark the input as cut if it ends within a frame."""
        if self.corrupt:
            return []
        if not self._begun:
            raise TraceFormatError(
                f"Expected a trace, which begins with {HEADER.hex(' ')}, "
                f"got {len(self._data)} bytes.",
                offset=0,
            )
        if self._data:
            self.truncated = True
            what = "zeros" if not self._data.strip(b"\0") else f"{len(self._data)} bytes of one"
            self.problem = TraceFormatError(
                f"Expected a whole frame before the end of the input, got {what}.",
                offset=self.offset,
            )
            self._data = b""
            if self.strict:
                raise self.problem
        return []

    def _first_header(self, data: bytes) -> int:
        if not MAGIC.startswith(data[: len(MAGIC)]):
            raise TraceFormatError(
                f"Expected a trace, which begins with {HEADER.hex(' ')}, "
                f"got {data[: len(HEADER)].hex(' ')}. Is the file another format, or compressed "
                "otherwise than with gzip?",
                offset=0,
            )
        if len(data) < len(HEADER):
            return 0
        try:
            at = self._header(data, 1)
        except TraceFormatError as error:
            raise TraceFormatError(str(error), offset=0) from error
        self._context.settle()
        self._begun = True
        self.offset = at
        return at

    def _frames(self, data: bytes, at: int) -> int:
        size = len(data)
        first = self.offset - at
        readers = self._frame_readers
        context = self._context
        try:
            while at < size and self._begun:
                reader = readers.get(data[at])
                if reader is None:
                    if not data[at:].strip(b"\0"):
                        break  # the rest is padding, unless more comes
                    raise TraceFormatError(f"Expected the tag of a frame, got {data[at]:#04x}.")
                at = reader(data, at + 1)
                if context.pending:
                    context.settle()
        except Short:
            context.pending.clear()
        except TraceFormatError as error:
            self.corrupt = True
            self.problem = TraceFormatError(str(error), offset=first + at)
            if self.strict:
                self.offset = first + at
                raise self.problem from error
        self.offset = first + at
        return at

    def _header(self, data: bytes, at: int) -> int:
        rest = data[at : at + len(HEADER) - 1]
        if not MAGIC[1:].startswith(rest[: len(MAGIC) - 1]):
            raise TraceFormatError(
                f"Expected a header or a frame, got {MAGIC[:1].hex()} {rest.hex(' ')}."
            )
        if len(rest) < len(HEADER) - 1:
            raise Short
        if rest[-1] != VERSION:
            self._context.forgive(
                "unknown_versions", f"Expected version {VERSION} of the format, got {rest[-1]}."
            )
        self._schemas, self._plans, self._base = {}, {}, 0
        self._context.pools = Pools()
        self.frames["headers"] += 1
        return at + len(rest)

    def _schema(self, data: bytes, at: int) -> int:
        type_id, at = read_u16(data, at)
        name, at = self._name(data, at)
        if at >= len(data):
            raise Short
        timestamp = data[at] != 0
        count, at = read_u16(data, at + 1)
        fields: list[Field] = []
        for _ in range(count):
            field, at = self._name(data, at)
            if at >= len(data):
                raise Short
            kind = data[at] & ~OPTIONAL
            if kind not in READERS:
                raise TraceFormatError(
                    f"Expected the type of `{name}.{field}` to be from 1 to 15, got {kind}."
                )
            fields.append(Field(field, FieldType(kind), bool(data[at] & OPTIONAL)))
            at += 1
        schema = Schema(name, tuple(fields), timestamp)
        if self._schemas.setdefault(type_id, schema) != schema:
            self._context.forgive(
                "redefined_types", f"Expected type {type_id} to stay `{name}`, got another schema."
            )
            self._schemas[type_id] = schema
        self._plans[type_id] = Plan(schema, [(READERS[f.type], f.optional) for f in fields])
        self.frames["schemas"] += 1
        return at

    def _name(self, data: bytes, at: int) -> tuple[str, int]:
        length, at = read_u16(data, at)
        return read_text(data, at, length, self._context)

    def _event(self, data: bytes, at: int) -> int:
        type_id, at = read_u16(data, at)
        plan = self._plans.get(type_id)
        if plan is None:
            raise TraceFormatError(f"Expected an event of a known type, got type {type_id}.")
        timestamp = None
        if plan.schema.timestamp:
            if at + 3 > len(data):
                raise Short
            timestamp = self._base + int.from_bytes(data[at : at + 3], "little")
            at += 3
        context = self._context
        values: list[Any] = []
        for reader, optional in plan.readers:
            if optional:
                if at >= len(data):
                    raise Short
                prefix = data[at]
                at += 1
                if prefix == 0:
                    values.append(None)
                    continue
                if prefix > 1:
                    context.forgive(
                        "odd_prefixes", f"Expected 0 or 1 before a value, got {prefix}."
                    )
            value, at = reader(data, at, context)
            values.append(value)
        if timestamp is not None:
            self._base = timestamp
        self._events.append(Event(plan.schema, timestamp, tuple(values), context.pools))
        self.frames["events"] += 1
        return at

    def _strings(self, data: bytes, at: int) -> int:
        count, at = read_u32(data, at)
        entries: dict[int, str] = {}
        for _ in range(count):
            pool_id, at = read_u32(data, at)
            length, at = read_u32(data, at)
            entries[pool_id], at = read_text(data, at, length, self._context)
        self._context.pools.strings.update(entries)
        self.frames["string_pools"] += 1
        return at

    def _stacks(self, data: bytes, at: int) -> int:
        count, at = read_u32(data, at)
        entries: dict[int, tuple[int, ...]] = {}
        for _ in range(count):
            pool_id, at = read_u32(data, at)
            entries[pool_id], at = read_frames(data, at, self._context)
        self._context.pools.stacks.update(entries)
        self.frames["stack_pools"] += 1
        return at

    def _path(self, data: bytes, at: int) -> int:
        pool_id, at = read_leb(data, at)
        outer, at = read_leb(data, at)
        count, at = read_leb(data, at)
        pools = self._context.pools
        depth = pools.depth(outer - 1)
        if not 0 < count <= MOST_PATH - depth:
            raise TraceFormatError(
                f"Expected a stack of 1 to {MOST_PATH} frames, got {depth} and {count} more."
            )
        if at + 8 * count > len(data):
            raise Short
        outer -= 1
        for n, address in enumerate(struct.unpack_from(f"<{count}Q", data, at)):
            pools.paths[pool_id] = address, outer, depth + n + 1
            pools.stacks.pop(pool_id, None)
            pool_id, outer = pool_id + 1, pool_id
        self.frames["stack_paths"] += 1
        return at + 8 * count

    def _reset(self, data: bytes, at: int) -> int:
        if at + 8 > len(data):
            raise Short
        self._base = U64(data, at)[0]
        self.frames["resets"] += 1
        return at + 8

    def _annotations(self, data: bytes, at: int) -> int:
        type_id, at = read_leb(data, at)
        count, at = read_u16(data, at)
        entries: list[Annotation] = []
        for _ in range(count):
            index, at = read_u16(data, at)
            key, at = self._name(data, at)
            length, at = read_u32(data, at)
            value, at = read_text(data, at, length, self._context)
            entries.append(Annotation(index, key, value))
        schema = self._schemas.get(type_id)
        if schema is None:
            self._context.forgive(
                "unknown_annotations", f"Expected annotations of a known type, got type {type_id}."
            )
        else:
            self.annotations.setdefault(schema.name, []).extend(entries)
        self.frames["annotations"] += 1
        return at


class Plan(NamedTuple):
    """How to read the events of one schema."""

    schema: Schema
    readers: list[tuple[Reader, bool]]
