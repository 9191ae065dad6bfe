"""What a format is given: the plan of a record class and the closed record, both plain data.

`tachograph.metrics` makes plans when a class is defined; a format compiles an encoder from one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

__all__ = ["Closed", "FieldPlan", "Notes", "RecordPlan"]


@dataclass(frozen=True, slots=True)
class FieldPlan:
    """One emitted field.

    Attributes:
        attribute: Where the value comes from, dotted through children: `handler.payload_bytes`.
        emitted: The name on the wire.
        kind: `metric`, `property` or `list`.
        type: `bool int float decimal str enum datetime list`, as in the schema document.
        unit: CloudWatch's text for the unit, or None.
        optional: Whether the value may be absent.
        doc: The field's documentation.
        as_property: A number that is written as text, because it is an identity.
        labels: For enums: each member with its emitted text.
        to_text: For types that are written as their text (`UUID`, `Path`): how to get it.
        python_type: The annotated type's name, for messages.
        unit_ns: For durations: the value arrives in integer nanoseconds, of which this many make
            one of the unit.
    """

    attribute: str
    emitted: str
    kind: str
    type: str
    unit: str | None = None
    optional: bool = False
    doc: str = ""
    as_property: bool = False
    labels: Mapping[Any, str] | None = None
    to_text: Callable[[Any], str] | None = None
    python_type: str = ""
    unit_ns: int | None = None

    def schema(self) -> dict[str, object]:
        """Return the part of the schema document that the digest covers."""
        return {
            "name": self.emitted,
            "kind": self.kind,
            "type": self.type,
            "unit": self.unit,
            "optional": self.optional,
        }


@dataclass(frozen=True, slots=True, eq=False)
class RecordPlan:
    """A record class as formats see it; compared by identity.

    Attributes:
        name: The class's name, emitted as `record`.
        doc: The class's documentation.
        fields: In emitted order, children in place.
    """

    name: str
    doc: str
    fields: tuple[FieldPlan, ...]
    emitted_names: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "emitted_names", frozenset(f.emitted for f in self.fields))

    @property
    def digest(self) -> str:
        """First 16 hex digits of SHA-256 over the compact JSON of the fields without `doc`."""
        text = json.dumps([f.schema() for f in self.fields], separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:16]


class Notes(NamedTuple):
    """What a line reports about itself in its trailer."""

    incomplete: tuple[str, ...] = ()
    errors: tuple[str, ...] = ()


class Closed(NamedTuple):
    """A record after its scope: plain values in the order of the plan's fields, None for absent."""

    plan: RecordPlan
    time_ns: int
    values: tuple[Any, ...]
    notes: Notes | None = None
