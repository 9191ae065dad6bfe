"""The schema document."""

from __future__ import annotations

import enum
import json

import tachograph as tg
from tachograph.formats.schema import announcement, document, merged


class Operation(enum.Enum):
    GET = 1


class Order(tg.WideEvent, rename="PascalCase"):
    """One order."""

    duration = tg.timer(unit=tg.Unit.MILLISECONDS)
    operation: Operation


class Other(tg.WideEvent):
    count: int = tg.metric(0, unit=tg.Unit.COUNT, doc="How many.")


PLAN = Order.__wide_event__.plan


def test_the_fields_of_a_class_and_their_digest() -> None:
    """Fields in emitted order; the digest covers all but the documentation (S-1)."""
    expected = (
        '[{"name":"Duration","kind":"metric","type":"float","unit":"Milliseconds","optional":false},'
        '{"name":"Operation","kind":"property","type":"enum","unit":null,"optional":false}]'
    )
    found = json.dumps([f.schema() for f in PLAN.fields], separators=(",", ":"))

    assert expected == found
    assert PLAN.digest == "26c00532ec84eb46"


def test_the_document_names_the_service_and_each_class() -> None:
    """Service, then one entry a class with its documentation."""
    found = document("shop", [Other.__wide_event__.plan])

    assert found["service"] == "shop"
    assert found["records"][0]["record"] == "Other"
    assert found["records"][0]["fields"][0]["doc"] == "How many."


def test_a_field_of_many_observations_names_its_parts() -> None:
    """The names that its count, sum and so on have in a line are told, outside of the digest."""

    class Batch(tg.WideEvent, rename="kebab-case"):
        db = tg.mean(unit=tg.Unit.MILLISECONDS)
        wait = tg.histogram()
        size: int = 0

    plan = Batch.__wide_event__.plan
    fields = document("shop", [plan])["records"][0]["fields"]

    assert [
        ["db-count", "db-sum", "db-min", "db-max"],
        ["wait-count", "wait-sum", "wait-min", "wait-max", "wait-p50", "wait-p99"],
        None,
    ] == [field.get("parts") for field in fields]
    assert all("parts" not in field.schema() for field in plan.fields)


def test_a_stream_is_told_the_units_of_a_class() -> None:
    """The announcement is a flat line with the class, its digest and its units (S-2)."""
    expected = (
        b'{"timestamp":"2024-01-15T10:00:00.000000Z","record":"tachograph.schema","of":"Order",'
        b'"digest":"26c00532ec84eb46","units":["Duration=Milliseconds"]}\n'
    )

    assert expected == announcement(PLAN, 1_705_312_800_000_000_000)


def test_merging_keeps_other_classes_and_older_digests() -> None:
    """An entry is replaced by one of the same class and digest only."""
    first = merged(None, "shop", [PLAN])
    older = json.loads(first)
    older["records"].append({"record": "Order", "digest": "0" * 16, "doc": "", "fields": []})
    found = json.loads(
        merged(json.dumps(older).encode(), "shop", [PLAN, Other.__wide_event__.plan])
    )

    assert [
        ("Order", "0" * 16),
        ("Order", PLAN.digest),
        ("Other", Other.__wide_event__.plan.digest),
    ] == [(entry["record"], entry["digest"]) for entry in found["records"]]


def test_a_file_that_is_no_schema_is_replaced() -> None:
    """Garbage in the file never stops the service."""
    assert merged(b"garbage", "shop", [PLAN]) == merged(None, "shop", [PLAN])
    assert merged(b"[1]", "shop", [PLAN]) == merged(None, "shop", [PLAN])
