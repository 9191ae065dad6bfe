"""Lines into tables: one per record class, every value kept, what is no record counted.

Strategy: DuckDB reads the files as lines of text in one pass. The distinct structures of a class's
lines give the columns with their types (a service has few); one extraction per class then fills
its table. The text is dropped at the end, so a question later reads columns only.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tachograph.fleet.database import identifier, literal
from tachograph.fleet.schema import Declared, Schema
from tachograph.fleet.types import Seen, merge, seen, sql_type

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

__all__ = ["ANNOUNCEMENT", "Loaded", "LoadedColumn", "Skipped", "load"]

ANNOUNCEMENT = "tachograph.schema"
"""The record name of lines in which a stream announces units."""

MAX_LINE_BYTES = 16 * 1024 * 1024  # far above what a sink writes; a longer line is not ours

_MAX_BIGINT = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Skipped:
    """Lines that are no wide events.

    Attributes:
        torn: Last lines of files that end in the middle: the service was killed, or writes on.
        damaged: Other lines that are not JSON in UTF-8.
        other: JSON, but without the `timestamp` and `record` of a wide event: log lines, perhaps.
    """

    torn: int = 0
    damaged: int = 0
    other: int = 0


@dataclass(frozen=True, slots=True)
class LoadedColumn:
    """A column of a table: its name, the key in the lines, its SQL type, its declaration."""

    name: str
    key: str
    type: str
    declared: Declared | None


@dataclass(frozen=True, slots=True)
class Loaded:
    """One record class as a view, and how many lines it has."""

    name: str
    lines: int
    columns: tuple[LoadedColumn, ...]


def load(
    connection: DuckDBPyConnection, files: Sequence[Path], schema: Schema
) -> tuple[list[Loaded], Skipped]:
    """Make a view of each record class in *files*; return them by name, and what was skipped."""
    _read_lines(connection, files)
    skipped = _count_skipped(connection)
    schema = schema.with_units(_announced(connection))
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
        _load_record(connection, index, name, schema, counts.get(name, 0))
        for index, name in enumerate(names)
    ]
    connection.execute("DROP TABLE raw.lines")
    return loaded, skipped


def _read_lines(connection: DuckDBPyConnection, files: Sequence[Path]) -> None:
    connection.execute("CREATE SCHEMA raw")
    # A delimiter that JSON text cannot contain makes each line one column. Bytes that are not
    # UTF-8 cost their line only; `reject_errors` counts them.
    paths = ", ".join(literal(str(file)) for file in files)
    source = (
        f"read_csv([{paths}], columns={{'line': 'VARCHAR'}}, delim='\x1f', quote='', escape='', "
        "header=false, auto_detect=false, strict_mode=false, filename=true, ignore_errors=true, "
        f"store_rejects=true, rejects_limit=0, max_line_size={MAX_LINE_BYTES})"
    )
    if not files:
        source = "(SELECT NULL::VARCHAR AS line, NULL::VARCHAR AS filename LIMIT 0)"
    connection.execute(f"""
        CREATE TABLE raw.lines AS
        SELECT filename, line, valid, CASE WHEN {_is_time("head[1]")} THEN head[2] END AS record
        FROM (SELECT *, CASE WHEN valid
                        THEN json_extract_string(line, ['/timestamp', '/record']) END AS head
              FROM (SELECT filename, line, json_valid(line) AS valid FROM {source})
              WHERE line IS NOT NULL)""")


def _is_time(text: str) -> str:
    # Text by default; integer milliseconds where a service chose so.
    return f"(try_cast({text} AS TIMESTAMP) IS NOT NULL OR try_cast({text} AS BIGINT) IS NOT NULL)"


def _count_skipped(connection: DuckDBPyConnection) -> Skipped:
    row = connection.execute("""
        SELECT count(*) FILTER (WHERE NOT valid AND last),
               count(*) FILTER (WHERE NOT valid AND NOT last),
               count(*) FILTER (WHERE valid AND record IS NULL)
        FROM (SELECT valid, record,
                     rowid IN (SELECT max(rowid) FROM raw.lines GROUP BY filename) AS last
              FROM raw.lines WHERE NOT valid OR record IS NULL)""").fetchone()
    torn, damaged, other = row or (0, 0, 0)
    return Skipped(torn, damaged + _rejected(connection), other)


def _rejected(connection: DuckDBPyConnection) -> int:
    known = connection.execute(
        "SELECT count(*) FROM duckdb_tables() WHERE table_name = 'reject_errors'"
    ).fetchone()
    if not known or not known[0]:
        return 0
    row = connection.execute("SELECT count(*) FROM reject_errors").fetchone()
    connection.execute("DROP TABLE reject_errors")
    connection.execute("DROP TABLE reject_scans")
    return int(row[0]) if row else 0


def _announced(connection: DuckDBPyConnection) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    rows = connection.execute(
        "SELECT DISTINCT line FROM raw.lines WHERE record = ?", [ANNOUNCEMENT]
    ).fetchall()
    for (line,) in rows:
        announcement = json.loads(line)
        pairs = (unit.partition("=") for unit in announcement.get("units", ()))
        found.setdefault(announcement.get("of", ""), {}).update({k: u for k, _, u in pairs})
    return found


def _load_record(
    connection: DuckDBPyConnection, index: int, name: str, schema: Schema, lines: int
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
    connection.execute(f"CREATE VIEW {identifier(name)} AS SELECT {shown} FROM {table}")
    return Loaded(name, lines, tuple(columns))


def _columns(connection: DuckDBPyConnection, name: str, schema: Schema) -> Iterator[LoadedColumn]:
    rows = connection.execute(
        "SELECT DISTINCT json_structure(line)::VARCHAR FROM raw.lines WHERE record = ?", [name]
    ).fetchall()
    types: dict[str, list[Seen]] = {"timestamp": []}
    # The longest line first: most columns then stand in the order in which they are written.
    for structure in sorted((json.loads(text) for (text,) in rows), key=len, reverse=True):
        for key, value in structure.items():
            types.setdefault(key, []).append(seen(value))
    declared = schema.of(name)
    for key in declared:
        types.setdefault(key, [])
    types.pop("record", None)  # the view's own name
    order = _order(list(types), list(declared))
    taken: set[str] = set()
    for key in order:
        found = merge(types[key])
        kind = "TIMESTAMP" if key == "timestamp" else sql_type(found, declared.get(key))
        if kind == "TIMESTAMP" and key != "timestamp" and not _are_times(connection, name, key):
            kind = "VARCHAR"
        yield LoadedColumn(_unique(key, taken), key, kind, declared.get(key))


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


def _unique(key: str, taken: set[str]) -> str:
    """Return *key*, numbered if SQL, which ignores case, would take it for an earlier column."""
    name, number = key, 1
    while name.lower() in taken:
        number += 1
        name = f"{key}_{number}"
    taken.add(name.lower())
    return name


def _pointer(key: str) -> str:
    return "/" + key.replace("~", "~0").replace("/", "~1")


def _value(text: str, column: LoadedColumn) -> str:
    if column.key == "timestamp":
        milliseconds = f"try_cast({text} AS BIGINT)"
        return f"coalesce(try_cast({text} AS TIMESTAMP), make_timestamp({milliseconds} * 1000))"
    if column.type.endswith("[]"):
        one = f"CASE WHEN starts_with({text}, '[') THEN {text} ELSE '[' || {text} || ']' END"
        depth = column.type.count("[]")
        element = column.type.removesuffix("[]" * depth)
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
