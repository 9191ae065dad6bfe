"""Strict mode: what production salvages and tells raises in a test."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import tachograph as tg
from tachograph.formats.json import FlatJson
from tachograph.metrics import Destination, attach, detach
from tachograph.sinks import MemorySink
from tachograph.testing import capture_events, strict

IN_FLIGHT = tg.Counter()


class Job(tg.WideEvent, dimensions=[["region"]]):
    region: str = tg.metric(default="eu")
    zone: str | None = tg.metric(default=None)
    size: int | tg.Quantity = tg.metric(default=0, unit=tg.Unit.BYTES)
    waits = tg.distribution(unit=tg.Unit.MILLISECONDS)
    in_flight = tg.gauge(IN_FLIGHT)


@pytest.fixture
def sink() -> Iterator[MemorySink]:
    """Where records of the test go."""
    sink = MemorySink()
    attach([Destination(FlatJson({"host": "h"}), sink)])
    yield sink
    detach()


def wrong_type(job: Any) -> None:
    """A text for an int."""
    job.size = "3"


def wrong_unit(job: Any) -> None:
    """Seconds for bytes."""
    job.size = tg.Unit.SECONDS(3)


def mixed_units(job: Any) -> None:
    """Bytes among milliseconds."""
    job.waits.add(3)
    job.waits.add(tg.Unit.BYTES(3))


def text_among_numbers(job: Any) -> None:
    """A text among numbers."""
    job.waits.add(3)
    job.waits.add("3")


def taken_name(job: Any) -> None:
    """An extra key by the name of a field."""
    job.extra["size"] = 3


def blank_dimension(job: Any) -> None:
    """A dimension that is blank."""
    job.region = " "


def absent_value(job: Any) -> None:
    """Nothing, though the field is not optional."""
    job.region = None


CASES: list[tuple[Callable[[Any], None], str, dict[str, Any]]] = [
    (wrong_type, "size: expected int, got str", {"size": None}),
    (wrong_unit, "size: promised `Bytes`, got `Seconds`", {"size": None}),
    (mixed_units, "waits: promised `Milliseconds`, got `Bytes`", {"waits": [3]}),
    (text_among_numbers, "waits: expected a number, got str", {"waits": [3]}),
    (taken_name, "size: the name is taken", {"size": 0}),
    (blank_dimension, "region: a dimension is blank here", {"region": " "}),
    (absent_value, "region: expected str, got NoneType", {"region": None}),
]


@pytest.mark.parametrize(("spoil", "problem", "salvaged"), CASES)
def test_what_is_left_out_raises(
    sink: MemorySink, spoil: Callable[[Any], None], problem: str, salvaged: dict[str, Any]
) -> None:
    """At the end of the scope, after the rest was written; the gauge is down again [TY-4]."""
    with strict(), pytest.raises(RuntimeError) as caught, Job() as job:
        spoil(job)
    (line,) = sink.drain()[0].splitlines()
    found = json.loads(line)

    assert f"Job was emitted with something left out: {problem}" in str(caught.value)
    assert salvaged == {name: found.get(name) for name in salvaged}
    assert 0 == IN_FLIGHT.value


@pytest.mark.parametrize(("spoil", "problem", "salvaged"), CASES)
def test_production_salvages(
    sink: MemorySink, spoil: Callable[[Any], None], problem: str, salvaged: dict[str, Any]
) -> None:
    """The field is left out or kept in part, and the line tells why; nothing raises [TY-4]."""
    with Job() as job:
        spoil(job)
    (line,) = sink.drain()[0].splitlines()
    found = json.loads(line)

    assert salvaged == {name: found.get(name) for name in salvaged}
    # A blank dimension is a matter of EMF, which leaves its sets out and counts.
    assert ([] if "dimension" in problem else [problem]) == found.get("_errors", [])


def test_a_global_behind_a_field(sink: MemorySink) -> None:
    """Raises in strict mode; the field wins otherwise."""

    class Host(tg.WideEvent):
        host: str = "mine"

    Host().emit()
    with strict(), pytest.raises(RuntimeError, match="host: a global has this name"):
        Host().emit()

    assert 2 == sink.drain()[0].count(b'"host":"mine"')


def test_all_problems_are_told_at_once() -> None:
    """Not only the first; nothing need be configured."""
    job: Any = Job(region=" ", size="3")  # type: ignore[arg-type]
    with strict(), capture_events(), pytest.raises(RuntimeError, match=r"size: .*; region: "):
        job.emit()


def test_what_is_right_does_not_raise(sink: MemorySink) -> None:
    """Optional dimensions may be absent; afterwards everything is as it was."""

    class Free(tg.WideEvent, dimensions=[["zone"], []]):
        zone: str | None = None

    with strict(), Job(), Free():
        pass
    with Job() as job:
        wrong_type(job)

    assert 3 == len(sink.drain()[0].splitlines())


def test_blocks_nest(sink: MemorySink) -> None:
    """The inner block's end is not the outer one's."""
    with strict():
        with strict():
            pass
        with pytest.raises(RuntimeError), Job() as job:
            wrong_type(job)


def test_the_scopes_own_error_is_the_context(sink: MemorySink) -> None:
    """The error of the scope is not lost behind what strict mode says."""
    job = Job(size="3")  # type: ignore[arg-type]
    with strict(), pytest.raises(RuntimeError) as caught, job:
        raise ValueError("own")

    assert isinstance(caught.value.__context__, ValueError)


def test_the_same_metric_twice_is_no_class() -> None:
    """Not even with other dimensions: in the other formats they would be one column."""
    with pytest.raises(tg.DeclarationError, match=r"emits 'Time' like `Twice\.first`"):

        class Twice(tg.WideEvent):
            first: int = tg.metric(default=0, name="Time", dimensions={"Kind": "a"})
            second: int = tg.metric(default=0, name="Time", dimensions={"Kind": "b"})
