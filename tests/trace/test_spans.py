"""The recorder's spans as dial9's readers take them."""

from __future__ import annotations

from typing import Any

from tachograph.trace import Decoder, Encoder, Field, FieldType, Schema, assemble
from tachograph.trace.dial9 import Conversion
from tachograph.trace.model import Step

from .blocks import write_steps
from .checklist import Report, Seen, check

T = 1_000_000_000_000
STEP = Step(0, T, 5000, 700, 2000, 1999, 1, 0)
I64 = FieldType.I64
SPAN = Schema(
    "tacho:Span",
    (
        *(Field("span_id", I64), Field("parent_span_id", I64, True), Field("task_id", I64, True)),
        *(Field("span_name", FieldType.STRING), Field("duration_ns", I64)),
        *(Field("outcome", FieldType.STRING), Field("fields", FieldType.STRING_MAP)),
    ),
)


def convert(*spans: tuple[Any, ...]) -> Report:
    """Return what a reader sees of a task's two steps and these spans."""
    encoder = Encoder()
    write_steps(encoder, [STEP, STEP._replace(start_ns=T + 9000)])
    write_steps(encoder, [STEP._replace(lane=64, task=2002)])
    for end, *values in spans:
        encoder.event(SPAN, T + end, *values)
    trace = assemble(Decoder(strict=True).read(encoder.take()))
    return check(b"".join(Conversion(trace).batches()))


def spans(report: Report) -> list[Seen]:
    """Return the enters, exits and closes in file order."""
    return [event for event in report.events if event.name.startswith("Span")]


def test_a_span_is_an_enter_an_exit_and_a_close() -> None:
    """The enter lies in a step of the span's task and holds its facts; the exit none [events 9]."""
    report = convert(
        (9500, 2, 1, 2000, "a,b", 9000, "ValueError", [("n", "5"), ("worker_id", "x")]),
        (9800, 1, None, 2000, "outer", 9600, "Ok", []),
    )

    assert [] == report.broken
    assert [
        (200, "SpanEnter:tacho::outer:python:0"),
        (500, "SpanEnter:tacho::a;b:python:0"),
        (9500, "SpanExit:tacho::a;b:python:0"),
        (9500, "SpanCloseEvent"),
        (9800, "SpanExit:tacho::outer:python:0"),
        (9800, "SpanCloseEvent"),
    ] == [(event.time - T, event.name) for event in spans(report)]
    enter, leave = (event.values for event in spans(report)[1:3])
    assert (0, 2, 1, "a,b", "ValueError") == tuple(enter.values())[:5]
    assert {"n": b"5", "fact.worker_id": b"x"} == {k: enter[k] for k in list(enter)[5:]}
    assert {"worker_id": 0, "span_id": 2, "span_name": "a,b"} == leave


def test_a_name_has_one_list_of_facts() -> None:
    """What one span of a name has and another has not is absent there, in one schema."""
    report = convert(
        (1000, 1, None, 2000, "s", 500, "Ok", [("a", "1")]),
        (1100, 2, None, 2000, "s", 400, "Ok", [("b", "2")]),
    )
    facts = [(e.values["a"], e.values["b"]) for e in report.named("SpanEnter:tacho::s:python:0")]

    assert [] == report.broken
    assert [(b"1", None), (None, b"2")] == facts


def test_a_span_outside_of_steps_stays_one_event() -> None:
    """A reader could not tell whose it is: no task, no step there, or one on no lane of dial9's."""
    report = convert(
        (9500, 1, None, None, "none", 9000, "Ok", []),
        (9500, 2, None, 2000, "before", 10_000, "Ok", []),
        (9500, 3, None, 2000, "between", 2000, "Ok", []),
        (9500, 4, None, 2001, "of another", 400, "Ok", []),
        (9500, 7, None, 2002, "far", 9000, "Ok", []),
        (9500, 5, None, 2000, "longer than time", 2 * T, "Ok", []),
        (9500, -6, None, 2000, "odd", 400, "Ok", []),
    )

    assert [] == report.broken
    assert [] == spans(report)
    assert [1, 2, 3, 4, 7, 5, -6] == [
        event.values["span_id"] for event in report.named("tacho:Span")
    ]
