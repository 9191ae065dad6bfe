"""Giving a record class to the native core: where its values lie and what they begin with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tachograph._core import native
from tachograph.metrics.declaration import Declared
from tachograph.metrics.fields import (
    MISSING,
    GaugeSpec,
    MetricSpec,
    StopwatchSpec,
    TimerSpec,
    TimestampSpec,
)
from tachograph.metrics.generate import has_state
from tachograph.metrics.plan import Closing, hidden

__all__ = ["bind"]

# How a slot begins; the order is that of the native core's `enum`.
_REQUIRED, _DEFAULT, _FACTORY, _CHILD = range(4)

_Item = tuple[str | None, int, int, int, Any]


def bind(
    cls: Any,
    fields: Sequence[Declared],
    closing: Sequence[Closing],
    children: Sequence[tuple[str, str]],
    inert: Any,
    done: Callable[[str], type],
) -> Any:
    """Let the native core make, open and end the records of *cls*; return its plan.

    Args:
        cls: The compiled class, with `__init__` and `_finish`.
        fields: Its declared fields.
        closing: How each emitted field closes.
        children: Its children below it, parents first, as (path of the parent, attribute).
        inert: What `current()` returns outside any scope.
        done: Gives the class that a record, or a child by its dotted path, becomes after emission.
    """
    number = {"": 0}
    classes: dict[str, Any] = {"": cls}
    for parent, attribute in children:
        above = parent.removeprefix("self").removeprefix(".")
        path = f"{above}.{attribute}".removeprefix(".")
        number[path] = len(number)
        declared = classes[above].__wide_event__.declared if above else fields
        classes[path] = next(f.child for f in declared if f.attribute == attribute)
    nodes = []
    for path in number:
        if not path:
            continue
        above, _, attribute = path.rpartition(".")
        child = classes[path]
        nodes.append(
            (
                number[above],
                native.offset_of(classes[above], attribute),
                child,
                done(path),
                _items(child, child.__wide_event__.declared, path, number),
            )
        )
    for field in fields:
        if isinstance(field.spec, TimerSpec | StopwatchSpec):
            instrument = cls.__dict__.get(field.attribute)
            if instrument is not None:
                instrument.offset = native.offset_of(cls, hidden(field.attribute))
    return native.Plan(
        init=cls.__init__,
        finish=cls._finish,
        inert=inert,
        done=done(""),
        items=_items(cls, fields, "", number),
        nodes=tuple(nodes),
        gauges=tuple(f.spec.counter for f in fields if isinstance(f.spec, GaugeSpec)),
        sources=tuple(_source(c, number, classes) for c in closing),
        direct=not any(isinstance(f.spec, TimestampSpec) and f.spec.at == "close" for f in fields),
    )


def _items(
    cls: Any, fields: Sequence[Declared], path: str, number: dict[str, int]
) -> tuple[_Item, ...]:
    items: list[_Item] = []
    for field in fields:
        attribute = field.attribute
        name = None if path else attribute
        how: int
        value: Any
        match field.spec:
            case MetricSpec(default_factory=factory) if factory is not None:
                how, value = _FACTORY, factory
            case MetricSpec(default=default) if default is not MISSING:
                how, value = _DEFAULT, default
            case MetricSpec():
                how, value = _REQUIRED, None
            case _ if field.child is not None:
                below = number[f"{path}.{attribute}".removeprefix(".")]
                items.append((name, native.offset_of(cls, attribute), _CHILD, below, None))
                continue
            case spec:
                if has_state(spec):
                    items.append(
                        (None, native.offset_of(cls, hidden(attribute)), _DEFAULT, 0, None)
                    )
                continue
        items.append((name, native.offset_of(cls, attribute), how, 0, value))
    return tuple(items)


def _source(
    closing: Closing, number: dict[str, int], classes: dict[str, Any]
) -> tuple[int, int, int, Any]:
    path = closing.plan.attribute.rpartition(".")[0]
    how, attribute, belonging = closing.source
    is_slot = attribute and how != "READ_CALL"
    offset = native.offset_of(classes[path], attribute) if is_slot else 0
    return getattr(native, how), number[path], offset, belonging
