"""Events to bytes: an `Encoder` makes one self-contained batch after another.

Strategy: a schema, a pool entry or a time reset is written just before the first event that needs
it, so that a batch cut anywhere is readable up to the cut. `take()` hands a batch out and begins
the next with a header, which makes readers forget everything: batches can be lost, reordered or
joined with `cat`. The same calls make the same bytes.
"""

from __future__ import annotations

import functools
import struct
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from tachograph._core import loop
from tachograph.errors import TraceFormatError
from tachograph.trace.columns import put_leb
from tachograph.trace.schema import (
    HEADER,
    Annotation,
    Field,
    FieldType,
    FrameTag,
    Items,
    Schema,
    Typed,
)

__all__ = ["Encoder"]

U16 = struct.Struct("<H").pack
U32 = struct.Struct("<I").pack
U64 = struct.Struct("<Q").pack
I64 = struct.Struct("<q").pack
F64 = struct.Struct("<d").pack
_SCHEMA, _EVENT = bytes([FrameTag.SCHEMA]), bytes([FrameTag.EVENT])
MAX_DELTA = 0xFF_FFFF  # nanoseconds that the three bytes of an event hold
MAX_U16 = 0xFFFF
MAX_U64 = (1 << 64) - 1


class Encoder:
    """Write events into batches.

    Args:
        reserve_empty: Give string id 0 to the empty string, as dial9's spawn statistics expect.
    """

    def __init__(self, *, reserve_empty: bool = False) -> None:
        self._reserve_empty = reserve_empty
        self._out = bytearray()
        self._begin()

    def _begin(self) -> None:
        self._out += HEADER
        self._schemas: dict[Schema, int] = {}
        self._shapes: dict[str, Schema] = {}
        self._strings: dict[str, int] = {}
        self._stacks: dict[tuple[int, ...], int] = {}
        self._base = 0
        self._events = 0

    def __len__(self) -> int:
        """How many bytes the batch has by now."""
        return len(self._out)

    @property
    def events(self) -> int:
        """How many events the current stream holds."""
        return self._events

    def take(self) -> bytes:
        """Return the batch and begin the next one."""
        batch = bytes(self._out)
        self._out.clear()
        self._begin()
        return batch

    def cut(self) -> bytes:
        """Return what was written since the last cut; the stream goes on.

        The pieces are one stream: a reader needs all of those before.
        """
        piece = bytes(self._out)
        self._out.clear()
        return piece

    def restart(self) -> None:
        """Write a header: a new stream within the same batch of bytes."""
        self._begin()

    def is_other(self, schema: Schema) -> bool:
        """Say whether this stream has the name of *schema* for other fields."""
        return self._shapes.get(schema.name, schema) != schema

    def schema(self, schema: Schema) -> int:
        """Define *schema* in this stream unless it is; return its type id."""
        known = self._schemas.get(schema)
        if known is not None:
            return known
        if self._shapes.setdefault(schema.name, schema) != schema:
            raise TraceFormatError(
                f"Expected one list of fields for `{schema.name}` in a stream, got a second one. "
                "Give the other kind of event another name."
            )
        type_id = len(self._schemas)
        if max(type_id, len(schema.fields)) > MAX_U16:
            raise TraceFormatError(
                f"Expected at most {MAX_U16} schemas and fields, got more at `{schema.name}`."
            )
        self._out += _SCHEMA + U16(type_id) + _definition(schema)
        self._schemas[schema] = type_id
        return type_id

    def annotate(self, schema: Schema, annotations: Iterable[Annotation]) -> None:
        """Tell newer readers about the fields of *schema*; older ones stop at such a frame."""
        entries = list(annotations)
        frame = bytearray([FrameTag.ANNOTATIONS])
        put_leb(frame, self.schema(schema))
        frame += _number(U16, len(entries), "a count of annotations")
        for entry in entries:
            if not 0 <= entry.field_index < len(schema.fields):
                raise TraceFormatError(
                    f"Expected the index of one of the {len(schema.fields)} fields of "
                    f"`{schema.name}`, got {entry.field_index}."
                )
            frame += U16(entry.field_index)
            frame += _name(entry.key)
            frame += _text(entry.value)
        self._out += frame

    def string(self, text: str) -> int:
        """Return the pool id of *text*, adding it to the pool of this stream unless it is there."""
        pool_id = self._strings.get(text)
        if pool_id is None:
            if self._reserve_empty and not self._strings and text:
                self.string("")
            data = _text(text)
            pool_id = self._strings[text] = len(self._strings)
            self._out.append(FrameTag.STRINGS)
            self._out += U32(1) + U32(pool_id) + data
        return pool_id

    def stack(self, frames: Sequence[int]) -> int:
        """Return the pool id of *frames*, leaf first, adding them to the pool unless there."""
        key = tuple(frames)
        pool_id = self._stacks.get(key)
        if pool_id is None:
            data = _addresses(key)
            pool_id = self._stacks[key] = len(self._stacks)
            self._out.append(FrameTag.STACKS)
            self._out += U32(1) + U32(pool_id) + data
        return pool_id

    def event(self, schema: Schema, timestamp_ns: int | None, *values: Any) -> None:
        """Write an event; *values* are in the schema's order, `None` for an absent optional one.

        Raises:
            TraceFormatError: A value does not fit its field. Nothing of the event is written then,
                though pool entries may be.
        """
        if len(values) != len(schema.fields):
            raise TraceFormatError(
                f"Expected {len(schema.fields)} values for `{schema.name}`, got {len(values)}."
            )
        type_id = self.schema(schema)
        body = self._body(schema, values)
        if schema.timestamp:
            delta = self._delta(schema, timestamp_ns)
        elif timestamp_ns is not None:
            raise TraceFormatError(
                f"Expected no timestamp for `{schema.name}`, which has none, got {timestamp_ns}."
            )
        else:
            delta = b""
        self._out += _EVENT + U16(type_id) + delta + body
        self._events += 1

    def _body(self, schema: Schema, values: tuple[Any, ...]) -> bytes:
        # The native writer leaves to this one whatever is not simple, errors above all.
        if loop is not None and (self._strings or not self._reserve_empty):
            body = loop.fields(self._out, schema.kinds, values, self._strings, self._stacks)
            if body is not None:
                return body
        out = bytearray()
        for f, value in zip(schema.fields, values, strict=True):
            self._field(out, schema, f, value)
        return bytes(out)

    def _delta(self, schema: Schema, timestamp_ns: int | None) -> bytes:
        if timestamp_ns is None or not 0 <= timestamp_ns <= MAX_U64:
            raise TraceFormatError(
                f"Expected nanoseconds from 0 to 2^64 - 1 as the timestamp of `{schema.name}`, "
                f"got {timestamp_ns!r}."
            )
        delta = timestamp_ns - self._base
        if not 0 <= delta <= MAX_DELTA:
            self._out.append(FrameTag.RESET)
            self._out += U64(timestamp_ns)
            delta = 0
        self._base = timestamp_ns
        return delta.to_bytes(3, "little")

    def _field(self, body: bytearray, schema: Schema, f: Field, value: Any) -> None:
        if f.optional:
            body.append(value is not None)
            if value is None:
                return
        try:
            WRITERS[f.type](self, body, value)
        except (TypeError, ValueError, AttributeError, OverflowError, struct.error) as error:
            if isinstance(error, TraceFormatError):
                raise
            raise TraceFormatError(
                f"Expected a value of type {f.type.name} for `{schema.name}.{f.name}`, "
                f"got {value!r:.80}."
            ) from error

    def dynamic(self, body: bytearray, kind: FieldType | None, value: Any) -> None:
        """Append *value* with its type before it: *kind*, or what the value suggests."""
        if isinstance(value, Typed):
            kind, value = value
        elif kind is None:
            kind = _infer(value)
        body.append(kind)
        WRITERS[kind](self, body, value)


@functools.lru_cache(maxsize=1_024)
def _definition(schema: Schema) -> bytes:
    """Return what defines a schema, behind its type id."""
    out = bytearray(_name(schema.name))
    out.append(schema.timestamp)
    out += U16(len(schema.fields))
    for f in schema.fields:
        out += _name(f.name)
        out.append(f.byte)
    return bytes(out)


def _name(text: str) -> bytes:
    data = text.encode()
    return _number(U16, len(data), "the length of a name") + data


def _text(text: str) -> bytes:
    # A lone surrogate, which names of files may hold, has no UTF-8: it becomes `?`.
    data = text.encode(errors="replace")
    return _number(U32, len(data), "the length of a string") + data


def _addresses(frames: Sequence[int]) -> bytes:
    try:
        return U32(len(frames)) + struct.pack(f"<{len(frames)}Q", *frames)
    except struct.error as error:
        raise TraceFormatError(
            f"Expected addresses from 0 to 2^64 - 1 in a stack, got {frames!r:.80}."
        ) from error


def _number(pack: Callable[[int], bytes], value: int, what: str) -> bytes:
    try:
        return pack(value)
    except struct.error as error:
        raise TraceFormatError(f"Expected {what} that its bytes can hold, got {value}.") from error


def _infer(value: Any) -> FieldType:
    if isinstance(value, bool):
        return FieldType.BOOL
    if isinstance(value, int):
        return FieldType.VARINT if value >= 0 else FieldType.I64
    for kind, types in INFERRED.items():
        if isinstance(value, types):
            return kind
    raise TypeError(type(value).__name__)


INFERRED: dict[FieldType, type | tuple[type, ...]] = {
    FieldType.F64: float,
    FieldType.STRING: str,
    FieldType.BYTES: (bytes, bytearray),
    FieldType.DYNAMIC_MAP: dict,
    FieldType.STACK_FRAMES: tuple,
    FieldType.DYNAMIC_LIST: list,
}


def _pairs(value: Any) -> Iterable[tuple[Any, Any]]:
    return value.items() if isinstance(value, dict) else value


def _varint(_: Encoder, body: bytearray, value: int) -> None:
    if not 0 <= value <= MAX_U64:
        raise ValueError(value)
    put_leb(body, value)


def _bytes(_: Encoder, body: bytearray, value: bytes) -> None:
    view = memoryview(value).cast("B")
    body += _number(U32, len(view), "the length of bytes") + view


def _string_map(_: Encoder, body: bytearray, value: Any) -> None:
    pairs = list(_pairs(value))
    body += U32(len(pairs))
    for key, text in pairs:
        body += _text(key) + _text(text)


def _list(encoder: Encoder, body: bytearray, value: Sequence[Any]) -> None:
    kinds = value.types if isinstance(value, Items) else ()
    known = len(kinds) == len(value)
    body += U32(len(value))
    for n, item in enumerate(value):
        encoder.dynamic(body, kinds[n] if known else None, item)


def _map(encoder: Encoder, body: bytearray, value: Any) -> None:
    pairs = list(_pairs(value))
    kinds = value.types if isinstance(value, Items) else ()
    known = len(kinds) == len(pairs)
    body += U32(len(pairs))
    for n, (key, item) in enumerate(pairs):
        first, second = kinds[n] if known else (None, None)
        encoder.dynamic(body, first, key)
        encoder.dynamic(body, second, item)


WRITERS: dict[FieldType, Callable[[Encoder, bytearray, Any], object]] = {
    FieldType.I64: lambda _, body, value: body.extend(I64(value)),
    FieldType.F64: lambda _, body, value: body.extend(F64(value)),
    FieldType.BOOL: lambda _, body, value: body.append(bool(value)),
    FieldType.STRING: lambda _, body, value: body.extend(_text(value)),
    FieldType.BYTES: _bytes,
    FieldType.POOLED_STACK: lambda encoder, body, value: body.extend(U32(encoder.stack(value))),
    FieldType.POOLED_STRING: lambda encoder, body, value: body.extend(U32(encoder.string(value))),
    FieldType.STACK_FRAMES: lambda _, body, value: body.extend(_addresses(value)),
    FieldType.VARINT: _varint,
    FieldType.STRING_MAP: _string_map,
    FieldType.U8: lambda _, body, value: body.append(value),
    FieldType.U16: lambda _, body, value: body.extend(U16(value)),
    FieldType.U32: lambda _, body, value: body.extend(U32(value)),
    FieldType.DYNAMIC_LIST: _list,
    FieldType.DYNAMIC_MAP: _map,
}
