"""An in-memory DuckDB: opened wide to load, locked before a user's text reaches it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tachograph.errors import CommandError

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

__all__ = ["connect", "identifier", "literal", "lock"]


def connect() -> DuckDBPyConnection:
    """Return an empty database in memory, which never fetches an extension.

    Raises:
        CommandError: DuckDB is not installed.
    """
    try:
        import duckdb  # noqa: PLC0415 -- an extra; its absence is said when it is needed
    except ImportError:
        raise CommandError(
            "Queries need DuckDB. Install it with: pip install 'tachograph[query]'"
        ) from None
    return duckdb.connect(
        ":memory:",
        config={
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
            "python_enable_replacements": "false",  # a table is a record, never a Python variable
        },
    )


def lock(connection: DuckDBPyConnection) -> None:
    """Take away every way to the outside: files, extensions, other databases, settings."""
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")


def identifier(name: str) -> str:
    """Return *name* as a quoted SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """Return *text* as an SQL string."""
    return "'" + text.replace("'", "''") + "'"
