"""One question in SQL: refused when it is none, explained when it is wrong, answered with units."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tachograph.errors import CommandError
from tachograph.fleet.database import identifier
from tachograph.fleet.units import result_units

if TYPE_CHECKING:
    import duckdb
    from duckdb import DuckDBPyConnection

__all__ = ["Column", "Result", "run"]


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a view or of an answer.

    Attributes:
        name: As SQL knows it.
        type: DuckDB's name of the type.
        unit: `Milliseconds`, `Bytes` …; None where it has none or it is not known.
        doc: What its declaration says about it.
    """

    name: str
    type: str
    unit: str | None = None
    doc: str = ""


@dataclass(frozen=True, slots=True)
class Result:
    """An answer: its columns and its rows, in order."""

    columns: tuple[Column, ...]
    rows: list[tuple[Any, ...]]


def run(connection: DuckDBPyConnection, sql: str, views: Mapping[str, Sequence[Column]]) -> Result:
    """Answer *sql* over *views*.

    Raises:
        CommandError: With what is wrong, and what could be meant.
    """
    import duckdb  # noqa: PLC0415 -- an extra, there when a connection is

    try:
        _check_is_one_question(connection.extract_statements(sql))
        cursor = connection.execute(sql)
        described = cursor.description or []
        rows = cursor.fetchall()
        units = result_units(connection, sql, views)
    except duckdb.Error as error:
        words = _quotable(connection, sql, str(error), views)
        raise CommandError(_explained(error, views) + words) from error
    columns = tuple(
        Column(column[0], str(column[1]), unit)
        for column, unit in zip(described, units or [None] * len(described), strict=True)
    )
    return Result(columns, rows)


def _check_is_one_question(statements: Sequence[duckdb.Statement]) -> None:
    names = [str(statement.type).rpartition(".")[2] for statement in statements]
    if names not in (["SELECT"], ["EXPLAIN"]):
        got = " and ".join(f"`{name}`" for name in names) or "nothing"
        raise CommandError(
            f"A query is one SELECT; got {got}. Records are read, never changed: put the answer "
            "into a file with `--csv > answer.csv`.",
            exit_code=2,
        )


def _explained(error: duckdb.Error, views: Mapping[str, Sequence[Column]]) -> str:
    text = str(error).strip()
    place = _place(text)
    if found := re.search(r'Referenced column "([^"]+)" (?:was )?not found', text):
        return f"There is no column `{found[1]}`. {_columns_like(found[1], text, views)}{place}"
    if found := re.search(r'does not have a column named "([^"]+)"', text):
        return f"There is no column `{found[1]}`. {_columns_like(found[1], text, views)}{place}"
    if found := re.search(r"Table with name (\S+) does not exist", text):
        known = ", ".join(f"`{name}`" for name in views) or "none at all"
        return f"There is no record `{found[1]}`. There are: {known}.{place}"
    if "disabled by configuration" in text or "configuration has been locked" in text:
        return (
            "A query reads the records it was given and nothing else: no files, no extensions, "
            "no settings. Name more files on the command line instead."
        )
    first = re.sub(r"^[A-Z][A-Za-z ]+ Error: ", "", text.splitlines()[0])
    return f"{first.rstrip('.!')}.{place}"


def _quotable(
    connection: DuckDBPyConnection, sql: str, text: str, views: Mapping[str, Sequence[Column]]
) -> str:
    """Return how to write names in *sql* that SQL takes for words of its own, if it did not parse.

    A name counts if it stands there as it is spelt, or if the parser stopped at it.
    """
    if not text.startswith("Parser Error"):
        return ""
    rows = connection.execute("SELECT keyword_name FROM duckdb_keywords()").fetchall()
    keywords = {keyword for (keyword,) in rows}
    stopped = re.search(r'at or near "([^"]+)"', text)
    at = stopped[1].lower() if stopped else None
    columns = [column.name for of in views.values() for column in of]
    found = [
        f"`{name}` is a word of SQL; to mean the {kind}, quote it: {identifier(name)}."
        for kind, names in (("record", views), ("column", dict.fromkeys(columns)))
        for name in names
        if name.lower() in keywords
        and (name.lower() == at or re.search(rf'(?<![\w"]){re.escape(name)}(?![\w"])', sql))
    ]
    return "\n\n" + "\n".join(found) if found else ""


def _columns_like(name: str, text: str, views: Mapping[str, Sequence[Column]]) -> str:
    used = [view for view in views if re.search(rf"\b{re.escape(view)}\b", text, re.IGNORECASE)]
    names = {c.name.lower(): c.name for view in used or views for c in views[view]}
    near = difflib.get_close_matches(name.lower(), names, n=3, cutoff=0.5)
    near += [low for low in names if name.lower() in low and low not in near][:3]
    if near:
        return f"Nearest: {', '.join(f'`{names[low]}`' for low in near)}."
    return "See what there is: `tacho query --tables`."


def _place(text: str) -> str:
    """Return the part of DuckDB's message that shows the place, on lines of its own."""
    _, found, place = text.partition("\n\nLINE ")
    return f"\n\nLINE {place}" if found else ""
