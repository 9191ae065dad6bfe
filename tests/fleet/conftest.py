"""A telemetry directory with a few records, as a service would leave it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tachograph.fleet import Sources, WideEvents

SCHEMA = {
    "tachograph_schema": 1,
    "service": "orders",
    "records": [
        {
            "record": "RequestMetrics",
            "digest": "0",
            "doc": "",
            "fields": [
                {"name": "RequestId", "kind": "property", "type": "str", "unit": None,
                 "optional": False, "doc": "Who asked."},
                {"name": "Operation", "kind": "property", "type": "enum", "unit": None,
                 "optional": False, "doc": ""},
                {"name": "StatusCode", "kind": "property", "type": "int", "unit": None,
                 "optional": False, "doc": ""},
                {"name": "Duration", "kind": "metric", "type": "float", "unit": "Milliseconds",
                 "optional": False, "doc": "Until the last byte."},
                {"name": "PayloadBytes", "kind": "metric", "type": "int", "unit": "Bytes",
                 "optional": False, "doc": ""},
                {"name": "Found", "kind": "metric", "type": "bool", "unit": None,
                 "optional": True, "doc": ""},
                {"name": "DownstreamErrorKind", "kind": "property", "type": "enum", "unit": None,
                 "optional": True, "doc": ""},
            ],
        }
    ],
}  # fmt: skip


def line(record: str = "RequestMetrics", **fields: Any) -> str:
    """Return one wide event as a service writes it."""
    head = {"timestamp": "2026-01-02T03:04:05.000006Z", "record": record}
    return json.dumps({**head, **fields}, separators=(",", ":")) + "\n"


Ask = Callable[..., WideEvents]


@pytest.fixture
def events(tmp_path: Path) -> Iterator[Ask]:
    """Call with the text of files (and `schema=` a document) to get their events."""
    opened: list[WideEvents] = []

    def ask(*texts: str | bytes, schema: object = None) -> WideEvents:
        for number, text in enumerate(texts):
            data = text.encode() if isinstance(text, str) else text
            (tmp_path / f"metrics.log.2026-01-02-03-{number:02}").write_bytes(data)
        if schema is not None:
            (tmp_path / "metrics.schema.json").write_text(json.dumps(schema))
        opened.append(WideEvents(Sources.find([tmp_path])))
        return opened[-1]

    yield ask
    for one in opened:
        one.close()


@pytest.fixture
def schema() -> dict[str, Any]:
    """A schema document with one class."""
    return SCHEMA


@pytest.fixture
def make_line() -> Callable[..., str]:
    """Call with a record name and fields to get a line."""
    return line
