"""Wide events as a whole."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tachograph.errors import CommandError
from tachograph.fleet import Sources, WideEvents
from tachograph.fleet.schema import Schema

Ask = Callable[..., WideEvents]
Line = Callable[..., str]


def test_the_overview_has_a_row_per_class(events: Ask, make_line: Line) -> None:
    """Lines, first and last time, and what the sinks report as lost."""
    found = events(
        make_line("A", timestamp="2026-01-01T00:00:00Z")
        + make_line("A", timestamp="2026-01-01T00:00:09Z", _dropped=3)
        + make_line("B")
    ).overview()

    assert ["record", "lines", "first", "last", "lost"] == [c.name for c in found.columns]
    assert [("A", 2, 9.0, 3), ("B", 1, 0.0, 0)] == [
        (name, lines, (last - first).total_seconds(), lost)
        for name, lines, first, last, lost in found.rows
    ]


def test_files_without_events_have_an_empty_overview() -> None:
    """No file, no class: the overview has its columns and no row."""
    with WideEvents(Sources((), Schema())) as events:
        found = events.overview()

        assert [] == found.rows
        assert "record" == found.columns[0].name


def test_nothing_outside_can_be_reached(events: Ask, make_line: Line, tmp_path: Path) -> None:
    """A question cannot read or write a file, load an extension or change a setting."""
    found = events(make_line("A"))
    secret = tmp_path / "secret.csv"
    secret.write_text("a,b\n")
    questions = [
        f"SELECT * FROM '{secret}'",
        f"SELECT * FROM read_csv('{secret}')",
        f"SELECT * FROM read_text('{secret}')",
        f"SELECT * FROM glob('{tmp_path}/*')",
        f"COPY A TO '{tmp_path}/out.csv'",
        f"ATTACH '{tmp_path}/out.db'",
        f"EXPORT DATABASE '{tmp_path}/out'",
        "INSTALL httpfs",
        "SET enable_external_access = true",
        "EXPLAIN ANALYZE COPY A TO 'out.csv'",
        "SELECT * FROM found",
    ]
    for question in questions:
        with pytest.raises(CommandError):
            found.query(question)

    assert ["metrics.log.2026-01-02-03-00", "secret.csv"] == sorted(
        p.name for p in tmp_path.iterdir()
    )
