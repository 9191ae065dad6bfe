"""One record as one line of JSON."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tachograph._base.clock import clock
from tachograph.logs import context
from tachograph.logs.line import MAX_LINE, JsonLine
from tachograph.logs.record import hand_over
from tachograph.logs.tally import Tally

GLOBALS = {"service_name": "orders", "region": "eu"}


class Colour(Enum):
    RED = "#f00"


class Unprintable:
    def __str__(self) -> str:
        raise RuntimeError


class Kept(logging.Logger):
    """A logger that keeps the record instead of handling it."""

    kept: logging.LogRecord

    def handle(self, record: logging.LogRecord) -> None:
        """Keep *record*."""
        self.kept = record


def record_of(msg: Any = "m", fields: Any = (), exc: Any = None, **attributes: Any) -> Any:
    """A record as our logger makes it; *attributes* are set on it afterwards."""
    logger = Kept("orders.api")
    hand_over(logger, 20, msg, (), dict(fields), place=("f", 1, "f"), exc_info=exc)
    logger.kept.__dict__.update(attributes)
    return logger.kept


def text_of(record: Any, names: Any = GLOBALS, tally: Tally | None = None) -> str:
    """The line of *record* without its newline, which is its only one."""
    line = JsonLine(names, tally or Tally()).encode(record)
    text = line.decode()
    assert text.endswith("}\n")
    assert 1 == text.count("\n")
    return text[:-1]


def line_of(record: Any, **options: Any) -> dict[str, Any]:
    """The line of *record*, read back."""
    found: dict[str, Any] = json.loads(text_of(record, **options))
    return found


def test_whole_line() -> None:
    """Time, level, logger, message, globals, context, fields, exception; no blanks between."""
    record = record_of("paid", {"a": 1, "b": "x"}, ValueError("v"), created=1705312800.000001)
    with context(request_id="6f1c"):
        text = text_of(record)

    assert (
        '{"timestamp":"2024-01-15T10:00:00.000001Z","level":"INFO","logger":"orders.api",'
        '"message":"paid","service_name":"orders","region":"eu","request_id":"6f1c","a":1,"b":"x",'
        '"exception":{"type":"ValueError","message":"v","frames":[]}}'
    ) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        (True, "true"),
        (2**70, "1.1805916207174113e21"),
        (1e16, "10000000000000000"),
        (100.0, "100"),
        (float("nan"), "null"),
        (float("inf"), "1.7976931348623157e308"),
        (Decimal("0.10"), "0.10"),
        (Colour.RED, '"RED"'),
        (datetime(2024, 1, 15, 10, tzinfo=UTC), '"2024-01-15T10:00:00.000000Z"'),
        ({"a": [1, None, {"b": ()}]}, '{"a":[1,null,{"b":[]}]}'),
        (b"raw", "\"b'raw'\""),
        ('"\\\n\t\x00\x7fü\u2028', '"\\"\\\\\\n\\t\\u0000\x7fü\u2028"'),
        ("\ud800", '"\ufffd"'),
        (KeyError("k"), "\"KeyError: 'k'\""),
    ],
)
def test_values_by_the_text_rules(value: Any, text: str) -> None:
    """Values are written by the rules of all records: numbers, escapes, surrogates, containers."""
    assert text_of(record_of(fields={"v": value}), names={}).endswith(f',"v":{text}}}')


def test_own_names_and_globals_cannot_be_overwritten() -> None:
    """A field or context field called like one of these gets `_` appended, as often as needed."""
    fields = {"level": "x", "service_name": "y", "level_": 1, "exception": 2, "logger": "z"}
    with context(message="c", timestamp="t"):
        found = line_of(record_of("m", fields))

    assert ("INFO", "orders.api", "m", "orders") == tuple(
        found[name] for name in ("level", "logger", "message", "service_name")
    )
    assert {
        "message_": "c",
        "timestamp_": "t",
        "level__": "x",
        "service_name_": "y",
        "level_": 1,
        "exception_": 2,
        "logger_": "z",
    } == {name: value for name, value in found.items() if name.endswith("_")}


def test_field_beats_context_in_its_place() -> None:
    """A field called like a context field is written once, with its value, where that one is."""
    with context(a=1, b=2):
        text = text_of(record_of(fields={"c": 3, "a": 4}), names={})

    assert text.endswith('"message":"m","a":4,"b":2,"c":3}')


def test_names_are_texts() -> None:
    """A name that is no text is written as text, without meeting another name."""
    found = text_of(record_of(fields={1: "a", "1": "b", None: "c", "ü": 1, "\ud800": 2}), names={})

    assert found.endswith('"1_":"a","1":"b","None":"c","ü":1,"?":2}')


def test_value_without_text_costs_its_field_only() -> None:
    """A value whose `__str__` raises is named by its type and counted; the others are written."""
    tally = Tally()
    fields = {"a": Unprintable(), "b": [1, Unprintable()], "c": "<unprintable x>"}
    found = line_of(record_of(fields=fields), tally=tally)

    assert ["<unprintable Unprintable>", [1, "<unprintable Unprintable>"], "<unprintable x>"] == [
        found[name] for name in "abc"
    ]
    assert 2 == tally.field_errors


def test_bad_message_costs_the_message_only() -> None:
    """A message whose arguments do not fit is written as it is; `_errors` says why; counted."""
    tally = Tally()
    found = line_of(record_of("%d items", {"a": 1}, args=("x",)), tally=tally)

    assert ("%d items", 1) == (found["message"], found["a"])
    assert found["_errors"][0].startswith("message: TypeError: %d format")
    assert found["_errors"][0].endswith("(arguments: ('x',))")
    assert 1 == tally.message_errors


@pytest.mark.parametrize(
    ("fields", "msg", "cut"),
    [
        ({"a": "x" * 4_097}, "m", ["a"]),
        ({}, "x" * 20_000, ["message"]),
        ({"a": list(range(257))}, "m", ["a"]),
        ({"a": ["x" * 4_000] * 100}, "m", ["a"]),
        ({"a": type("Long", (), {"__str__": lambda _: "x" * 5_000})()}, "m", ["a"]),
        ({"a": "x" * 4_096, "b": list(range(256))}, "x" * 16_384, None),
    ],
)
def test_what_is_cut_is_named(fields: dict[str, Any], msg: str, cut: list[str] | None) -> None:
    """Long texts, messages and containers are cut, and `_truncated` names which; counted."""
    tally = Tally()
    found = line_of(record_of(msg, fields), tally=tally)

    assert cut == found.get("_truncated")
    assert (1 if cut else 0) == tally.truncated


def test_line_is_bounded() -> None:
    """A line that would be too long keeps the first fields that have room and names the others."""
    fields = {f"f{n:02}": "ü" * 4_000 for n in range(40)}
    record = record_of("\0" * 16_000, fields, ValueError("v"))
    with context(request_id="6f1c"):
        text = text_of(record, names={})
    found = json.loads(text)

    assert MAX_LINE >= len(text.encode()) + 1
    assert 2_048 == len(found["message"])
    assert ("6f1c", "ValueError") == (found["request_id"], found["exception"]["type"])
    kept = [name for name in fields if name in found]
    assert kept == list(fields)[: len(kept)]
    assert ["message", list(fields)[len(kept)]] == found["_truncated"][:2]
    assert f"and {40 - len(kept) + 1 - 16} more" == found["_truncated"][-1]


def test_many_small_fields_are_bounded() -> None:
    """So is a line of very many fields with long names."""
    fields = {f"{n}{'x' * 300}": n for n in range(2_000)}
    text = text_of(record_of(fields=fields), names={})

    assert MAX_LINE >= len(text.encode()) + 1
    assert 17 == len(json.loads(text)["_truncated"])


def test_trace_has_its_name() -> None:
    """A line of level 5 is a TRACE unless somebody named that level; custom names are kept."""
    records = [
        record_of(levelno=5, levelname="Level 5"),
        record_of(levelno=25, levelname="NOTICE"),
        record_of(levelno=35, levelname="Level 35"),
    ]

    assert ["TRACE", "NOTICE", "Level 35"] == [line_of(record)["level"] for record in records]


def test_time_is_the_records_unless_the_clock_was_moved(monkeypatch: pytest.MonkeyPatch) -> None:
    """The time is when the record was made; a test that moves the clock sees its time."""
    record = record_of(created=1705312800.123456)
    before = line_of(record)["timestamp"]
    monkeypatch.setattr(clock, "time_ns", lambda: 1_000_000_000_000_001_999)
    moved = line_of(record)["timestamp"]

    assert ["2024-01-15T10:00:00.123456Z", "2001-09-09T01:46:40.000001Z"] == [before, moved]


@pytest.mark.parametrize("micros", [8, 19, 29, 999_999])
def test_time_keeps_its_microsecond(micros: int) -> None:
    """The six digits are those of the clock, though a record holds them as a float of seconds."""
    created = (1_705_312_800_000_000_000 + micros * 1_000) / 1e9  # as `time.time()` makes it

    assert f"{micros:06}Z" == line_of(record_of(created=created))["timestamp"][-7:]


def test_record_from_elsewhere() -> None:
    """A record made of a dictionary, as sockets deliver them, is a line; unknown time is now."""
    for attributes in ({"msg": "x"}, {"msg": "x", "created": None}, {"msg": "x", "created": 1e300}):
        record = logging.makeLogRecord(attributes)

        assert "x" == line_of(record)["message"]
        assert line_of(record)["timestamp"].endswith("Z")


def test_least_line() -> None:
    """For a record that cannot be written there is a line that says so, with the globals."""
    line = JsonLine(GLOBALS, Tally()).least(record_of(name=Unprintable()), ValueError("why\n"))
    found = json.loads(line)

    assert 1 == line.count(b"\n")
    assert ("ERROR", "<unprintable Unprintable>", "orders", ["ValueError: why\n"]) == tuple(
        found[name] for name in ("level", "logger", "service_name", "_errors")
    )


scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(),
    st.text(st.characters(categories=["Cs", "Cc", "Zl", "Zp"])),
    st.binary(),
    st.dates(),
    st.timedeltas(),
    st.decimals(),
    st.builds(Unprintable),
    st.builds(ValueError, st.text()),
)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.text() | st.integers(), inner, max_size=4),
        st.tuples(inner, inner),
    ),
    max_leaves=12,
)
names = st.text() | st.sampled_from(["level", "level_", "service_name", "name", "args", "_errors"])


@given(
    msg=st.text() | values,
    args=st.lists(values, max_size=3),
    fields=st.dictionaries(names, values, max_size=6),
    bound=st.dictionaries(names, values, max_size=3),
    exc=st.none() | st.builds(ValueError, values),
    name=st.text(),
    levelname=st.text(),
)
def test_any_record_is_one_line(
    msg: Any, args: Any, fields: Any, bound: Any, exc: Any, name: str, levelname: str
) -> None:
    """Any record becomes one JSON object on one line, bounded, with each name once."""
    record = record_of(msg, fields, exc, args=tuple(args), name=name, levelname=levelname)
    with context(**bound):
        text = text_of(record)
    pairs = json.loads(text, object_pairs_hook=list)
    found = [name for name, _ in pairs]

    assert ["timestamp", "level", "logger", "message", *GLOBALS] == found[:6]
    assert len(set(found)) == len(found)
    # At this size values may be cut, but no field is lost.
    assert len({**bound, **fields}) <= len(found) - 6
