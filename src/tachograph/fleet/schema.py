"""What the fields of records mean, read from `metrics.schema.json` documents.

A document keeps every version of a class it has seen, and a fleet has several documents, so one
field may have been declared in more than one way: then all its units are known, and said.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tachograph.errors import CommandError

__all__ = ["Declared", "Schema", "entries"]


@dataclass(frozen=True, slots=True)
class Declared:
    """A field as its class declares it.

    Attributes:
        kind: `metric`, `property` or `list`.
        type: As in the document: `bool int float decimal str enum datetime list distribution`…,
            or `number` where only a unit is known.
        units: Every unit it was ever declared with; more than one means that values are mixed.
        doc: The latest documentation.
        optional: Whether a line may lack it.
        parts: For many observations: the names of their count, sum and so on in a flat line.
        certain: Whether a view has the column though no line has it.
    """

    kind: str
    type: str
    units: tuple[str, ...] = ()
    doc: str = ""
    optional: bool = False
    parts: tuple[str, ...] = ()
    certain: bool = True

    @property
    def unit(self) -> str | None:
        """The unit for people: `Milliseconds`, `Milliseconds or Seconds`, or None."""
        return " or ".join(self.units) or None

    def also(self, later: Declared) -> Declared:
        """Return this field with a *later* declaration of it taken in."""
        units = tuple(dict.fromkeys((*self.units, *later.units)))
        return replace(
            later,
            units=units,
            doc=later.doc or self.doc,
            optional=later.optional or self.optional,
            parts=later.parts or self.parts,
        )

    def columns(self, name: str) -> Iterator[tuple[str, Declared]]:
        """Yield the columns in which flat lines have the field that is called *name*."""
        alone = self.type not in ("summary", "histogram")
        if alone or not self.parts:
            yield name, replace(self, certain=alone)
        for number, part in enumerate(self.parts):
            what = ("Count", "Sum", "Least", "Most", "Median", "99th percentile")[number]
            units = self.units if number else ()
            doc = f"{what} of {name}. {self.doc}".rstrip()
            yield (
                part,
                Declared("metric", "float" if number else "int", units, doc, certain=not alone),
            )


@dataclass(frozen=True, slots=True)
class Schema:
    """Fields by record class and emitted name, in emitted order."""

    records: Mapping[str, Mapping[str, Declared]] = field(default_factory=dict)

    @classmethod
    def read(cls, documents: Iterable[Path]) -> Schema:
        """Return what all *documents* say together.

        Raises:
            CommandError: A document cannot be read or is none.
        """
        records: dict[str, dict[str, Declared]] = {}
        for path in documents:
            for entry in entries(path):
                fields = records.setdefault(entry["record"], {})
                for item in entry["fields"]:
                    units = (item["unit"],) if item.get("unit") else ()
                    new = Declared(
                        item["kind"],
                        item["type"],
                        units,
                        item.get("doc") or "",
                        bool(item.get("optional")),
                        tuple(item.get("parts") or ())[:6],
                    )
                    old = fields.get(item["name"])
                    fields[item["name"]] = old.also(new) if old else new
        return cls(records)

    def of(self, record: str) -> Mapping[str, Declared]:
        """Return the fields of *record*, none where it is not described."""
        return self.records.get(record, {})

    def columns(self, record: str) -> Mapping[str, Declared]:
        """Return what flat lines of *record* have, in order: fields, or parts of fields."""
        return {
            column: declared
            for name, field in self.of(record).items()
            for column, declared in field.columns(name)
        }

    def with_units(self, announced: Mapping[str, Mapping[str, str]]) -> Schema:
        """Return the schema with units that lines told, for fields that are not declared."""
        records = {name: dict(fields) for name, fields in self.records.items()}
        for record, units in announced.items():
            fields = records.setdefault(record, {})
            for name, unit in units.items():
                fields.setdefault(name, Declared("metric", "number", (unit,), optional=True))
        return Schema(records)


def entries(path: Path) -> list[dict[str, Any]]:
    """Return the record classes of the document at *path*, every version of each.

    Raises:
        CommandError: It cannot be read or is no schema document.
    """
    try:
        document = json.loads(path.read_bytes())
        found = list(document["records"])
        # One look at everything that is used, so that a damaged document fails here, by name.
        for entry in found:
            _ = entry["record"] + "", [_checked(field) for field in entry["fields"]]
    except OSError as error:
        raise CommandError(f"Cannot read the schema {path}: {error.strerror}.") from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise CommandError(
            f"{path} is not a schema document: expected "
            '`{"tachograph_schema":1,"records":[...]}` as a service writes it and '
            "`tacho schema --json` prints it. Without one, `tacho query` takes columns from lines."
        ) from error
    return found


def _checked(field: dict[str, Any]) -> str:
    texts: str = field["name"] + field["kind"] + field["type"] + (field.get("unit") or "")
    return texts + (field.get("doc") or "") + "".join(field.get("parts") or ())
