"""Values of classes of one's own, and what becomes of a value after the emission."""

from __future__ import annotations

import enum
import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

import tachograph as tg
from tachograph.formats.json import FlatJson
from tachograph.metrics import Destination, attach, detach
from tachograph.sinks import MemorySink
from tachograph.testing import CapturedEvents, capture_events


class Shape(enum.Enum):
    ROUND = 1


class Meter:
    """Closes to an int, or fails."""

    def __init__(self, value: Any = 0) -> None:
        self.value = value

    def __tachograph_close__(self) -> int:
        if isinstance(self.value, Exception):
            raise self.value
        return self.value  # type: ignore[no-any-return]


class Outline:
    """Closes to a member, or to nothing."""

    def __tachograph_close__(self) -> Shape | None:
        return Shape.ROUND


class Measured(tg.WideEvent, rename="PascalCase"):
    meter: Meter = tg.metric(default_factory=Meter, unit=tg.Unit.BYTES)
    outline: Outline | None = None
    tags: list[str] = tg.metric(default_factory=list)


@pytest.fixture
def events() -> Iterator[CapturedEvents]:
    """Capture what the test emits."""
    with capture_events() as captured:
        yield captured


def test_a_class_says_what_its_objects_close_to(events: CapturedEvents) -> None:
    """At the end of the scope; kind, type and unit are those of what it returns."""
    with Measured() as measured:
        measured.meter.value = 5
        measured.outline = Outline()
    meter, outline, _ = Measured.__wide_event__.fields

    assert (5, "Round") == (events.last["Meter"], events.last["Outline"])
    assert ("metric", "int", "Bytes", False) == (
        meter.kind,
        meter.type,
        meter.unit,
        meter.optional,
    )
    assert ("property", "enum", True) == (outline.kind, outline.type, outline.optional)


@pytest.mark.parametrize(
    ("value", "error"),
    [
        (ValueError("broken"), "Meter: ValueError: broken"),
        ("3", "Meter: expected int, got str"),
    ],
)
def test_one_that_fails_costs_its_field_only(
    events: CapturedEvents, value: Any, error: str
) -> None:
    """The record is emitted and names it in `_errors` [TY-10]."""
    with Measured() as measured:
        measured.meter.value = value
        measured.tags.append("a")

    assert [error] == events.last["_errors"]
    assert ["a"] == events.last["Tags"]
    assert "Meter" not in events.last


def test_its_return_type_is_needed() -> None:
    """Without one nothing is known of the column."""

    class Untyped:
        def __tachograph_close__(self):  # type: ignore[no-untyped-def]
            return 1

    class Long:
        def __tachograph_close__(self) -> timedelta:
            return timedelta(1)

    for annotation in (Untyped, Long):
        with pytest.raises(tg.DeclarationError, match="__tachograph_close__` to be annotated"):

            class Bad(tg.WideEvent):
                field: annotation = tg.metric(default=None)  # type: ignore[valid-type]


def test_a_list_is_copied_when_its_record_closes() -> None:
    """What is appended after the emission is not in the line, though the record waited [TY-6]."""
    tags, sink = ["a"], MemorySink()
    with Measured() as measured:
        measured.tags = tags
    tags.append("b")
    attach([Destination(FlatJson(), sink)])
    detach()
    (line,) = sink.drain()[0].splitlines()

    assert ["a"] == json.loads(line)["Tags"]


def test_a_text_is_no_list(events: CapturedEvents) -> None:
    """It is not taken for its characters, whichever path the record takes."""
    for hold in (False, True):
        with Measured(tags="abc") as measured:  # type: ignore[arg-type]
            if hold:
                measured.hold().release()

    assert [["Tags: expected list, got str"]] * 2 == [event["_errors"] for event in events]
