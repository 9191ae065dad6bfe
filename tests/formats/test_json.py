"""Flat JSON lines."""

from __future__ import annotations

import enum
import inspect
import json
import math
import re
import sys
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tachograph as tg
from tachograph._core import native as core
from tachograph.formats.cloudwatch import EmfConfig
from tachograph.formats.emf import Emf
from tachograph.formats.json import FlatJson, mark_dropped
from tachograph.formats.nested import NestedJson
from tachograph.formats.plan import FieldPlan, Notes, RecordPlan

START = 1_705_312_800_000_000_000


class Colour(enum.Enum):
    DARK_RED = 1


class Everything(tg.WideEvent, rename="PascalCase"):
    flag: bool | None = None
    count: int | None = None
    ratio: float | None = None
    price: Decimal | None = None
    text: str | None = None
    colour: Colour | None = None
    moment: datetime | None = None
    key: UUID | None = None
    path: Path | None = None
    tags: list[str] | None = None
    took: timedelta | None = None
    status: int | None = tg.metric(None, as_property=True)
    in_ms = tg.stopwatch(unit=tg.Unit.MILLISECONDS)
    in_s = tg.stopwatch(unit=tg.Unit.SECONDS)
    in_us = tg.stopwatch(unit=tg.Unit.MICROSECONDS)


NAMES = [field.attribute for field in Everything.__wide_event__.fields]


def line(flat: FlatJson | None = None, notes: Notes | None = None, **values: Any) -> bytes:
    """Return the line of a record with these values, absent ones None; native and twin agree."""
    flat = flat or FlatJson()
    closed = (START, tuple(values.get(name) for name in NAMES), notes)
    text = flat.encoder(Everything.__wide_event__.plan)(*closed)
    if core is not None:
        twin = FlatJson(flat.globals, max_line=flat._max_line, native=not flat._native)
        assert text == twin.encoder(Everything.__wide_event__.plan)(*closed)
    return text


def test_an_absent_value_leaves_no_gap() -> None:
    """None is left out with its key; the head is always there and first (TY-1, F)."""
    expected = b'{"timestamp":"2024-01-15T10:00:00.000000Z","record":"Everything"}\n'

    assert expected == line()


@pytest.mark.parametrize(
    ("values", "member"),
    [
        ({"flag": False}, '"Flag":false'),
        ({"count": -5}, '"Count":-5'),
        ({"count": 2**70}, '"Count":1.1805916207174113e21'),
        ({"ratio": 100.0}, '"Ratio":100'),
        ({"ratio": 3}, '"Ratio":3'),
        ({"price": Decimal("0.10")}, '"Price":0.10'),
        ({"text": 'a"\n'}, '"Text":"a\\"\\n"'),
        ({"colour": Colour.DARK_RED}, '"Colour":"DarkRed"'),
        ({"moment": datetime(2024, 1, 15, tzinfo=UTC)}, '"Moment":"2024-01-15T00:00:00.000000Z"'),
        ({"key": UUID(int=1)}, '"Key":"00000000-0000-0000-0000-000000000001"'),
        ({"path": Path("/a")}, '"Path":"/a"'),
        ({"tags": ["a", None, "c"]}, '"Tags":["a","c"]'),
        ({"tags": []}, '"Tags":[]'),
        ({"status": 404}, '"Status":"404"'),
        ({"in_ms": 3_210_000}, '"InMs":3.21'),
        ({"in_ms": 1}, '"InMs":0.000001'),
        ({"in_ms": 0}, '"InMs":0'),
        ({"in_s": 1}, '"InS":1e-9'),
        ({"in_s": 2_000_000_000}, '"InS":2'),
        ({"in_us": 1_500}, '"InUs":1.5'),
    ],
)
def test_each_type_has_one_form(values: dict[str, Any], member: str) -> None:
    """The declared type decides how a value is written (TY-2, TY-3, TY-8)."""
    assert line(**values).decode().endswith(f'"record":"Everything",{member}}}\n')


@pytest.mark.parametrize(
    ("values", "error"),
    [
        ({"count": "3"}, "Count: expected int, got str"),
        ({"flag": 1}, "Flag: expected bool, got int"),
        ({"text": 3}, "Text: expected str, got int"),
        ({"colour": "red"}, "Colour: expected Colour, got str"),
        ({"moment": datetime(2024, 1, 15)}, "Moment: expected an aware datetime, got a naive one"),  # noqa: DTZ001
        ({"tags": "abc"}, "Tags: expected list, got str"),
        ({"key": "x"}, "Key: expected UUID, got str"),
    ],
)
def test_a_bad_value_costs_its_field_only(values: dict[str, Any], error: str) -> None:
    """The record survives without the field; `_errors` says what was expected (LC-14, TY-4)."""
    flat = FlatJson()
    found = json.loads(line(flat, ratio=1.5, **values))

    assert found["Ratio"] == 1.5
    assert found["_errors"] == [error]
    assert flat.tally.encode_errors == 1


class Whole(tg.WideEvent):
    flag: bool = False
    count: int = 0
    ratio: float = 0.0
    price: Decimal = Decimal(0)
    text: str = ""
    colour: Colour = Colour.DARK_RED
    moment: datetime = datetime(2024, 1, 1, tzinfo=UTC)
    key: UUID = UUID(int=0)
    path: Path = Path("/")
    tags: list[str] = tg.metric(default_factory=list)
    status: int = tg.metric(0, as_property=True)


@pytest.mark.parametrize("field", Whole.__wide_event__.fields, ids=lambda f: f.emitted)
@pytest.mark.parametrize("native", [False, None])
def test_nothing_is_told_where_something_was_promised(
    field: FieldPlan, native: bool | None
) -> None:
    """None in a field that is not optional is a value of the wrong type, in every format."""
    plan = RecordPlan("Whole", "", (field,))
    emf = Emf(EmfConfig(namespaces=["A"]), native=native)
    for format_ in (FlatJson(native=native), emf, NestedJson()):
        found = json.loads(format_.encoder(plan)(START, (None,), None))
        (error,) = found.get("properties", found)["_errors"]

        assert re.fullmatch(rf"{field.emitted}: expected \w+, got NoneType", error)
        assert 1 == format_.tally.encode_errors


@pytest.mark.parametrize(
    "notes",
    [
        Notes(incomplete=("handler",)),
        Notes(errors=("size: ValueError: broken",)),
    ],
)
@pytest.mark.parametrize("native", [False, None])
def test_what_is_told_already_is_not_told_twice(notes: Notes, native: bool | None) -> None:
    """A late child has no values, and a field that failed at its close has its own reason."""
    plan = RecordPlan("Late", "", (FieldPlan("handler.size", "size", "metric", "int"),))
    flat = FlatJson(native=native)
    found = json.loads(flat.encoder(plan)(START, (None,), notes))

    assert list(notes.errors) == found.get("_errors", [])
    assert 0 == flat.tally.encode_errors


def test_nan_leaves_its_key_out_and_is_counted() -> None:
    """NaN is no value: absent, counted, no error in the line (metric formats 1.2)."""
    flat = FlatJson()
    found = json.loads(line(flat, ratio=math.nan, count=1))

    assert "Ratio" not in found
    assert "_errors" not in found
    assert flat.tally.nan_skipped == 1


def test_long_text_is_cut_and_named() -> None:
    """A property has at most 4,096 characters; the cut is told in band (wide events 12)."""
    found = json.loads(line(text="x" * 5_000))

    assert len(found["Text"]) == 4_096
    assert found["_truncated"] == ["Text"]


def test_a_line_that_cannot_fit_is_a_stub() -> None:
    """Longest texts are cut first; what still does not fit leaves a line that says so."""
    short = json.loads(line(FlatJson(max_line=2_000), text="x" * 4_000))
    stub = json.loads(line(FlatJson(max_line=200), text="x" * 4_000, count=1))

    assert len(short["Text"]) == 1_024
    assert short["_truncated"] == ["Text"]
    assert stub["_errors"][0].startswith("oversize:")
    assert "Count" not in stub


def test_lone_surrogates_do_not_lose_the_line() -> None:
    """Text that has no UTF-8 form is written with U+FFFD (metric formats 1.3)."""
    assert json.loads(line(text="a\ud800b"))["Text"] == "a\ufffdb"


def test_globals_stand_before_the_fields_in_their_order() -> None:
    """Head, globals, fields, trailer (metric formats 2.1, GD-1)."""
    found = json.loads(line(FlatJson({"service_name": "orders", "host": "h"}), count=1))

    assert ["timestamp", "record", "service_name", "host", "Count"] == list(found)


def test_a_field_wins_over_a_global_of_its_name() -> None:
    """No key appears twice in a line (metric formats 5)."""
    text = line(FlatJson({"Count": "global"}), count=1).decode()

    assert text.count('"Count"') == 1
    assert json.loads(text)["Count"] == 1


def test_notes_are_told_in_the_trailer() -> None:
    """`_incomplete` and `_errors` come last, in this order (metric formats 2.1)."""
    found = line(notes=Notes(incomplete=("scope",), errors=("A: b",)), count=1).decode()

    assert found.endswith('"Count":1,"_incomplete":["scope"],"_errors":["A: b"]}\n')


def test_a_loss_is_marked_as_the_last_member() -> None:
    """`_dropped` counts the lines lost before this one (wide events 10)."""
    assert mark_dropped(b'{"a":1}\n', 3) == b'{"a":1,"_dropped":3}\n'
    assert mark_dropped(b"{}\n", 3) == b'{"_dropped":3}\n'
    assert mark_dropped(b"text\n", 3) == b"text\n"


def test_the_generated_encoder_can_be_read() -> None:
    """`inspect.getsource` prints what was generated."""
    encode = FlatJson(native=False).encoder(Everything.__wide_event__.plan)

    assert "def encode(time_ns, values, notes):" in inspect.getsource(encode)


VALUES = {
    "flag": st.booleans(),
    "count": st.integers(),
    "ratio": st.floats(),
    "price": st.decimals(),
    "text": st.text(alphabet=st.characters()),
    "colour": st.sampled_from(Colour),
    "moment": st.datetimes(timezones=st.just(UTC)),
    "key": st.uuids(),
    "path": st.builds(Path, st.text(alphabet=st.characters(codec="utf-8"))),
    "tags": st.lists(st.none() | st.text() | st.integers() | st.floats()),
    "took": st.floats(),
    "status": st.integers(),
    "in_ms": st.integers(),
    "in_s": st.integers(0, 10**18),
    "in_us": st.integers(0, 10**12),
}
ANY = st.none() | st.booleans() | st.integers() | st.text() | st.binary() | st.builds(object)


@given(st.fixed_dictionaries({n: st.none() | v | ANY for n, v in VALUES.items()}))
def test_whatever_the_values_are_the_line_is_one_json_object(values: dict[str, Any]) -> None:
    """One line, one object, no key twice, keys in declared order, head first."""
    text = line(**values)
    pairs = json.loads(text, object_pairs_hook=list)
    keys = [key for key, _ in pairs]
    order = [field.emitted for field in Everything.__wide_event__.fields]
    fields = [key for key in keys[2:] if not key.startswith("_")]

    assert text.endswith(b"}\n")
    assert text.count(b"\n") == 1
    assert len(keys) == len(set(keys))
    assert keys[:2] == ["timestamp", "record"]
    assert fields == [name for name in order if name in fields]


@given(st.integers(0, 10**18), st.integers(0, 10**7))
def test_native_and_twin_write_every_duration_alike(large: int, small: int) -> None:
    """Nanoseconds in each unit, with the shortest digits that round-trip (N-3)."""
    for ns in (large, small):
        line(in_ms=ns, in_s=ns, in_us=ns)


@given(st.floats())
def test_native_and_twin_write_every_float_alike(value: float) -> None:
    """Digits, windows, zeros, infinities (N-3 to N-7)."""
    line(ratio=value)


@given(st.integers(0, 253_402_300_799_999_999_999), st.integers(-(2**70), 2**70))
def test_native_and_twin_write_every_time_and_integer_alike(time_ns: int, value: int) -> None:
    """Up to the year 9999 and beyond 64 bits."""
    values = tuple(value if name in ("count", "status") else None for name in NAMES)
    plan = Everything.__wide_event__.plan
    texts = {
        FlatJson(native=native).encoder(plan)(time_ns, values, None)
        for native in ([False, True] if core else [False])
    }

    assert len(texts) == 1


@pytest.mark.skipif(core is None, reason="the native core is not built")
def test_the_native_encoder_refuses_what_is_no_record() -> None:
    """Wrong arguments are a `TypeError`, wrong shapes go to the careful encoder."""
    encode: Any = FlatJson(native=True).encoder(Everything.__wide_event__.plan)

    with pytest.raises(TypeError):
        encode(START)
    with pytest.raises(TypeError):
        encode(START, (), notes=None)
    with pytest.raises(TypeError):
        core.LineEncoder(b"", [("no",)], print, 1)  # type: ignore[list-item, arg-type]
    with pytest.raises(TypeError):
        core.LineEncoder(b"", [(b"a", 1, True, 5, str, 1)], print, 1)  # type: ignore[list-item, arg-type]


def test_an_encoder_holds_nothing_for_ever() -> None:
    """Lines leave no references behind, whichever path they take."""
    encode = FlatJson().encoder(Everything.__wide_event__.plan)
    key = UUID(int=7)
    values = tuple(key if name == "key" else None for name in NAMES)
    before = sys.getrefcount(key)
    for _ in range(100):
        encode(START, values, None)
        encode(START, values, Notes(errors=("a",)))

    assert sys.getrefcount(key) == before


@pytest.mark.parametrize("native", [False, None])
def test_a_long_list_of_short_elements_is_cut(native: bool | None) -> None:
    """256 elements at most, though the line is far from any limit."""
    plan = RecordPlan("R", "", (FieldPlan("tags", "tags", "list", "list"),))
    line = json.loads(FlatJson(native=native).encoder(plan)(0, (["x"] * 300,), None))

    assert 256 == len(line["tags"])
    assert ["tags"] == line["_truncated"]
