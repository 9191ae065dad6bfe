"""Whether an event has the fields that its name promises, as far as a reader needs them."""

from __future__ import annotations

from tachograph.trace.events import EVENTS, MANDATORY
from tachograph.trace.schema import FieldType, Schema

__all__ = ["fits"]

_INTEGERS = (FieldType.VARINT, FieldType.U8, FieldType.U16, FieldType.U32)
_ALIKE: dict[FieldType, tuple[FieldType, ...]] = {
    **dict.fromkeys(_INTEGERS, _INTEGERS),
    FieldType.POOLED_STRING: (FieldType.POOLED_STRING, FieldType.STRING),
    FieldType.POOLED_STACK: (FieldType.POOLED_STACK, FieldType.STACK_FRAMES),
}
"""Types that give the same kind of value."""

_OURS = frozenset(
    f"tacho:{name}"
    for name in (
        "Steps",
        "Parks",
        "Spawns",
        "Checkpoints",
        "Living",
        "Name",
        "Stack",
        "Requests",
        "Lane",
        "OpenStep",
    )
)
"""Events to which later versions may add fields behind those that we know."""


def fits(schema: Schema) -> bool:
    """Return whether a built-in event can be read by its name.

    Of our own events the fields come in order, and more may stand behind them; dial9's must have
    those that are mandatory, and none of another type.
    """
    ours = EVENTS[schema.name]
    if schema.name in _OURS:
        shared = zip(schema.fields, ours.fields, strict=False)
        return len(schema.fields) >= len(ours.fields) and all(a == b for a, b in shared)
    fields = {f.name: f for f in schema.fields}
    return MANDATORY[schema.name] <= fields.keys() and all(
        fields[f.name].type in _ALIKE.get(f.type, (f.type,))
        for f in ours.fields
        if f.name in fields
    )
