"""Wide events of many files as SQL views, one per record class."""

from __future__ import annotations

from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Self

from tachograph.fleet.database import connect, identifier, literal, lock
from tachograph.fleet.lines import Skipped
from tachograph.fleet.load import Loaded, load
from tachograph.fleet.query import Column, Result, run
from tachograph.fleet.sources import Sources

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

__all__ = ["Record", "Skipped", "WideEvents"]


@dataclass(frozen=True, slots=True)
class Record:
    """One record class among the events.

    Attributes:
        name: Its view: the name of its class, numbered where another differs by case only.
        lines: How many records there are.
        columns: In the order in which the lines have them.
    """

    name: str
    lines: int
    columns: tuple[Column, ...]


class WideEvents:
    """The events of *sources*, loaded, for any number of questions.

    Everything is read at once, into memory; nothing outside can be reached afterwards, whatever a
    question says. A column that some lines lack is NULL there.

    Raises:
        CommandError: DuckDB is not installed.
    """

    def __init__(self, sources: Sources) -> None:
        self._connection: DuckDBPyConnection = connect()
        loaded, self._skipped = load(self._connection, sources.files, sources.schema)
        lock(self._connection)
        self._records = tuple(_record(one) for one in loaded)

    @property
    def records(self) -> tuple[Record, ...]:
        """Every record class, by name; also those that are declared and were never emitted."""
        return self._records

    @property
    def skipped(self) -> Skipped:
        """How many lines were no wide events."""
        return self._skipped

    def query(self, sql: str) -> Result:
        """Answer one SELECT in DuckDB's SQL.

        Raises:
            CommandError: It is not one question, or names what is not there; the message says
                what is.
        """
        return run(self._connection, sql, {r.name: r.columns for r in self._records})

    def overview(self) -> Result:
        """Return one row per record class: lines, first and last time, losses reported in band."""
        parts = [
            f"SELECT {literal(r.name)} AS record, count(*) AS lines, "
            f"min(timestamp) AS first, max(timestamp) AS last, {_lost(r)} AS lost "
            f"FROM {identifier(r.name)}"
            for r in self._records
        ]
        empty = "SELECT NULL AS record, 0 AS lines, NULL AS first, NULL AS last, 0 AS lost LIMIT 0"
        return self.query(" UNION ALL ".join(parts or [empty]))

    def close(self) -> None:
        """Give the memory back."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def _record(loaded: Loaded) -> Record:
    columns = tuple(
        Column(c.name, c.type, c.declared.unit if c.declared else None, _doc(loaded, i))
        for i, c in enumerate(loaded.columns)
    )
    return Record(loaded.name, loaded.lines, columns)


def _doc(loaded: Loaded, index: int) -> str:
    column = loaded.columns[index]
    doc = column.declared.doc if column.declared else ""
    # What SQL cannot call by its name says whose values it has.
    return doc if column.name == column.key else f"`{column.key}` in the lines. {doc}".rstrip()


def _lost(record: Record) -> str:
    # `_dropped` is on the first line after a loss: how many lines went before it.
    if any(column.name == "_dropped" for column in record.columns):
        return "coalesce(sum(try_cast(_dropped AS BIGINT)), 0)::BIGINT"
    return "0::BIGINT"
