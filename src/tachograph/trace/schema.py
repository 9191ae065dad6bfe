"""What a stream can hold: field types, fields, schemas, annotations, events.

The wire form of each is in `docs/format.md`; `encode` and `decode` are tables over `FieldType`.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

__all__ = [
    "HEADER",
    "MAGIC",
    "OPTIONAL",
    "VERSION",
    "Annotation",
    "Event",
    "Field",
    "FieldType",
    "FrameTag",
    "Items",
    "Pools",
    "Schema",
    "Typed",
]

MAGIC = b"TRC\0"
VERSION = 1
HEADER = MAGIC + bytes([VERSION])

OPTIONAL = 0x80
"""Set in a type byte: the value is preceded by one byte that says whether it is there."""


class FrameTag(enum.IntEnum):
    """The first byte of a frame."""

    SCHEMA = 1
    EVENT = 2
    STRINGS = 3
    STACKS = 4
    RESET = 5
    ANNOTATIONS = 6


class FieldType(enum.IntEnum):
    """The type byte of a field, without the optional bit."""

    I64 = 1
    F64 = 2
    BOOL = 3
    STRING = 4
    BYTES = 5
    POOLED_STACK = 6
    POOLED_STRING = 7
    STACK_FRAMES = 8
    VARINT = 9
    STRING_MAP = 10
    U8 = 11
    U16 = 12
    U32 = 13
    DYNAMIC_LIST = 14
    DYNAMIC_MAP = 15


class Field(NamedTuple):
    """One field of a schema."""

    name: str
    type: FieldType
    optional: bool = False

    @property
    def byte(self) -> int:
        """The type byte as it is written."""
        return int(self.type) | (OPTIONAL if self.optional else 0)


class Annotation(NamedTuple):
    """What newer readers are told about a field: its unit, its kind, its role in a span."""

    field_index: int
    key: str
    value: str


@dataclass(frozen=True)
class Schema:
    """A kind of event: its name and its fields in wire order.

    Args:
        name: What readers dispatch on.
        fields: The fields in wire order; the packed timestamp is not one of them.
        timestamp: Whether events carry a time; dial9's readers want it of every schema.
    """

    name: str
    fields: tuple[Field, ...]
    timestamp: bool = True

    def __hash__(self) -> int:
        """Return the hash of all three, worked out once."""
        return self._hash

    @cached_property
    def _hash(self) -> int:
        return hash((self.name, self.fields, self.timestamp))

    @cached_property
    def kinds(self) -> bytes:
        """The type bytes of the fields."""
        return bytes(f.byte for f in self.fields)

    @cached_property
    def index(self) -> Mapping[str, int]:
        """The place of each field by its name; the last one of equal names."""
        return {f.name: n for n, f in enumerate(self.fields)}


class Typed(NamedTuple):
    """A value for a dynamic list or map whose type on the wire is chosen, not inferred."""

    type: FieldType
    value: Any


class Items(list[Any]):
    """What a dynamic list or map was read as: a list that remembers its types on the wire.

    A list holds values and in `types` one tag each; a map holds pairs and in `types` pairs of tags.
    """

    __slots__ = ("types",)

    def __init__(self, values: Sequence[Any] = (), types: Sequence[Any] = ()) -> None:
        super().__init__(values)
        self.types = list(types)


@dataclass(slots=True)
class Pools:
    """The strings and stacks of one stream by their ids; blocks of events refer to them."""

    strings: dict[int, str] = field(default_factory=dict[int, str])
    stacks: dict[int, tuple[int, ...]] = field(default_factory=dict[int, "tuple[int, ...]"])


class Event:
    """One event as it was read: its schema, its time and its values in the schema's order."""

    __slots__ = ("pools", "schema", "timestamp_ns", "values")

    def __init__(
        self, schema: Schema, timestamp_ns: int | None, values: tuple[Any, ...], pools: Pools
    ) -> None:
        self.schema = schema
        self.timestamp_ns = timestamp_ns
        self.values = values
        self.pools = pools

    @property
    def name(self) -> str:
        """The name of the event's schema."""
        return self.schema.name

    def __getitem__(self, name: str) -> Any:
        return self.values[self.schema.index[name]]

    def get(self, name: str, default: Any = None) -> Any:
        """Return the value of field *name*, *default* where the schema has no such field."""
        at = self.schema.index.get(name)
        return default if at is None else self.values[at]

    def as_dict(self) -> dict[str, Any]:
        """Return the values by the names of their fields."""
        return dict(zip((f.name for f in self.schema.fields), self.values, strict=True))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Event):
            return NotImplemented
        return (self.schema, self.timestamp_ns, self.values) == (
            other.schema,
            other.timestamp_ns,
            other.values,
        )

    __hash__ = None  # type: ignore[assignment]  # values may be lists

    def __repr__(self) -> str:
        return f"Event({self.name!r}, {self.timestamp_ns}, {self.as_dict()!r})"
