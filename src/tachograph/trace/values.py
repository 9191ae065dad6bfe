"""One reader per field type: from bytes and a position to a value and the next position.

Strategy: a reader either has all its bytes or raises `Short`; it compares a declared length with
what is left before it makes anything of that size. What a lenient reader forgives, it counts.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Callable
from typing import Any

from tachograph.errors import TraceFormatError
from tachograph.trace.columns import LEB_BYTES
from tachograph.trace.schema import FieldType, Items, Pools

__all__ = [
    "READERS",
    "Context",
    "Reader",
    "Short",
    "read_frames",
    "read_leb",
    "read_text",
    "read_u16",
    "read_u32",
]

MAX_DEPTH = 64  # lists within lists; garbage could nest as deep as the input is long

U16 = struct.Struct("<H").unpack_from
U32 = struct.Struct("<I").unpack_from
U64 = struct.Struct("<Q").unpack_from
I64 = struct.Struct("<q").unpack_from
F64 = struct.Struct("<d").unpack_from


class Short(Exception):  # noqa: N818 -- not an error: more bytes may come
    """The input ends before the value does."""


class Context:
    """What the values of one stream refer to, and what was forgiven while reading them.

    What a frame forgives is pending until it is whole: a frame that is cut is read once more.
    """

    __slots__ = ("depth", "forgiven", "pending", "pools", "strict")

    def __init__(self, *, strict: bool) -> None:
        self.strict = strict
        self.pools = Pools()
        self.forgiven: Counter[str] = Counter()
        self.pending: list[str] = []
        self.depth = 0

    def settle(self) -> None:
        """Count what the frame that has been read forgave."""
        self.forgiven.update(self.pending)
        self.pending.clear()

    def forgive(self, what: str, sentence: str) -> None:
        """Count *what*; raise *sentence* when strict."""
        if self.strict:
            raise TraceFormatError(sentence)
        self.pending.append(what)


def read_u16(data: bytes, at: int) -> tuple[int, int]:
    """Read two bytes."""
    if at + 2 > len(data):
        raise Short
    return U16(data, at)[0], at + 2


def read_u32(data: bytes, at: int) -> tuple[int, int]:
    """Read four bytes."""
    if at + 4 > len(data):
        raise Short
    return U32(data, at)[0], at + 4


def read_leb(data: bytes, at: int) -> tuple[int, int]:
    """Read a LEB of at most ten bytes and 64 bits."""
    value = shift = 0
    for byte in data[at : at + LEB_BYTES]:
        at += 1
        if byte < 0x80:
            value |= byte << shift
            if value >> 64:
                raise TraceFormatError(f"Expected a number below 2^64, got {value}.")
            return value, at
        value |= (byte & 0x7F) << shift
        shift += 7
    if shift == 7 * LEB_BYTES:
        raise TraceFormatError("Expected a number of at most ten bytes, got a longer one.")
    raise Short


def read_text(data: bytes, at: int, length: int, context: Context) -> tuple[str, int]:
    """Read *length* bytes of UTF-8."""
    end = at + length
    if end > len(data):
        raise Short
    raw = data[at:end]
    try:
        return raw.decode(), end
    except UnicodeDecodeError:
        context.forgive("invalid_utf8", f"Expected UTF-8, got {raw!r:.80}.")
        return raw.decode(errors="replace"), end


def _fixed(unpack: Callable[[bytes, int], tuple[Any, ...]], size: int) -> Reader:
    def read(data: bytes, at: int, context: Context) -> tuple[Any, int]:
        if at + size > len(data):
            raise Short
        return unpack(data, at)[0], at + size

    return read


def _byte(data: bytes, at: int, context: Context) -> tuple[int, int]:
    if at >= len(data):
        raise Short
    return data[at], at + 1


def _bool(data: bytes, at: int, context: Context) -> tuple[bool, int]:
    value, at = _byte(data, at, context)
    return value != 0, at


def _varint(data: bytes, at: int, context: Context) -> tuple[int, int]:
    if at < len(data) and data[at] < 0x80:
        return data[at], at + 1
    return read_leb(data, at)


def _string(data: bytes, at: int, context: Context) -> tuple[str, int]:
    length, at = read_u32(data, at)
    return read_text(data, at, length, context)


def _bytes(data: bytes, at: int, context: Context) -> tuple[bytes, int]:
    length, at = read_u32(data, at)
    if at + length > len(data):
        raise Short
    return data[at : at + length], at + length


def read_frames(data: bytes, at: int, context: Context) -> tuple[tuple[int, ...], int]:
    """Read a counted list of addresses."""
    count, at = read_u32(data, at)
    end = at + 8 * count
    if end > len(data):
        raise Short
    return struct.unpack_from(f"<{count}Q", data, at), end


def _pooled_string(data: bytes, at: int, context: Context) -> tuple[str | None, int]:
    pool_id, at = read_u32(data, at)
    text = context.pools.strings.get(pool_id)
    if text is None:
        context.forgive(
            "unresolved_strings", f"Expected string {pool_id} before its use, got none."
        )
    return text, at


def _pooled_stack(data: bytes, at: int, context: Context) -> tuple[tuple[int, ...], int]:
    pool_id, at = read_u32(data, at)
    frames = context.pools.stack(pool_id)
    if frames is None:
        context.forgive("unresolved_stacks", f"Expected stack {pool_id} before its use, got none.")
        frames = ()
    return frames, at


def _string_map(data: bytes, at: int, context: Context) -> tuple[list[tuple[str, str]], int]:
    count, at = read_u32(data, at)
    pairs: list[tuple[str, str]] = []
    for _ in range(count):
        key, at = _string(data, at, context)
        value, at = _string(data, at, context)
        pairs.append((key, value))
    return pairs, at


def _tagged(data: bytes, at: int, context: Context) -> tuple[FieldType, Any, int]:
    tag, at = _byte(data, at, context)
    reader = READERS.get(tag)
    if reader is None:
        raise TraceFormatError(f"Expected a type from 1 to 15 in a list or map, got {tag}.")
    value, at = reader(data, at, context)
    return FieldType(tag), value, at


def _nested(read: Reader) -> Reader:
    def nested(data: bytes, at: int, context: Context) -> tuple[Any, int]:
        if context.depth == MAX_DEPTH:
            raise TraceFormatError(f"Expected lists and maps nested at most {MAX_DEPTH} deep.")
        context.depth += 1
        try:
            return read(data, at, context)
        finally:
            context.depth -= 1

    return nested


def _list(data: bytes, at: int, context: Context) -> tuple[Items, int]:
    count, at = read_u32(data, at)
    items = Items()
    for _ in range(count):
        kind, value, at = _tagged(data, at, context)
        items.append(value)
        items.types.append(kind)
    return items, at


def _map(data: bytes, at: int, context: Context) -> tuple[Items, int]:
    count, at = read_u32(data, at)
    items = Items()
    for _ in range(count):
        key_kind, key, at = _tagged(data, at, context)
        kind, value, at = _tagged(data, at, context)
        items.append((key, value))
        items.types.append((key_kind, kind))
    return items, at


Reader = Callable[[bytes, int, Context], tuple[Any, int]]

READERS: dict[int, Reader] = {
    FieldType.I64: _fixed(I64, 8),
    FieldType.F64: _fixed(F64, 8),
    FieldType.BOOL: _bool,
    FieldType.STRING: _string,
    FieldType.BYTES: _bytes,
    FieldType.POOLED_STACK: _pooled_stack,
    FieldType.POOLED_STRING: _pooled_string,
    FieldType.STACK_FRAMES: read_frames,
    FieldType.VARINT: _varint,
    FieldType.STRING_MAP: _string_map,
    FieldType.U8: _byte,
    FieldType.U16: _fixed(U16, 2),
    FieldType.U32: _fixed(U32, 4),
    FieldType.DYNAMIC_LIST: _nested(_list),
    FieldType.DYNAMIC_MAP: _nested(_map),
}
