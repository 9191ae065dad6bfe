"""Records in other formats are the rows that they are in flat JSON."""

from __future__ import annotations

import datetime as dt
import enum
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import tachograph as tg
from tachograph.fleet import Skipped, Sources, WideEvents
from tachograph.formats.cloudwatch import EmfConfig
from tachograph.formats.emf import Emf
from tachograph.formats.json import FlatJson
from tachograph.formats.nested import NestedJson
from tachograph.formats.plan import Closed, FieldPlan, Notes, RecordPlan
from tachograph.formats.schema import announcement, merged
from tachograph.metrics.output import capture_into

WHEN = dt.datetime(2026, 1, 2, tzinfo=dt.UTC)
GLOBALS = {"service_name": "shop"}


class Operation(enum.Enum):
    Get = "Get"
    Set = "Set"


class Order(tg.WideEvent, rename="PascalCase"):
    request_id: str
    operation: Operation
    ok: bool = False
    size: int = tg.metric(0, unit=tg.Unit.BYTES)
    ratio: float | None = None
    status: int = tg.metric(200, as_property=True)
    tags: list[str] | None = None
    due: dt.datetime | None = None
    duration = tg.timer(unit=tg.Unit.MILLISECONDS)
    waits = tg.distribution(unit=tg.Unit.MILLISECONDS)
    pool = tg.mean(unit=tg.Unit.SECONDS)
    bytes_sent = tg.histogram(unit=tg.Unit.BYTES)
    quiet: int = tg.metric(7, log_only=True)
    hits: int | None = tg.metric(default=None, dimensions={"Tier": "Memory"})
    misses: int | None = tg.metric(default=None, dimensions={"Tier": "Disk"})


class Tick(tg.WideEvent):
    beat: int = tg.metric(default=0, unit=tg.Unit.COUNT)


MANY = RecordPlan(
    "Many",
    "",
    (
        *(FieldPlan(f"m{n}", f"m{n}", "metric", "int") for n in range(120)),
        FieldPlan("big", "big", "metric", "distribution"),
    ),
)
PLANS = [Order.__wide_event__.plan, Tick.__wide_event__.plan, MANY]
FORMATS: dict[str, Any] = {
    "flat": FlatJson(GLOBALS),
    "nested": NestedJson(GLOBALS),
    "emf": Emf(EmfConfig(namespaces=["Shop"], globals=GLOBALS, dimensions=[["Operation"], []])),
}
UNKNOWN = ("PoolMin", "PoolMax", "BytesSentSum", "BytesSentMin", "BytesSentMax")
"""What the other formats do not tell, or only within the width of a bucket."""


class Closing:
    """Takes closed records as formats get them."""

    def __init__(self) -> None:
        self.closed: list[Closed] = []

    def add(self, closed: Closed) -> None:
        self.closed.append(closed)


def orders(count: int = 4) -> list[Closed]:
    """Emit orders and ticks, each with a little more in it; return them closed."""
    collector = Closing()
    end = capture_into(collector)
    try:
        for n in range(count):
            with Order(request_id=f"r{n}", operation=Operation.Get, ok=n % 2 == 0) as order:
                order.size = n
                order.ratio = n / 3 if n else None
                order.tags = ["a", 'b"'][:n]
                order.due = WHEN
                for step in range(n):
                    order.waits.add(step + 0.5)
                    order.pool.add(step)
                    order.bytes_sent.add(100 * step)
                order.hits = n if n > 1 else None
                order.misses = n if n > 2 else None
                order.extra["shard"] = n
            Tick(beat=n).emit()
    finally:
        end()
    return collector.closed


def lines(format: str, closed: list[Closed], notes: Notes | None = None) -> bytes:
    """Return the lines of closed records in a format."""
    return b"".join(
        FORMATS[format].encoder(plan)(time_ns, values, notes or own)
        for plan, time_ns, values, own in closed
    )


Load = Callable[..., WideEvents]


@pytest.fixture
def load(tmp_path: Path) -> Iterator[Load]:
    """Call with the bytes of files to get their events, with a schema beside them or without."""
    opened: list[WideEvents] = []

    def opener(*files: bytes, schema: bool = True) -> WideEvents:
        directory = tmp_path / str(len(opened))
        directory.mkdir()
        for number, data in enumerate(files):
            (directory / f"metrics.log.{number}").write_bytes(data)
        if schema:
            (directory / "metrics.schema.json").write_bytes(merged(None, "shop", PLANS))
        opened.append(WideEvents(Sources.find([directory])))
        return opened[-1]

    yield opener
    for one in opened:
        one.close()


def table(events: WideEvents, record: str) -> list[dict[str, Any]]:
    """Return the rows of a record by column, times to the millisecond, absent ones left out."""
    found = events.query(f'FROM "{record}"')
    names = [column.name for column in found.columns]
    return [
        {
            name: value.replace(microsecond=value.microsecond // 1000 * 1000)
            if name == "timestamp"
            else value
            for name, value in zip(names, row, strict=True)
            if value is not None
        }
        for row in found.rows
    ]


def known(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return *rows* without what only the flat format tells, or what only EMF has."""
    return [{k: v for k, v in row.items() if k not in (*UNKNOWN, "Tier")} for row in rows]


@pytest.mark.parametrize("format", ["nested", "emf"])
@pytest.mark.parametrize("record", ["Order", "Tick"])
def test_the_columns_and_values_are_those_of_flat(load: Load, format: str, record: str) -> None:
    """One row a record, of the right class, with types and units as flat JSON gives them."""
    closed = orders()
    flat, other = load(lines("flat", closed)), load(lines(format, closed))

    assert Skipped() == other.skipped
    assert known(table(flat, record)) == known(table(other, record))
    columns = {c.name: (c.type, c.unit) for r in other.records for c in r.columns}
    assert {
        c.name: (c.type, c.unit) for r in flat.records for c in r.columns
    }.items() <= columns.items()


@pytest.mark.parametrize("format", ["nested", "emf"])
def test_what_a_format_does_not_tell_is_absent(load: Load, format: str) -> None:
    """Least and most of a mean are not there; a histogram's are within one per cent."""
    last = table(load(lines(format, orders())), "Order")[-1]

    assert {"PoolCount": 3, "PoolSum": 3.0} == {k: v for k, v in last.items() if k[:4] == "Pool"}
    assert pytest.approx(300, rel=0.01) == last["BytesSentSum"]
    assert (0.0, 3) == (last["BytesSentMin"], last["BytesSentCount"])


@pytest.mark.parametrize("format", ["flat", "nested", "emf"])
def test_a_sampled_record_is_one_with_a_weight(load: Load, format: str) -> None:
    """`_weight` says how many it stands for; its own observations are those that it had."""
    closed = orders()
    whole = known(table(load(lines(format, closed)), "Order"))
    sampled = known(table(load(lines(format, closed, Notes(rate=0.2, weight=5))), "Order"))

    assert {5} == {row.pop("_weight") for row in sampled}
    for row in whole:
        row.pop("shard")  # a test's own notes stand in the place of those that hold it
    for row in sampled:
        row.pop("_rate", None)
    assert whole == sampled


def test_a_mixed_directory_is_one_table(load: Load) -> None:
    """Files of all formats, and lines of all in one file, stand together."""
    closed = orders(3)
    each = [lines(name, closed) for name in FORMATS]
    events = load(*each, b"".join(each))

    assert {"Order": 18, "Tick": 18, "Many": 0} == {r.name: r.lines for r in events.records}
    counts = events.query('SELECT RequestId, count(*) FROM "Order" GROUP BY ALL ORDER BY ALL')
    assert [(f"r{n}", 6) for n in range(3)] == counts.rows


def many() -> list[Closed]:
    """Return one record that CloudWatch takes in several lines."""
    return [Closed(MANY, 1_767_312_245_000_000_000, (*range(120), tuple(range(250))))]


def test_a_record_of_several_lines_is_one_row(load: Load) -> None:
    """Parts are joined by their id wherever they stand, each taken once (SP-9)."""
    text = lines("emf", many()).splitlines(keepends=True)
    assert len(text) == 4
    events = load(text[2] + text[0] + lines("emf", orders(1)), text[3] + text[0] + text[1])
    (row,) = table(events, "Many")

    assert list(range(120)) == [row[f"m{n}"] for n in range(120)]
    assert list(range(250)) == sorted(row["big"])
    assert not {"_id", "_part", "_parts"} & row.keys()
    assert Skipped() == events.skipped


def test_a_record_that_lacks_a_part_is_marked(load: Load) -> None:
    """What is there is a row with its id; how many there are is told."""
    text = lines("emf", many()).splitlines(keepends=True)
    events = load(b"".join(text[:2]))
    (row,) = table(events, "Many")

    assert Skipped(incomplete=1) == events.skipped
    assert (4, 16, 119) == (row["_parts"], len(row["_id"]), row["m119"])


def test_lines_by_dimensions_of_different_records_stay_apart(load: Load) -> None:
    """Equal times do not make one record of two that follow each other (E-7)."""
    closed = [Closed(plan, 0, values, notes) for plan, _, values, notes in orders(4)]
    rows = table(load(lines("emf", closed)), "Order")

    assert ["r0", "r1", "r2", "r3"] == [row["RequestId"] for row in rows]
    assert [None, None, "Memory", ["Memory", "Disk"]] == [
        (tier if isinstance(tier, list) and len(tier) > 1 else tier and tier[0])
        for tier in (row.get("Tier") for row in rows)
    ]


def test_without_a_schema_names_and_units_come_from_the_lines(load: Load) -> None:
    """EMF is a view of its namespace, nested JSON is `nested`; units are those of the metrics."""
    closed = orders(2)
    emf = load(lines("emf", closed), schema=False)
    nested = load(lines("nested", closed), schema=False)

    assert [("Shop", 4), ("nested", 4)] == [
        (r.name, r.lines) for events in (emf, nested) for r in events.records
    ]
    for events in (emf, nested):
        units = {c.name: c.unit for c in events.records[0].columns if c.unit}
        assert ("Bytes", "Milliseconds") == (units["Size"], units["Duration"])
        rows = [row for row in table(events, events.records[0].name) if "RequestId" in row]
        assert [(0, 1), (1, 0)] == [(row["Size"], row["Ok"]) for row in rows]


def test_an_announcement_names_the_classes_of_a_stream(load: Load) -> None:
    """Units that a stream announced tell its lines apart where there is no file (S-2)."""
    told = b"".join(announcement(plan, 0) for plan in PLANS[:2])
    events = load(told + lines("emf", orders(2)), schema=False)

    assert {"Order": 2, "Tick": 2} == {r.name: r.lines for r in events.records}


def test_lines_of_other_libraries_are_read(load: Load) -> None:
    """Any EMF is: bare arrays, no counts, properties first, objects as their text."""
    head = {
        "CloudWatchMetrics": [
            {"Namespace": "App", "Dimensions": [["Kind"]], "Metrics": [{"Name": "m", "Unit": 5}]},
            "junk",
        ],
        "Timestamp": 1_767_312_245_000,
    }
    documents = [
        {"Kind": "a", "m": {"Values": [1, 2]}, "_aws": head},
        {"_aws": head, "Kind": "b", "m": [3, 4], "more": {"deep": {"er": 1}}},
        {"_aws": head, "Kind": "b", "m": {"Values": ["x"], "Counts": [1]}},
        {"_aws": {"CloudWatchMetrics": []}, "Kind": "c"},
    ]
    events = load("".join(json.dumps(d) + "\n" for d in documents).encode(), schema=False)
    by_kind = events.query('SELECT "Kind", m, more FROM App').rows

    assert Skipped(undated=1) == events.skipped
    assert {"App": 3, "emf": 1} == {r.name: r.lines for r in events.records}
    assert [
        ("a", ["1", "2"], None),
        ("b", ["3", "4"], '{"deep":{"er":1}}'),
        ("b", ['{"Values":["x"],"Counts":[1]}'], None),
    ] == by_kind


@pytest.mark.parametrize(
    "line",
    [
        '{"_aws":5,"m":1}',
        '{"_aws":{"CloudWatchMetrics":5},"m":1}',
        '{"timestamp":1,"metrics":5}',
        '{"metrics":{"a":{"value":1}}}',
    ],
)
def test_what_only_looks_like_a_format_is_no_event(load: Load, line: str) -> None:
    """A member of a telling name is not enough."""
    assert Skipped(other=1) == load(f"{line}\n".encode()).skipped


@pytest.mark.parametrize("number", ["1e999", "9" * 5_000])
def test_a_number_that_cannot_be_held_costs_its_line(load: Load, number: str) -> None:
    """A number beyond all numbers is damage, told and survived."""
    text = f'{{"timestamp":1,"metrics":{{"Beat":{{"value":{number}}}}}}}\n'

    assert Skipped(damaged=1) == load(text.encode()).skipped
