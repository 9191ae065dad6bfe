"""Fields of the latest sample in other records."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

import tachograph as tg
from tachograph.testing import capture_events

META: Any = type(tg.WideEvent)


class Request(tg.WideEvent, rename="PascalCase"):
    path: str
    loop = tg.latest(tg.RuntimeMetrics, "loop_lag_max_ms", "busy_ratio")
    process = tg.latest(tg.ProcessMetrics, "process_memory", prefix="own")


@pytest.fixture(autouse=True)
def boards() -> Iterator[None]:
    """What a test hangs up is taken down."""
    yield
    tg.RuntimeMetrics.__latest__.clear()
    tg.ProcessMetrics.__latest__.clear()


def emitted(cls: type[tg.WideEvent] = Request, **fields: Any) -> dict[str, Any]:
    """Return a record of *cls* as it was written."""
    with capture_events() as events:
        cls(**{"path": "/", **fields}).emit()
    return dict(events.one(cls))


def test_the_fields_stand_in_the_record() -> None:
    """Under their own names, in the record's style, with their prefix; read at the close."""
    here = threading.get_ident()
    with capture_events() as events, Request(path="/") as event:
        tg.RuntimeMetrics.__latest__.put({"loop_lag_max_ms": 12.5, "busy_ratio": 0.25}, here)
        tg.ProcessMetrics.__latest__.put({"process_memory": 4096})
        seen = event.loop
    found = events.one(Request)

    assert (12.5, 0.25) == (found["LoopLagMaxMs"], found["BusyRatio"])
    assert (4096, 4096) == (found["OwnProcessMemory"], found.process_memory)
    assert seen is not None
    assert 0.25 == seen["busy_ratio"]


def test_before_the_first_sample_they_are_absent() -> None:
    """So is a value that the sample does not have."""
    first = emitted()
    tg.RuntimeMetrics.__latest__.put({"busy_ratio": 0.5}, threading.get_ident())
    second = emitted()

    assert not {"LoopLagMaxMs", "BusyRatio", "OwnProcessMemory"} & first.keys()
    assert 0.5 == second["BusyRatio"]
    assert "LoopLagMaxMs" not in second


def test_a_record_sees_its_own_threads_loop() -> None:
    """Several loops in several threads do not lend each other their lag [RT-6]."""
    board = tg.RuntimeMetrics.__latest__
    board.put({"busy_ratio": 0.1}, threading.get_ident())
    found = []

    def other() -> None:
        found.append(emitted())
        board.put({"busy_ratio": 0.9}, threading.get_ident())
        found.append(emitted())

    thread = threading.Thread(target=other)
    thread.start()
    thread.join()

    assert [None, 0.9] == [f.get("BusyRatio") for f in found]
    assert 0.1 == emitted()["BusyRatio"]


def test_a_child_brings_them_too() -> None:
    """As any other field of a child, behind the prefix of its slot."""

    class Parent(tg.WideEvent, rename="snake_case"):
        path: str
        part: Part = tg.slot(prefix="part")

    tg.ProcessMetrics.__latest__.put({"uptime": 5.0})

    assert 5.0 == emitted(Parent)["part_uptime"]


class Part(tg.WideEvent):
    host = tg.latest(tg.ProcessMetrics, "uptime")


def test_the_schema_has_unit_and_meaning() -> None:
    """They are those of the field that is shown; it may be absent here."""
    plan = next(p for p in Request.__wide_event__.fields if p.emitted == "LoopLagMaxMs")

    assert ("Milliseconds", True, "float") == (plan.unit, plan.optional, plan.type)
    assert "How late at most" in plan.doc


def test_it_cannot_be_assigned() -> None:
    """The sample is not this record's."""
    with pytest.raises(AttributeError, match="measures itself"):
        Request(path="/").loop = {}


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        (lambda: tg.latest(tg.RuntimeMetrics), "names of fields, got none"),
        (lambda: tg.latest(tg.RuntimeMetrics, "lag"), "RuntimeMetrics has no field 'lag'"),
        (lambda: tg.latest(Part, "host"), "expects `tachograph.RuntimeMetrics`"),
    ],
)
def test_mistakes_are_told_when_the_class_is_defined(field: Any, expected: str) -> None:
    """With what there is to choose from."""
    with pytest.raises(tg.DeclarationError, match=expected):
        META("Bad", (tg.WideEvent,), _body(wrong=field()))


def _body(**fields: Any) -> Any:
    body = META.__prepare__("Bad", (tg.WideEvent,))
    for name, value in {"__module__": __name__, **fields}.items():
        body[name] = value
    return body


def test_a_name_that_is_taken_is_told() -> None:
    """The record's own field and the sample's cannot share one."""
    with pytest.raises(tg.DeclarationError, match="emits 'uptime' like"):

        class Twice(tg.WideEvent):
            uptime: float
            host = tg.latest(tg.ProcessMetrics, "uptime")
