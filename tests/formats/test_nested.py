"""Nested JSON: golden lines of the model's formatter."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tachograph.formats.nested import NestedJson
from tachograph.formats.plan import Buckets, FieldPlan, Notes, RecordPlan, Summary

NAN, INF = float("nan"), float("inf")
TIME = 1_705_312_800_000_000_000


def field(name: str, kind: str, type: str, unit: str | None = None, **more: Any) -> FieldPlan:
    """One field."""
    return FieldPlan(name, name, kind, type, unit, True, **more)


def encode(
    fields: list[tuple[FieldPlan, Any]],
    time_ns: int = 0,
    notes: Notes | None = None,
    **options: Any,
) -> str:
    """Return the line of one record."""
    plan = RecordPlan("R", "", tuple(f for f, _ in fields))
    line = NestedJson(**options).encoder(plan)(time_ns, tuple(v for _, v in fields), notes)
    return line.decode().removesuffix("\n")


M, P, L = "metric", "property", "list"
GOLDEN: list[tuple[str, list[tuple[FieldPlan, Any]], int, Notes | None, dict[str, Any], str]] = [
    (
        "J-10",
        [
            (field("Latency", M, "float", "Milliseconds"), 42.5),
            (field("Count", M, "int"), 10),
            (field("Operation", P, "str"), "GetItem"),
        ],
        TIME,
        None,
        {},
        '{"timestamp":1705312800000,"metrics":{"Latency":{"value":42.5,"unit":"Milliseconds"},"Count":{"value":10}},"properties":{"Operation":"GetItem"}}',
    ),
    (
        "J-11",
        [(field("AvgLatency", M, "summary"), Summary(3, 150, 40, 60))],
        TIME,
        None,
        {},
        '{"timestamp":1705312800000,"metrics":{"AvgLatency":{"value":{"total":150,"count":3}}}}',
    ),
    (
        "J-12",
        [(field("AvgLatency", M, "summary"), Summary(3, 150, 40, 60))],
        TIME,
        Notes(rate=0.2, weight=5),
        {},
        '{"timestamp":1705312800000,"metrics":{"AvgLatency":{"value":{"total":750,"count":15}}},"weight":5}',
    ),
    (
        "J-13",
        [(field("ResponseTimes", M, "distribution", "Milliseconds"), (1, 2, 3))],
        0,
        None,
        {},
        '{"timestamp":0,"metrics":{"ResponseTimes":{"values":[1,2,3],"unit":"Milliseconds"}}}',
    ),
    (
        "J-14",
        [(field("Count", M, "int", dimensions=(("Region", "x"),), high_resolution=True), 10)],
        0,
        None,
        {},
        '{"timestamp":0,"metrics":{"Count":{"value":10}}}',
    ),
    (
        "J-15",
        [
            (field("nan_val", M, "float"), NAN),
            (field("inf_val", M, "float"), INF),
            (field("neg_inf_val", M, "float"), -INF),
        ],
        0,
        None,
        {},
        '{"timestamp":0,"metrics":{"nan_val":{"value":null},"inf_val":{"value":1.7976931348623157e308},"neg_inf_val":{"value":-1.7976931348623157e308}}}',
    ),
    (
        "J-16",
        [
            (field("Plugins", L, "list"), ["auth", "cache"]),
            (field("Tags", L, "list"), ["a", None, "c"]),
            (field("Counts", L, "list"), [10, 20, 30]),
            (field("Empty", L, "list"), []),
        ],
        0,
        None,
        {},
        '{"timestamp":0,"properties":{"Plugins":["auth","cache"],"Tags":["a","c"],"Counts":[10,20,30],"Empty":[]}}',
    ),
    (
        "J-17",
        [(field("Data", L, "list"), [(1, 2, 3), (4, 5)])],
        0,
        None,
        {},
        '{"timestamp":0,"properties":{"Data":[[1,2,3],[4,5]]}}',
    ),
    ("J-18", [], 0, None, {}, '{"timestamp":0}'),
    (
        "J-19",
        [
            (field("RequestId", P, "str"), "6f1c"),
            (field("Operation", P, "str"), "GetItem"),
            (field("InFlight", M, "int"), 1),
            (field("Path", P, "str"), "/items/k"),
            (field("Duration", M, "float", "Milliseconds"), 1.25),
            (field("Success", M, "bool"), True),
            (field("ClientError", M, "bool"), False),
            (field("ServerError", M, "bool"), False),
            (field("StatusCode", P, "int", as_property=True), 200),
            (field("PayloadBytes", M, "int", "Bytes"), 1),
            (field("DownstreamSuccess", M, "bool"), True),
            (field("Found", M, "bool"), True),
            (field("DownstreamDuration", M, "float", "Milliseconds"), 0.02),
        ],
        TIME,
        None,
        {"globals": {"service_name": "orders"}},
        '{"timestamp":1705312800000,"metrics":{"InFlight":{"value":1},"Duration":{"value":1.25,"unit":"Milliseconds"},"Success":{"value":1},"ClientError":{"value":0},"ServerError":{"value":0},"PayloadBytes":{"value":1,"unit":"Bytes"},"DownstreamSuccess":{"value":1},"Found":{"value":1},"DownstreamDuration":{"value":0.02,"unit":"Milliseconds"}},"properties":{"service_name":"orders","RequestId":"6f1c","Operation":"GetItem","Path":"/items/k","StatusCode":"200"}}',
    ),
]


@pytest.mark.parametrize(
    ("fields", "time_ns", "notes", "options", "expected"),
    [pytest.param(*rest, id=name) for name, *rest in GOLDEN],
)
def test_golden_lines(
    fields: list[tuple[FieldPlan, Any]],
    time_ns: int,
    notes: Notes | None,
    options: dict[str, Any],
    expected: str,
) -> None:
    """Byte for byte the lines of the reference.

    [J-10, J-11, J-12, J-13, J-14, J-15, J-16, J-17, J-18, J-19]: equal to the model's for unsampled
    records [J-6], means and weights kept where sampled [J-3, J-4].
    """
    assert expected == encode(fields, time_ns, notes, **options)


def test_the_trailer_is_among_the_properties() -> None:
    """Arrays as arrays, after the record's own properties [J-5]."""
    notes = Notes(incomplete=("part",), errors=("x: no",), extra=(("shard", 3),))
    found = json.loads(encode([(field("a", P, "str"), "b")], notes=notes))

    assert ["a", "shard", "_incomplete", "_errors"] == list(found["properties"])


def test_a_histogram_is_repeated_pairs() -> None:
    """Total and count of each bucket."""
    value = Buckets(Summary(5, 11.0, 1, 3), ((1.0, 2), (3.0, 3)))
    found = json.loads(encode([(field("h", M, "histogram"), value)]))

    assert [{"total": 2, "count": 2}, {"total": 9, "count": 3}] == found["metrics"]["h"]["values"]


def test_scalars_are_not_weighted() -> None:
    """A sampled record says its weight once, at the end [J-4]."""
    line = encode([(field("a", M, "int"), 7)], notes=Notes(rate=0.5, weight=2))

    assert '{"timestamp":0,"metrics":{"a":{"value":7}},"weight":2}' == line


def test_a_bad_value_costs_its_field_only() -> None:
    """Metrics and properties alike."""
    found = json.loads(encode([(field("a", M, "int"), "x"), (field("b", P, "str"), 3)]))

    assert {"_errors": ["a: expected int, got str", "b: expected str, got int"]} == (
        found["properties"]
    )


def test_a_line_that_is_too_long_becomes_a_stub() -> None:
    """Globals and what happened are left."""
    fields = [(field(f"l{n}", L, "list"), ["x" * 90] * 16) for n in range(9)]
    found = json.loads(encode(fields, globals={"s": "t"}, max_line=1_000))

    assert "t" == found["properties"]["s"]
    assert found["properties"]["_errors"][0].startswith("oversize: ")


def test_a_list_in_a_list_is_one_text() -> None:
    """Its elements joined by commas, as the model does it [J-2]."""
    line = encode([(field("Data", L, "list"), [["a", 1], "b"])])

    assert '{"timestamp":0,"properties":{"Data":["a,1","b"]}}' == line
