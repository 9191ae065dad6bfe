"""The recorder's spans as dial9's readers take them: an enter, an exit and a close.

They find a span's task by the step that the enter lies in, so a span is written so only where that
step is in the trace and did not leave its lane; any other stays the one event that it was.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from operator import itemgetter
from typing import Any

from tachograph.trace.model import Trace
from tachograph.trace.plain import plain_name
from tachograph.trace.schema import Event, Field, FieldType, Schema

__all__ = ["SPAN", "Spans"]

SPAN = "tacho:Span"
FIELDS = {"span_id", "parent_span_id", "task_id", "span_name", "duration_ns", "outcome", "fields"}
ID = Field("span_id", FieldType.VARINT)
NAME = Field("span_name", FieldType.POOLED_STRING)
LANE = Field("worker_id", FieldType.VARINT)
PARENT = Field("parent_span_id", FieldType.VARINT, optional=True)
OUTCOME = Field("outcome", FieldType.POOLED_STRING)
OWN = frozenset({"worker_id", "span_id", "parent_span_id", "span_name", "outcome"})
CLOSE = Schema("SpanCloseEvent", (ID,))

Item = tuple[int, Schema, tuple[Any, ...]]


class Spans:
    """The spans of a trace.

    Args:
        trace: As it was read.
        most_lane: The highest lane that steps are written of.
    """

    def __init__(self, trace: Trace, most_lane: int) -> None:
        self._most_lane = most_lane
        self._events = [event for event in trace.events if is_span(event)]
        tasks = {event["task_id"] for event in self._events}
        self._steps: dict[int, list[tuple[int, int, int]]] = {}
        steps = trace.steps
        for task, start, length, lane in zip(
            steps.task, steps.start_ns, steps.duration_ns, steps.lane, strict=True
        ):
            if task in tasks:
                self._steps.setdefault(task, []).append((start, start + length, lane))
        for found in self._steps.values():
            found.sort()
        # A name has one list of fields in a trace: those that any of its spans has.
        self._keys: dict[str, dict[str, None]] = {}
        for event in self._events:
            self._keys.setdefault(event["span_name"], {}).update(dict.fromkeys(_facts(event)))

    def has(self, event: Event) -> bool:
        """Say whether *event* is a span that is written as enter, exit and close."""
        return is_span(event) and self._lane(event) is not None

    def items(self) -> list[Item]:
        """Return the events of all spans in order of time."""
        items = [item for event in self._events for item in self._span(event)]
        items.sort(key=itemgetter(0))
        return items

    def _lane(self, event: Event) -> int | None:
        """Return the lane of the step in which a span began."""
        start = event.timestamp_ns - event["duration_ns"] if event.timestamp_ns else -1
        steps = self._steps.get(event["task_id"], [])
        at = bisect_right(steps, start, key=itemgetter(0))
        if not at:
            return None
        _, end, lane = steps[at - 1]
        return lane if start <= end and lane <= self._most_lane else None

    def _span(self, event: Event) -> Iterator[Item]:
        lane = self._lane(event)
        if lane is None:
            return
        name, number, end = event["span_name"], event["span_id"], event.timestamp_ns or 0
        keys = self._keys[name]
        title = plain_name(f"tacho::{name}:python:0")
        facts = _facts(event)
        texts = tuple(Field(key, FieldType.STRING, optional=True) for key in keys)
        enter = Schema(f"SpanEnter:{title}", (LANE, ID, PARENT, NAME, OUTCOME, *texts))
        # An exit with other fields would replace those of the enter.
        leave = Schema(f"SpanExit:{title}", (LANE, ID, NAME))
        values = (lane, number, event["parent_span_id"], name, event["outcome"] or "")
        yield end - event["duration_ns"], enter, (*values, *map(facts.get, keys))
        yield end, leave, (lane, number, name)
        yield end, CLOSE, (number,)


def is_span(event: Event) -> bool:
    """Say whether *event* is a span as the recorder writes it, with values that make sense."""
    if event.name != SPAN or not event.schema.index.keys() >= FIELDS:
        return False
    numbers = (event[name] for name in ("span_id", "parent_span_id", "duration_ns"))
    return (
        isinstance(event["span_name"], str)
        and isinstance(event["fields"], list)
        and event["span_id"] is not None
        and all(n is None or (isinstance(n, int) and n >= 0) for n in numbers)
        and event["duration_ns"] is not None
        and event["duration_ns"] <= (event.timestamp_ns or 0)
    )


def _facts(event: Event) -> dict[str, str]:
    """Return the facts of a span under names that are not those of other fields."""
    return {f"fact.{key}" if key in OWN else key: text for key, text in event["fields"]}
