"""Flat lines into tables: one per record class, every value kept.

Strategy: the distinct structures of a class's lines give the columns with their types (a service
has few); one extraction per class then fills its table. The text is dropped at the end, so that a
question later reads columns only.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tachograph.fleet.database import identifier, literal
from tachograph.fleet.lines import Skipped, read_lines, time_of
from tachograph.fleet.schema import Declared, Schema
from tachograph.fleet.types import Seen, merge, seen, sql_type
from tachograph.formats.schema import ANNOUNCEMENT

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

__all__ = ["Loaded", "LoadedColumn", "distinct", "load"]

UNNAMED = "unnamed"
"""The column of an empty key, and the view of an empty class name."""

_MAX_BIGINT = 2**63 - 1


@dataclass(frozen=True, slots=True)
class LoadedColumn:
    """A column of a table: its name, the key in the lines, its SQL type, its declaration."""

    name: str
    key: str
    type: str
    declared: Declared | None


@dataclass(frozen=True, slots=True)
class Loaded:
    """One record class as a view: the view's name, the class's, and how many records it has."""

    name: str
    record: str
    lines: int
    columns: tuple[LoadedColumn, ...]


def load(
    connection: DuckDBPyConnection, files: Sequence[Path], schema: Schema
) -> tuple[list[Loaded], Skipped]:
    """Make a view of each record class in *files*; return them by name, and what was skipped.

    Raises:
        CommandError: A file cannot be read.
    """
    with tempfile.TemporaryDirectory(prefix="tachograph-") as scratch:
        schema, skipped = read_lines(connection, files, schema, Path(scratch))
    counts = dict(
        connection.execute(
            "SELECT record, count(*) FROM raw.lines WHERE record IS NOT NULL GROUP BY record "
            "ORDER BY record"
        ).fetchall()
    )
    counts.pop(ANNOUNCEMENT, None)
    # A class that is declared but was not emitted yet is a view without rows: asking for it is
    # right, and the answer is none.
    names = sorted({*counts, *schema.records})
    loaded = [
        _load_record(connection, index, name, view, schema, counts.get(name, 0))
        for index, (name, view) in enumerate(zip(names, distinct(names), strict=True))
    ]
    connection.execute("DROP TABLE raw.lines")
    return loaded, skipped


def _load_record(
    connection: DuckDBPyConnection, index: int, name: str, view: str, schema: Schema, lines: int
) -> Loaded:
    columns = list(_columns(connection, name, schema))
    table = f"raw.record_{index}"
    pointers = ", ".join(literal(_pointer(column.key)) for column in columns)
    values = ", ".join(
        f"{_value(f'v[{i}]', column)} AS {identifier(column.name)}"
        for i, column in enumerate(columns, 1)
    )
    connection.execute(
        f"CREATE TABLE {table} AS SELECT {values} FROM ("
        f"SELECT json_extract_string(line, [{pointers}]) AS v FROM raw.lines "
        f"WHERE record = {literal(name)})"
    )
    columns = _narrowed(connection, table, columns)
    shown = ", ".join(f"{identifier(c.name)}::{c.type} AS {identifier(c.name)}" for c in columns)
    connection.execute(f"CREATE VIEW {identifier(view)} AS SELECT {shown} FROM {table}")
    return Loaded(view, name, lines, tuple(columns))


def _columns(connection: DuckDBPyConnection, name: str, schema: Schema) -> Iterator[LoadedColumn]:
    rows = connection.execute(
        "SELECT DISTINCT json_structure(line)::VARCHAR FROM raw.lines WHERE record = ?", [name]
    ).fetchall()
    types: dict[str, list[Seen]] = {"timestamp": []}
    # The longest line first: most columns then stand in the order in which they are written.
    for structure in sorted((json.loads(text) for (text,) in rows), key=len, reverse=True):
        for key, value in structure.items():
            types.setdefault(key, []).append(seen(value))
    declared = schema.columns(name)
    for key in declared:
        if declared[key].certain:
            types.setdefault(key, [])
    types.pop("record", None)  # the view's own name
    keys = _order(list(types), [key for key in declared if key in types])
    for key, column in zip(keys, distinct(keys), strict=True):
        found = merge(types[key])
        kind = "TIMESTAMP" if key == "timestamp" else sql_type(found, declared.get(key))
        if kind == "TIMESTAMP" and key != "timestamp" and not _are_times(connection, name, key):
            kind = "VARCHAR"
        yield LoadedColumn(column, key, kind, declared.get(key))


def _order(keys: list[str], declared: list[str]) -> list[str]:
    """Return *keys* as lines have them: head, globals, declared fields in order, the rest."""
    if not declared:
        return keys
    head = [k for k in keys[: keys.index(declared[0])] if k not in declared]
    rest = [k for k in keys if k not in declared and k not in head]
    return [*head, *declared, *rest]


def _are_times(connection: DuckDBPyConnection, name: str, key: str) -> bool:
    row = connection.execute(
        "SELECT bool_and(try_cast(v AS TIMESTAMP) IS NOT NULL) FROM ("
        "SELECT json_extract_string(line, ?) AS v FROM raw.lines WHERE record = ?"
        ") WHERE v IS NOT NULL",
        [_pointer(key), name],
    ).fetchone()
    return row is None or row[0] is not False


def distinct(keys: Sequence[str]) -> list[str]:
    """Return a name for each of *keys*, none empty and none equal to another but for its case.

    SQL ignores case, and knows no empty name. The first of those that differ by case only has the
    name as it is, the others get the next free number: `Host`, `host_2`. An empty one is `unnamed`.
    """
    names: list[str] = []
    # A number never takes the name of another key.
    taken = {key.lower() for key in keys}
    given: set[str] = set()
    for key in keys:
        plain = name = key or UNNAMED
        number = 1
        while name.lower() in given or (name != key and name.lower() in taken):
            number += 1
            name = f"{plain}_{number}"
        given.add(name.lower())
        names.append(name)
    return names


def _pointer(key: str) -> str:
    return "/" + key.replace("~", "~0").replace("/", "~1")


def _value(text: str, column: LoadedColumn) -> str:
    if column.key == "timestamp":
        return time_of(text)
    if column.type.endswith("[]"):
        depth = column.type.count("[]")
        element = column.type.removesuffix("[]" * depth)
        alone = f"to_json({text})::VARCHAR" if element == "VARCHAR" else text
        is_list = f"starts_with({text}, '[') AND json_valid({text})"
        one = f"CASE WHEN {is_list} THEN {text} ELSE '[' || {alone} || ']' END"
        return f"from_json({one}, '{'[' * depth}\"{element}\"{']' * depth}')"
    return f"try_cast({text} AS {column.type})"


def _narrowed(
    connection: DuckDBPyConnection, table: str, columns: list[LoadedColumn]
) -> list[LoadedColumn]:
    """Return *columns* with whole numbers as BIGINT where all fit, else HUGEINT.

    Unsigned columns are read as such, but `a - b` below zero would be an error in a question.
    """
    wide = [column for column in columns if column.type in ("UBIGINT", "HUGEINT")]
    if not wide:
        return columns
    largest = ", ".join(f"coalesce(max(abs({identifier(c.name)}::HUGEINT)), 0)" for c in wide)
    row = connection.execute(f"SELECT {largest} FROM {table}").fetchone() or ()
    fits = {c.name: most <= _MAX_BIGINT for c, most in zip(wide, row, strict=True)}
    return [
        LoadedColumn(c.name, c.key, "BIGINT" if fits[c.name] else "HUGEINT", c.declared)
        if c.name in fits
        else c
        for c in columns
    ]
