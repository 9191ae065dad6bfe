"""The schema document: which fields each record class emits, with their kinds, types and units.

A line holds numbers only; what they mean stands here, once per class. Readers (`tacho query`) take
units from it. The document keeps every digest of a class it has seen, so that files of an older
deployment can still be read.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from tachograph.formats.plan import FieldPlan, RecordPlan
from tachograph.formats.text import rfc3339

__all__ = ["ANNOUNCEMENT", "FILE_NAME", "VERSION", "announcement", "document", "merged"]

VERSION = 1
FILE_NAME = "metrics.schema.json"
ANNOUNCEMENT = "tachograph.schema"
"""The record name of lines in which a stream says what its numbers mean."""


def document(service: str, plans: Sequence[RecordPlan]) -> dict[str, Any]:
    """Return the document for *plans* as plain data, fields in emitted order."""
    return {"tachograph_schema": VERSION, "service": service, "records": [_entry(p) for p in plans]}


def _entry(plan: RecordPlan) -> dict[str, Any]:
    fields = [_field(field) for field in plan.fields]
    return {"record": plan.name, "digest": plan.digest, "doc": plan.doc, "fields": fields}


def _field(field: FieldPlan) -> dict[str, Any]:
    described = {**field.schema(), "doc": field.doc}
    if field.suffixed:
        # Under these names a flat line has it: count, sum, min, max, and of a histogram p50, p99.
        parts = field.suffixed[:4] if field.type == "summary" else field.suffixed
        described["parts"] = list(parts)
    return described


def announcement(plan: RecordPlan, time_ns: int) -> bytes:
    """Return the line that tells a stream's reader the units of *plan*'s fields."""
    line = {
        "timestamp": rfc3339(time_ns),
        "record": ANNOUNCEMENT,
        "of": plan.name,
        "digest": plan.digest,
        "units": [f"{field.emitted}={field.unit}" for field in plan.fields if field.unit],
    }
    text = json.dumps(line, ensure_ascii=False, separators=(",", ":"))
    return text.encode(errors="replace") + b"\n"


def merged(existing: bytes | None, service: str, plans: Sequence[RecordPlan]) -> bytes:
    """Return the text of *existing* with *plans* in it, compact JSON and a newline.

    Entries of other classes and digests are kept; an entry of the same class and digest is
    replaced, for its documentation may have changed. What cannot be read as a schema document is
    replaced as a whole.
    """
    fresh = document(service, plans)
    replaced = {(entry["record"], entry["digest"]) for entry in fresh["records"]}
    kept = [e for e in _records(existing) if (e.get("record"), e.get("digest")) not in replaced]
    fresh["records"] = kept + fresh["records"]
    return json.dumps(fresh, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def _records(text: bytes | None) -> list[dict[str, Any]]:
    if text is None:
        return []
    try:
        found = json.loads(text)
    except ValueError:
        return []
    records = found.get("records") if isinstance(found, dict) else None
    return [entry for entry in records or [] if isinstance(entry, dict)]
