"""Lines become columns: every value kept, everything else counted."""

from __future__ import annotations

import datetime as dt
import gzip
from collections.abc import Callable
from typing import Any

from tachograph.fleet import Skipped, WideEvents

Ask = Callable[..., WideEvents]
Line = Callable[..., str]


def column_types(events: WideEvents, record: str) -> dict[str, str]:
    """Return the type of each column of *record*."""
    found = next(r for r in events.records if r.name == record)
    return {c.name: c.type for c in found.columns}


def test_each_record_class_is_a_view(events: Ask, make_line: Line) -> None:
    """Lines of all files stand together in the view of their class."""
    found = events(make_line("A", X=1) + make_line("B", Y=2), make_line("A", X=3))

    assert {"A": 2, "B": 1} == {r.name: r.lines for r in found.records}
    assert [(1,), (3,)] == found.query("SELECT X FROM A ORDER BY X").rows


def test_a_column_that_some_lines_lack_is_null_there(events: Ask, make_line: Line) -> None:
    """Files of an older deployment have no value, not a zero, in a newer column."""
    found = events(make_line("A", X=1), make_line("A", X=2, Y=0.5))

    assert [(1, None), (2, 0.5)] == found.query("SELECT X, Y FROM A ORDER BY X").rows


def test_types_come_from_the_lines_without_a_schema(events: Ask, make_line: Line) -> None:
    """Without a document every column has the type of its values."""
    found = events(make_line("A", i=-1, f=0.5, b=True, s="x", l=["a", 'b"'], n=[[1], [2, 3]]))

    assert {
        "timestamp": "TIMESTAMP",
        "i": "BIGINT",
        "f": "DOUBLE",
        "b": "BOOLEAN",
        "s": "VARCHAR",
        "l": "VARCHAR[]",
        "n": "UBIGINT[][]",
    } == column_types(found, "A")
    assert [(["a", 'b"'], [[1], [2, 3]])] == found.query("SELECT l, n FROM A").rows


def test_the_schema_gives_types_units_and_order(
    events: Ask, make_line: Line, schema: dict[str, Any]
) -> None:
    """Declared columns are there, in declared order, also when no line has them yet."""
    found = events(make_line(service_name="orders", Duration=100, Extra=1), schema=schema)

    assert {
        "timestamp": "TIMESTAMP",
        "service_name": "VARCHAR",
        "RequestId": "VARCHAR",
        "Operation": "VARCHAR",
        "StatusCode": "VARCHAR",
        "Duration": "DOUBLE",
        "PayloadBytes": "BIGINT",
        "Found": "BOOLEAN",
        "DownstreamErrorKind": "VARCHAR",
        "Extra": "BIGINT",
    } == column_types(found, "RequestMetrics")
    units = {c.name: c.unit for c in found.records[0].columns if c.unit}
    assert {"Duration": "Milliseconds", "PayloadBytes": "Bytes"} == units


def test_a_declared_class_without_lines_is_an_empty_view(
    events: Ask, make_line: Line, schema: dict[str, Any]
) -> None:
    """Asking for what did not happen yet is answered with nothing, not with an error."""
    found = events(make_line("Other"), schema=schema)

    assert [(0,)] == found.query("SELECT count(*) FROM RequestMetrics WHERE Duration > 1").rows


def test_numbers_keep_their_value(events: Ask, make_line: Line) -> None:
    """Whole numbers above 2^63, floats in either notation, none is cut."""
    text = '{"timestamp":"2026-01-02T03:04:05Z","record":"A","big":18446744073709551615,"e":1e21}\n'
    found = events(text + make_line("A", big=-1, e=1e-7))

    assert [(-1, 1e-7), (2**64 - 1, 1e21)] == found.query("SELECT big, e FROM A ORDER BY big").rows


def test_unsigned_numbers_may_be_subtracted(events: Ask, make_line: Line) -> None:
    """A difference below zero is a number, not an error."""
    found = events(make_line("A", x=1, y=3))

    assert [(-2,)] == found.query("SELECT x - y FROM A").rows


def test_time_is_a_timestamp_in_either_form(events: Ask) -> None:
    """RFC 3339 text and integer milliseconds are the same moment."""
    found = events(
        '{"timestamp":"2024-01-15T10:00:00.000000Z","record":"A"}\n'
        '{"timestamp":1705312800000,"record":"A"}\n'
    )

    moment = dt.datetime(2024, 1, 15, 10)  # noqa: DTZ001 -- UTC, as DuckDB gives it
    assert [(moment,), (moment,)] == found.query("SELECT timestamp FROM A").rows


def test_a_declared_time_that_is_none_stays_text(events: Ask, make_line: Line) -> None:
    """A datetime column with other text in it is shown as text, nothing becomes NULL."""
    field = {"name": "Due", "kind": "property", "type": "datetime", "unit": None}
    document = {"records": [{"record": "A", "fields": [field]}]}
    found = events(make_line("A", Due="tomorrow"), schema=document)

    assert [("tomorrow",)] == found.query("SELECT Due FROM A").rows


def test_one_observation_and_many_are_one_column(events: Ask, make_line: Line) -> None:
    """A distribution with one value is written as a number, and read as a list of one."""
    found = events(make_line("A", d=1.5), make_line("A", d=[1, 2]))

    assert [([1.5],), ([1.0, 2.0],)] == found.query("SELECT d FROM A").rows


def test_names_that_differ_in_case_only_are_both_there(events: Ask, make_line: Line) -> None:
    """SQL ignores case; the second of two such columns gets a number, and says whose it is."""
    found = events(make_line("A", Host="x", host="y"))

    assert [("x", "y")] == found.query("SELECT Host, host_2 FROM A").rows
    assert "`host` in the lines." == found.records[0].columns[-1].doc


def test_a_number_takes_no_other_name(events: Ask, make_line: Line) -> None:
    """A key that is called like a numbered one keeps its name; the number is the next free one."""
    found = events(make_line("A", Host="x", host="y", host_2="z", HOST="w"))

    assert [("x", "y", "z", "w")] == found.query("SELECT Host, host_3, host_2, HOST_4 FROM A").rows


def test_classes_that_differ_in_case_only_are_both_there(events: Ask, make_line: Line) -> None:
    """The same rule for views, in the order of their names."""
    found = events(make_line("order", x=1) + make_line("Order", x=2))

    assert [("Order", 1), ("order_2", 1)] == [(r.name, r.lines) for r in found.records]
    assert [(2, 1)] == found.query('SELECT o.x, p.x FROM Order_2 p, "Order" o').rows


def test_empty_names_can_be_asked(events: Ask, make_line: Line) -> None:
    """SQL knows no empty name: the column or view is `unnamed`."""
    found = events(make_line("", **{"": 5, "unnamed": 6}))

    assert [(5, 6)] == found.query("SELECT unnamed_2, unnamed FROM unnamed").rows


def test_texts_and_lists_are_one_column(events: Ask, make_line: Line) -> None:
    """Whatever forms a field had, each value is there: a list of one, a deeper list as its text."""
    values = ["a", ["b", "c"], "[x", {"k": 1}, [[1]]]
    found = events("".join(make_line("A", v=value) for value in values))

    assert [(["a"],), (["b", "c"],), (["[x"],), (['{"k":1}'],), (["[1]"],)] == (
        found.query("SELECT v FROM A").rows
    )


def test_parts_of_a_declared_field_are_columns(events: Ask, make_line: Line) -> None:
    """A mean has its count, sum, least and most with their units; a distribution only itself."""
    fields = [
        {"name": "Db", "kind": "metric", "type": "summary", "unit": "Seconds", "doc": "Pool.",
         "parts": ["DbCount", "DbSum", "DbMin", "DbMax"]},
        {"name": "D", "kind": "metric", "type": "distribution", "unit": None,
         "parts": ["DCount", "DSum"]},
    ]  # fmt: skip
    found = events(
        make_line("A", DbCount=1), schema={"records": [{"record": "A", "fields": fields}]}
    )

    assert [
        ("timestamp", "TIMESTAMP", None),
        ("DbCount", "BIGINT", None),
        ("DbSum", "DOUBLE", "Seconds"),
        ("DbMin", "DOUBLE", "Seconds"),
        ("DbMax", "DOUBLE", "Seconds"),
        ("D", "DOUBLE[]", None),
    ] == [(c.name, c.type, c.unit) for c in found.records[0].columns]
    assert "Sum of Db. Pool." == found.records[0].columns[2].doc


def test_any_key_can_be_asked(events: Ask, make_line: Line) -> None:
    """Keys with quotes, slashes, dots and tildes are columns like others."""
    keys = ["a/b", "a~b", 'a"b', "a.b", "a'b", "päth", "select"]
    found = events(make_line("A'\"x", **{key: i for i, key in enumerate(keys)}))
    columns = ", ".join('"' + key.replace('"', '""') + '"' for key in keys)

    assert [tuple(range(len(keys)))] == found.query(f'SELECT {columns} FROM "A\'""x"').rows


def test_a_torn_last_line_is_counted(events: Ask, make_line: Line) -> None:
    """A file that ends in the middle of a line gives its whole lines."""
    found = events(make_line("A") + make_line("A")[:-20], make_line("A"))

    assert Skipped(torn=1) == found.skipped
    assert [(2,)] == found.query("SELECT count(*) FROM A").rows


def test_a_last_line_without_a_newline_counts(events: Ask, make_line: Line) -> None:
    """A whole record is one, though nothing follows it."""
    found = events(make_line("A").rstrip())

    assert (Skipped(), 1) == (found.skipped, found.records[0].lines)


def test_what_is_no_wide_event_is_counted(events: Ask, make_line: Line) -> None:
    """Log lines, other JSON, text and bytes in between cost nothing but themselves."""
    log = '{"timestamp":"2026-01-02T03:04:05Z","level":"INFO","message":"hi"}\n'
    no_name = '{"timestamp":"2026-01-02T03:04:05Z","record":5}\n{"record":"A"}\n'
    text = make_line("A") + log + no_name + "5\n[1]\nText\n\n\r\n"
    found = events(text.encode() + b"\xff\xfe\n" + make_line("A").encode())

    assert Skipped(torn=0, damaged=2, other=5) == found.skipped
    assert [("A", 2)] == [(r.name, r.lines) for r in found.records]


def test_gzipped_files_are_read(events: Ask, make_line: Line, tmp_path: Any) -> None:
    """A file that was compressed after it was rolled is read like the others."""
    packed = tmp_path / "metrics.log.2026-01-02-02-00.gz"
    packed.write_bytes(gzip.compress(make_line("A").encode()))
    found = events(make_line("A"))

    assert [(2,)] == found.query("SELECT count(*) FROM A").rows


def test_announced_units_are_used(events: Ask, make_line: Line) -> None:
    """A stream's own schema lines give units and are no record themselves [S-2]."""
    announcement = make_line("tachograph.schema", of="A", digest="0", units=["D=Milliseconds"])
    found = events(announcement + make_line("A", D=1))

    assert ["A"] == [r.name for r in found.records]
    assert "Milliseconds" == found.records[0].columns[1].unit
