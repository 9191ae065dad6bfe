"""The database under the questions."""

from __future__ import annotations

import sys

import pytest

from tachograph.errors import CommandError
from tachograph.fleet.database import connect, identifier, literal


def test_a_missing_extra_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without DuckDB the message is the command that installs it."""
    monkeypatch.setitem(sys.modules, "duckdb", None)

    with pytest.raises(CommandError, match=r"pip install 'tachograph\[query\]'"):
        connect()


def test_names_and_texts_are_quoted() -> None:
    """Whatever a record is called, it stays a name; whatever a path is, it stays a text."""
    assert ('"a""b"', "'a''b'") == (identifier('a"b'), literal("a'b"))
