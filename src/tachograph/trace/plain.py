"""What dial9's readers take of names, texts and fields, and how ours are made so.

Its older viewer puts spawn locations into a page unescaped, takes any name without `::` for a
function of the kernel or the C library, cannot write 64-bit signed numbers as JSON, and stops at
an event without a time.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any

from tachograph.trace.events import DIAL9, EVENTS
from tachograph.trace.model import NO_LANE, StepFlag
from tachograph.trace.schema import Event, Field, FieldType, Items, Schema

__all__ = [
    "location_text",
    "negative_fields",
    "plain_event",
    "plain_name",
    "source_file",
    "symbol_name",
]

FORBIDDEN = str.maketrans("", "", '<>&"')
SEPARATORS = str.maketrans({",": ";", "\t": " ", "\n": " ", "\r": " "})
ROOTS = re.compile(r"^.*/(?:site-packages|dist-packages|lib/python3[^/]*)/")
CALLBACK_PREFIX = "callback:"
CALLBACK = int(StepFlag.CALLBACK)
VERSIONED = re.compile(r"^.*(?:^|/)[^/]*-\d[^/]*/")
MAX_PARTS = 3  # dial9 cuts a name to its last three parts
BLOCKING_LANE = 254
LANES = 64
ID_FIELDS = frozenset({"task_id", "parent_task_id", "waker_task_id", "woken_task_id"})
EMPTY: dict[FieldType, Any] = {
    FieldType.POOLED_STRING: "",
    FieldType.STRING: "",
    FieldType.POOLED_STACK: (),
    FieldType.STACK_FRAMES: (),
    FieldType.STRING_MAP: [],
    FieldType.BYTES: b"",
    FieldType.F64: 0.0,
    FieldType.BOOL: False,
}
LIMITS = {FieldType.U8: 0xFF, FieldType.U16: 0xFFFF, FieldType.U32: 0xFFFF_FFFF}


def location_text(location: str | None, flags: int) -> str:
    """Return a spawn location that is not empty and holds nothing like markup.

    Args:
        location: As it was recorded; `None` when no block says it.
        flags: Of the step or task: a callback's location begins with a word for it.
    """
    text = (location or "").replace(".<locals>", "").translate(FORBIDDEN).strip() or "unknown"
    if flags & CALLBACK and not text.startswith(CALLBACK_PREFIX):
        return CALLBACK_PREFIX + text
    return text


def symbol_name(name: str, file: str) -> str:
    """Return *name* as `module::qualname`, with two `::` at most."""
    parts = name.split("::")
    if len(parts) == 1:
        module = file.removesuffix(".py").strip("/<>").replace("/", ".") or "python"
        return f"{module}::{name}"
    if len(parts) > MAX_PARTS:
        parts = [".".join(parts[: 1 - MAX_PARTS]), *parts[1 - MAX_PARTS :]]
    return "::".join(parts)


def plain_name(name: str) -> str:
    """Return the name of an event without what separates names in lists of them."""
    return name.translate(SEPARATORS)


def negative_fields(events: Iterable[Event]) -> dict[Schema, frozenset[int]]:
    """Return the places of I64 fields that hold a number below 0 in one of *events*."""
    found: dict[Schema, frozenset[int]] = {}
    for event in events:
        for n, f in enumerate(event.schema.fields):
            if f.type is FieldType.I64 and (event.values[n] or 0) < 0:
                found[event.schema] = found.get(event.schema, frozenset()) | {n}
    return found


def source_file(path: str) -> str:
    """Return *path* relative to its import root, without directories that name a version."""
    path = ROOTS.sub("", path)
    path = VERSIONED.sub("", path)
    return path.rpartition("/")[2] if path.startswith("/") else path


def plain_event(
    event: Event,
    task: Callable[[int], int] | None = None,
    negative: frozenset[int] = frozenset(),
) -> tuple[int, Schema, tuple[Any, ...]]:
    """Return time, schema and values of *event* as dial9's readers take them.

    Args:
        event: As it was read.
        task: Returns the id that a task gets.
        negative: The places of I64 fields that hold a number below 0 somewhere in the trace.
    """
    schema = plain_schema(event.schema, negative)
    if event.name in DIAL9:
        values = [_builtin(event, f) for f in schema.fields]
    else:
        values = [
            _plain(_present(f, value)) for f, value in zip(schema.fields, event.values, strict=True)
        ]
    if task is not None and event.name in EVENTS:
        for n, f in enumerate(schema.fields):
            if f.name in ID_FIELDS and values[n]:
                values[n] = task(values[n])
    return event.timestamp_ns or 0, schema, tuple(values)


@lru_cache(maxsize=1024)
def plain_schema(schema: Schema, negative: frozenset[int] = frozenset()) -> Schema:
    """Return *schema* as dial9's readers take it: I64 as Varint, or as F64 if one is below 0."""
    if schema.name in DIAL9:
        return DIAL9[schema.name]
    fields = tuple(
        f._replace(type=FieldType.F64 if n in negative else FieldType.VARINT)
        if f.type is FieldType.I64
        else f
        for n, f in enumerate(schema.fields)
    )
    return Schema(plain_name(schema.name), fields)


def _builtin(event: Event, f: Field) -> Any:
    value = event.get(f.name)
    if value is None:
        return None if f.optional else EMPTY.get(f.type, 0)
    if event.name == "SymbolTableEntry":
        if f.name == "symbol_name":
            return symbol_name(value, source_file(event.get("source_file") or ""))
        if f.name == "source_file":
            return source_file(value)
    if event.name == "CpuSampleEvent" and f.name == "worker_id":
        return value if value < LANES or value == BLOCKING_LANE else NO_LANE
    limit = LIMITS.get(f.type)
    return value if limit is None else min(value, limit)


def _present(f: Field, value: Any) -> Any:
    """Replace what could not be resolved: a string or stack that is missing breaks the file."""
    return EMPTY.get(f.type, 0) if value is None and not f.optional else value


def _plain(value: Any) -> Any:
    if isinstance(value, Items):
        if value.types and isinstance(value.types[0], tuple):
            pairs = [tuple(map(_plain, pair)) for pair in value]
            return Items(pairs, [tuple(map(_plain_type, pair)) for pair in value.types])
        return Items([_plain(item) for item in value], [_plain_type(t) for t in value.types])
    return value


def _plain_type(kind: FieldType) -> FieldType:
    return FieldType.F64 if kind is FieldType.I64 else kind
