"""Units of an answer's columns."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tachograph.fleet import WideEvents

FIELDS = [
    {"name": "D", "kind": "metric", "type": "float", "unit": "Milliseconds"},
    {"name": "E", "kind": "metric", "type": "float", "unit": "Milliseconds"},
    {"name": "B", "kind": "metric", "type": "int", "unit": "Bytes"},
    {"name": "N", "kind": "metric", "type": "int", "unit": None},
]
SCHEMA = {"records": [{"record": name, "fields": FIELDS} for name in ("A", "Z")]}
MS = "Milliseconds"


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT D, b, N FROM A", [MS, "Bytes", None]),
        ("SELECT * FROM A", [None, MS, MS, "Bytes", None]),
        ("SELECT min(D), avg(D), quantile_cont(D, 0.99), sum(B) FROM A", [MS, MS, MS, "Bytes"]),
        ("SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY D) FROM A", [MS]),
        ("SELECT round(max(D), 1), D::int, coalesce(D, 0) FROM A GROUP BY D", [MS, MS, MS]),
        ("SELECT count(D), count(*) FROM A", [None] * 2),
        ("SELECT max(D) FILTER (WHERE N > 1) FROM A", [MS]),
        ("SELECT max(D) OVER (), lag(D) OVER (ORDER BY D) FROM A", [MS, MS]),
        ("SELECT D - E, D + E, D + B FROM A", [MS, MS, None]),
        ("SELECT D * 2, D / E, length(D::text), 1 FROM A", [None] * 4),
        ("SELECT a.D FROM A a JOIN Z ON a.N = Z.N", [MS]),
        ("SELECT x FROM (SELECT count(*) AS x FROM A)", [None]),
        ("WITH A AS (SELECT 1 AS D) SELECT D FROM A", [None]),
        ("SELECT D FROM A UNION ALL SELECT N FROM A", [None]),
        ("SELECT * EXCLUDE (D) FROM A", [None] * 4),
        ("SELECT 1", [None]),
        ("DESCRIBE A", [None] * 6),
    ],
)
def test_units_are_shown_only_where_they_are_certain(
    events: Callable[..., WideEvents],
    make_line: Callable[..., str],
    sql: str,
    expected: list[str | None],
) -> None:
    """A column has the unit of the fields that it is made of, or none."""
    found = events(make_line("A", D=1.5, E=1.5, B=1, N=1), schema=SCHEMA)

    assert expected == [column.unit for column in found.query(sql).columns]
