"""The schema document."""

from __future__ import annotations

import enum
import json

import tachograph as tg
from tachograph.formats.schema import document, merged


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
