"""Units of fields, and values that bring their own."""

from __future__ import annotations

import json
import types
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

import tachograph as tg
from tachograph.formats.cloudwatch import EmfConfig
from tachograph.formats.emf import Emf
from tachograph.formats.json import FlatJson
from tachograph.formats.nested import NestedJson
from tachograph.formats.pretty import Pretty
from tachograph.formats.schema import document
from tachograph.metrics import statistics
from tachograph.testing import CapturedEvents, capture_events


class Transfer(tg.WideEvent):
    took: float | tg.Quantity = tg.metric(default=0.0, unit=tg.Unit.SECONDS)
    size: int | tg.Quantity = tg.metric(default=0, unit=tg.Unit.BITS)
    limit: tg.Quantity | None = tg.metric(default=None, unit=tg.Unit.BYTES)
    patience: tg.Quantity = tg.Unit.SECONDS(5)
    price: Decimal | tg.Quantity | None = tg.metric(default=None, unit="Euro")
    tokens: int = tg.metric(default=0, unit="Tokens")
    plain: float | tg.Quantity | None = None
    waits = tg.distribution(unit=tg.Unit.MILLISECONDS)
    rates = tg.mean(unit=tg.Unit.KILOBITS_PER_SECOND)
    costs = tg.histogram(unit="Tokens")


@pytest.fixture
def events() -> Iterator[CapturedEvents]:
    """Capture what the test emits."""
    with capture_events() as captured:
        yield captured


def test_a_value_comes_with_its_unit(events: CapturedEvents) -> None:
    """It is written in the unit that its field declares [UN-3, UN-4]."""
    with Transfer() as transfer:
        transfer.took = tg.Unit.MILLISECONDS(42)
        transfer.size = tg.Unit.KILOBYTES(2)
        transfer.limit = tg.Unit.MEGABITS(8)
        transfer.price = tg.Quantity(Decimal("0.10"), "Euro")
        transfer.plain = tg.Unit.NONE(7)

    assert (0.042, 16_000, 1_000_000, 0.1, 7) == tuple(
        events.one()[name] for name in ("took", "size", "limit", "price", "plain")
    )


def test_a_number_without_a_unit_is_in_the_declared_one(events: CapturedEvents) -> None:
    """An integer stays one [UN-7]."""
    with Transfer(size=5, tokens=2**60):
        pass

    assert (5, 2**60) == (events.one().size, events.one().tokens)
    assert isinstance(events.one().size, int)


def test_the_unit_is_its_text(events: CapturedEvents) -> None:
    """99 declared in kilobytes are 99, and the schema says `Kilobytes` [UN-5]."""

    class Sized(tg.WideEvent):
        size: int = tg.metric(default=0, unit=tg.Unit.KILOBYTES)

    Sized(size=99).emit()
    (field,) = Sized.__wide_event__.fields

    assert (99, "Kilobytes") == (events.one().size, field.unit)


def test_a_default_may_bring_the_unit(events: CapturedEvents) -> None:
    """Then the field need not declare it again."""
    Transfer().emit()
    patience = next(f for f in Transfer.__wide_event__.fields if f.attribute == "patience")

    assert 5 == events.one().patience
    assert ("metric", "float", "Seconds") == (patience.kind, patience.type, patience.unit)


def test_another_family_costs_the_field_only(events: CapturedEvents) -> None:
    """The record tells what was promised and what came [UN-6]."""
    with Transfer() as transfer:
        transfer.limit = tg.Unit.SECONDS(1)
        transfer.plain = tg.Unit.BYTES(1)
        transfer.tokens = 3

    event = events.one()
    assert (None, None, 3) == (event.limit, event.plain, event.tokens)
    assert [
        "limit: promised `Bytes`, got `Seconds`",
        "plain: promised no unit, got `Bytes`",
    ] == event["_errors"]


def test_a_default_of_another_family_is_refused() -> None:
    """At the declaration, where both units are known [UN-6]."""
    with pytest.raises(tg.DeclarationError, match="promised `Bytes`, got `Seconds`"):

        class Bad(tg.WideEvent):
            size: tg.Quantity = tg.metric(tg.Unit.SECONDS(5), unit=tg.Unit.BYTES)

    with pytest.raises(tg.DeclarationError, match="`str` takes no default with a unit"):

        class Worse(tg.WideEvent):
            name: str = tg.metric(tg.Unit.SECONDS(5))  # type: ignore[assignment]


def test_durations_take_quantities_of_time(events: CapturedEvents) -> None:
    """A `timedelta` field is converted like any other, each to its own unit [UN-1, UN-2]."""

    class Durations(tg.WideEvent):
        short: timedelta | tg.Quantity | None = tg.metric(default=None)
        long: timedelta | tg.Quantity | None = tg.metric(default=None, unit=tg.Unit.SECONDS)

    Durations(short=timedelta(microseconds=12_345_678), long=timedelta(milliseconds=42)).emit()
    Durations(short=tg.Unit.MICROSECONDS(170), long=tg.Unit.MILLISECONDS(42)).emit()
    Durations(short=tg.Unit.BYTES(1), long=3).emit()  # type: ignore[arg-type]

    assert [(12_345.678, 0.042), (0.17, 0.042), (None, None)] == [
        (event.short, event.long) for event in events
    ]
    assert [
        "short: promised `Milliseconds`, got `Bytes`",
        "long: expected timedelta, got int",
    ] == events.last["_errors"]


def test_an_int_field_stays_one(events: CapturedEvents) -> None:
    """Four bits are half a byte, which the schema's `int` is not: left out, and told."""

    class Small(tg.WideEvent):
        size: int | tg.Quantity = tg.metric(default=0, unit=tg.Unit.BYTES)

    Small(size=tg.Unit.BITS(4)).emit()
    Small(size=tg.Unit.BITS(16)).emit()

    assert [None, 2] == [event.size for event in events]
    assert ["size: expected int, got float"] == events.all()[0]["_errors"]


def test_observations_come_with_their_units(events: CapturedEvents) -> None:
    """Each is converted; the wrong ones are left out, counted and told, the others stay [UN-6]."""
    before = statistics.observations_rejected
    with Transfer() as transfer:
        for wait in (tg.Unit.SECONDS(1), timedelta(microseconds=170), 3, tg.Unit.BYTES(1)):
            transfer.waits.add(wait)
        transfer.rates.add(tg.Unit.KILOBYTES_PER_SECOND(1), n=2)
        transfer.costs.add(tg.Quantity(7, "Tokens"))
        transfer.costs.add(timedelta(1))
    event = events.one()

    assert [1_000, 0.17, 3] == event["waits"]
    assert (2, 16, 1, 7) == tuple(
        event[name] for name in ("rates_count", "rates_sum", "costs_count", "costs_max")
    )
    assert [
        "waits: promised `Milliseconds`, got `Bytes`",
        "costs: promised `Tokens`, got `Microseconds`",
    ] == event["_errors"]
    assert before + 2 == statistics.observations_rejected


def define(spec: Any) -> None:
    """Define a class with one field."""
    types.new_class("Bad", (tg.WideEvent,), exec_body=lambda body: body.__setitem__("field", spec))


def test_timers_keep_to_time() -> None:
    """A unit of one's own has no nanoseconds."""
    unit: Any = "Tokens"
    for make in (tg.timer, tg.stopwatch):
        with pytest.raises(tg.DeclarationError, match="expected a unit of time, got 'Tokens'"):
            define(make(unit=unit))


def test_units_are_units() -> None:
    """What is neither a `Unit` nor a text is refused, wherever it stands."""
    counter: Any = tg.Counter()
    wrong: Any = 5
    for spec in (
        tg.distribution(unit=wrong),
        tg.mean(unit=wrong),
        tg.gauge(counter, unit=wrong),
    ):
        with pytest.raises(tg.DeclarationError, match="expected a `Unit` or a text, got 5"):
            define(spec)
    with pytest.raises(tg.DeclarationError, match="expected a `Unit` or a text, got 5"):

        class Bad(tg.WideEvent):
            size: int = tg.metric(default=0, unit=wrong)


def test_a_unit_of_ones_own_is_kept_but_for_cloudwatch() -> None:
    """The schema, nested JSON and people see it; EMF's definition leaves it out [E-11]."""
    plan = Transfer.__wide_event__.plan
    values = tuple(3 if f.attribute == "tokens" else None for f in plan.fields)
    fields = {f["name"]: f["unit"] for f in document("s", [plan])["records"][0]["fields"]}
    nested = json.loads(NestedJson().encoder(plan)(0, values, None))
    emf = json.loads(Emf(EmfConfig(namespaces=["NS"])).encoder(plan)(0, values, None))

    assert ("Tokens", "Tokens") == (fields["tokens"], fields["costs"])
    assert {"tokens": {"value": 3, "unit": "Tokens"}} == nested["metrics"]
    assert [{"Name": "tokens"}] == emf["_aws"]["CloudWatchMetrics"][0]["Metrics"]
    assert "tokens=3 Tokens" in Pretty().encoder(plan)(0, values, None).decode()


@pytest.mark.parametrize("native", [False, None])
def test_every_format_converts(native: bool | None) -> None:
    """Flat JSON, nested JSON, EMF: by the native core where it is, and by its twin."""
    plan = Transfer.__wide_event__.plan
    values = tuple(
        tg.Unit.KILOBYTES(2) if f.attribute == "size" else None for f in plan.fields[:7]
    ) + (None,) * (len(plan.fields) - 7)
    flat = json.loads(FlatJson(native=native).encoder(plan)(0, values, None))
    nested = json.loads(NestedJson().encoder(plan)(0, values, None))
    emf = json.loads(
        Emf(EmfConfig(namespaces=["NS"]), native=native).encoder(plan)(0, values, None)
    )

    assert (16_000, {"value": 16_000, "unit": "Bits"}, 16_000) == (
        flat["size"],
        nested["metrics"]["size"],
        emf["size"],
    )
