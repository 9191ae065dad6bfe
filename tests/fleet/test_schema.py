"""Units and types from schema documents."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tachograph.errors import CommandError
from tachograph.fleet.schema import Declared, Schema


def document(tmp_path: Path, name: str, *fields: dict[str, object]) -> Path:
    """Write a document with one class `A` of *fields*."""
    path = tmp_path / name
    path.write_text(json.dumps({"records": [{"record": "A", "fields": list(fields)}]}))
    return path


def test_documents_are_one(tmp_path: Path) -> None:
    """Fields of every document and version of a class stand together."""
    one = document(tmp_path, "1", {"name": "D", "kind": "metric", "type": "int", "unit": "Bytes"})
    two = document(tmp_path, "2", {"name": "E", "kind": "property", "type": "str", "unit": None})

    found = Schema.read([one, two]).of("A")

    assert {"D": Declared("metric", "int", ("Bytes",)), "E": Declared("property", "str")} == found


def test_mixed_units_are_said(tmp_path: Path) -> None:
    """A field that changed its unit shows both: its values are not comparable."""
    one = document(tmp_path, "1", {"name": "D", "kind": "metric", "type": "int", "unit": "Seconds"})
    two = document(
        tmp_path, "2", {"name": "D", "kind": "metric", "type": "int", "unit": "Milliseconds"}
    )

    assert "Seconds or Milliseconds" == Schema.read([one, two]).of("A")["D"].unit


def test_an_unknown_record_has_no_fields() -> None:
    """A class that no document describes is inferred from its lines alone."""
    assert {} == Schema().of("Nothing")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"records":[{}]}', '{"records":5}'])
def test_a_damaged_document_is_named(tmp_path: Path, text: str) -> None:
    """What is no schema document is an error with its path and the way out."""
    path = tmp_path / "metrics.schema.json"
    path.write_text(text)

    with pytest.raises(CommandError, match=r"metrics\.schema\.json is not a schema document"):
        Schema.read([path])


def test_announced_units_fill_gaps_only() -> None:
    """A unit announced in the stream counts where no document declares the field."""
    schema = Schema({"A": {"D": Declared("metric", "int", ("Bytes",))}})

    found = schema.with_units({"A": {"D": "Seconds", "E": "Seconds"}}).of("A")

    assert ("Bytes", "Seconds") == (found["D"].unit, found["E"].unit)
