"""Questions: what is refused, and how a mistake is explained."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tachograph.errors import CommandError
from tachograph.fleet import WideEvents

Ask = Callable[..., WideEvents]
Line = Callable[..., str]


def test_the_question_this_began_with(events: Ask, make_line: Line, schema: Any) -> None:
    """The p99 of SetItem when the downstream timed out is one filter, in milliseconds."""
    timed_out = [
        make_line(Operation="SetItem", Duration=float(ms), DownstreamErrorKind="Timeout")
        for ms in range(101)
    ]
    others = [
        make_line(Operation="GetItem", Duration=9000, DownstreamErrorKind="Timeout"),
        make_line(Operation="SetItem", Duration=9000),
    ]
    answer = events("".join(timed_out + others), schema=schema).query("""
        SELECT count(*) AS requests, quantile_cont(Duration, 0.99) AS p99
        FROM RequestMetrics
        WHERE Operation = 'SetItem' AND DownstreamErrorKind = 'Timeout'""")

    assert [(101, 99.0)] == answer.rows
    assert [("requests", None), ("p99", "Milliseconds")] == [
        (c.name, c.unit) for c in answer.columns
    ]


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("SELECT Durration FROM RequestMetrics", "no column `Durration`. Nearest: `Duration`"),
        ("SELECT r.duratio FROM RequestMetrics r", "no column `duratio`. Nearest: `Duration`"),
        ("SELECT Zzzzz FROM RequestMetrics", "tacho query --tables"),
        ("SELECT * FROM Request", "no record `Request`. There are: `RequestMetrics`"),
        ("SELEC 1", 'syntax error at or near "SELEC"'),
        ("SELECT nope(1)", "nope does not exist"),
        ("SELECT Duration + 'x' FROM RequestMetrics", "Could not convert string 'x'"),
    ],
)
def test_a_mistake_is_explained(events: Ask, make_line: Line, sql: str, said: str) -> None:
    """The message names what is wrong and what could be meant, in full sentences."""
    found = events(make_line(Duration=1.5, Operation="GetItem"))

    with pytest.raises(CommandError) as caught:
        found.query(sql)

    assert said in str(caught.value)
    assert "Error:" not in str(caught.value)


def test_a_mistake_is_shown_in_its_place(events: Ask, make_line: Line) -> None:
    """The line of the question is shown with a mark under the mistake."""
    with pytest.raises(CommandError) as caught:
        events(make_line(Duration=1)).query("SELECT Durration FROM RequestMetrics")

    assert str(caught.value).endswith(
        "\n\nLINE 1: SELECT Durration FROM RequestMetrics\n               ^^^^^^^^^"
    )


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM Order",
        "from order",
        "FROM Order WHERE Duration > 1 ORDER BY Duration",
        "SELECT Order.Duration FROM Order",
    ],
)
def test_a_record_named_like_a_word_of_sql(events: Ask, make_line: Line, sql: str) -> None:
    """The message shows how to quote it, and that works."""
    found = events(make_line("Order", Duration=1), make_line("Join", Duration=2))
    with pytest.raises(CommandError) as caught:
        found.query(sql)
    with pytest.raises(CommandError, match='to mean the record, quote it: "Join"') as join:
        found.query("FROM Join WHERE Duration > 1")

    assert 'to mean the record, quote it: "Order".' in str(caught.value)
    assert '"Order"' not in str(join.value)
    assert [(1,)] == found.query('SELECT Duration FROM "Order"').rows


def test_a_column_named_like_a_word_of_sql(events: Ask, make_line: Line) -> None:
    """Likewise; a question that is wrong elsewhere gets no such advice."""
    found = events(make_line("Job", group="a"))
    with pytest.raises(CommandError, match='to mean the column, quote it: "group"'):
        found.query("SELECT group FROM Job")
    with pytest.raises(CommandError) as caught:
        found.query('SELEC "group" FROM Job')

    assert "quote it" not in str(caught.value)


@pytest.mark.parametrize(
    "sql", ["", "-- nothing", "SELECT 1; SELECT 2", "CREATE TABLE t (a int)", "DROP VIEW A"]
)
def test_only_one_select_is_a_question(events: Ask, make_line: Line, sql: str) -> None:
    """Nothing, two questions, and what changes something are wrong usage."""
    with pytest.raises(CommandError, match="A query is one SELECT") as caught:
        events(make_line("A")).query(sql)

    assert 2 == caught.value.exit_code


@pytest.mark.parametrize("sql", ["FROM A", "DESCRIBE A", "SUMMARIZE A", "EXPLAIN FROM A"])
def test_looking_at_a_view_is_a_question(events: Ask, make_line: Line, sql: str) -> None:
    """DuckDB's short forms and its looks at a table are allowed."""
    assert events(make_line("A", x=1)).query(sql).rows
