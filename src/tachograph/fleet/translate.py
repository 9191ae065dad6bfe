"""Lines that are not flat as flat ones: EMF, nested JSON, and what nests too deeply to be read.

The result is text again, one flat line a record, so that one reader builds the tables of all.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from tachograph.fleet import emf, nested
from tachograph.fleet.classes import Classes
from tachograph.fleet.depth import shallow
from tachograph.fleet.joining import join_parts, join_siblings
from tachograph.fleet.rows import Row, flat
from tachograph.fleet.schema import Schema

__all__ = ["Translation"]


_encode = json.JSONEncoder(allow_nan=False, check_circular=False, separators=(",", ":")).encode


@dataclass(slots=True)
class Translation:
    """Translates lines by what *schema* declares; then tells what else it learnt.

    Attributes:
        schema: What is declared.
        units: By record and metric, from the lines themselves.
        unreadable: Lines with numbers that JSON cannot hold.
        other: Lines that turned out to be no wide event.
        incomplete: Records of which a part is missing.
    """

    schema: Schema
    units: dict[str, dict[str, str]] = field(default_factory=dict)
    unreadable: int = 0
    other: int = 0
    incomplete: int = 0

    def lines(self, texts: Iterable[str]) -> Iterator[str]:
        """Yield a flat line for each record in *texts*, lines of valid JSON."""
        plain: list[str] = []
        classes = Classes(self.schema)
        rows = join_parts(self._rows(texts, plain))
        for row in join_siblings(rows) if classes else rows:
            yield from plain
            plain.clear()
            record = classes.of(row.names) or row.origin
            units = self.units.setdefault(record, {})
            for name, unit in row.units.items():
                units.setdefault(name, unit)
            self.incomplete += "_id" in row.trailer
            try:
                yield _encode(flat(row, record, self.schema.of(record)))
            except ValueError:
                self.unreadable += 1
        yield from plain

    def _rows(self, texts: Iterable[str], plain: list[str]) -> Iterator[Row]:
        """Yield the rows of *texts*; what is flat already goes to *plain*."""
        for text in texts:
            line = shallow(text)
            try:
                document = json.loads(line)
            except ValueError:  # a number of thousands of digits
                self.unreadable += 1
                continue
            if _is_emf(document):
                yield emf.row_of(document)
            elif isinstance(document.get("record"), str) and "timestamp" in document:
                plain.append(line)
            elif _is_nested(document):
                yield nested.row_of(document)
            else:
                self.other += 1


def _is_emf(document: Mapping[str, Any]) -> bool:
    head = document.get("_aws")
    return isinstance(head, dict) and isinstance(head.get("CloudWatchMetrics"), list)


def _is_nested(document: Mapping[str, Any]) -> bool:
    parts = [document[name] for name in ("metrics", "properties") if name in document]
    return "timestamp" in document and bool(parts) and all(isinstance(p, dict) for p in parts)
