"""Column types from what was seen and what was declared."""

from __future__ import annotations

import pytest

from tachograph.fleet.schema import Declared
from tachograph.fleet.types import merge, seen, sql_type


@pytest.mark.parametrize(
    ("types", "expected"),
    [
        ([], "NULL"),
        (["NULL", "BOOLEAN"], "BOOLEAN"),
        (["BOOLEAN", "NULL"], "BOOLEAN"),
        (["UBIGINT", "DOUBLE"], "DOUBLE"),
        (["UBIGINT", "BIGINT"], "HUGEINT"),
        (["UBIGINT", "VARCHAR"], "VARCHAR"),
        (["BOOLEAN", "UBIGINT"], "VARCHAR"),
        (["DOUBLE", ["UBIGINT"]], ("DOUBLE",)),
        ([["NULL"], ["VARCHAR"]], ("VARCHAR",)),
        ([["UBIGINT"], [["UBIGINT"]]], ("VARCHAR",)),
        (["UBIGINT", [["UBIGINT"]]], ("VARCHAR",)),
        ([["NULL"], [["UBIGINT"]]], (("UBIGINT",),)),
        ([{"a": "UBIGINT"}], "VARCHAR"),
    ],
)
def test_types_of_a_column_merge_without_loss(types: list[object], expected: object) -> None:
    """The merged type holds every value that was seen."""
    assert expected == merge(map(seen, types))


@pytest.mark.parametrize(
    ("found", "kind", "declared", "expected"),
    [
        ("UBIGINT", "metric", "float", "DOUBLE"),  # 100.0 is written as 100
        ("DOUBLE", "metric", "int", "DOUBLE"),  # above 2^64 an integer is written as a float
        ("UBIGINT", "metric", "int", "UBIGINT"),
        ("VARCHAR", "property", "int", "VARCHAR"),  # a status code is an identity
        ("VARCHAR", "property", "datetime", "TIMESTAMP"),
        ("VARCHAR", "metric", "float", "VARCHAR"),  # the declaration is wrong: keep the text
        ("DOUBLE", "metric", "distribution", "DOUBLE[]"),
        (("UBIGINT",), "metric", "distribution", "DOUBLE[]"),
        (("VARCHAR",), "metric", "distribution", "VARCHAR[]"),
        ("UBIGINT", "metric", "number", "UBIGINT"),  # only its unit is known
        ("NULL", "metric", "number", "DOUBLE"),
        ("NULL", "metric", "bool", "BOOLEAN"),
        ("NULL", "property", "int", "VARCHAR"),
        ("NULL", "list", "list", "VARCHAR[]"),
        ("NULL", "metric", "something new", "VARCHAR"),
    ],
)
def test_a_declaration_never_loses_a_value(
    found: object, kind: str, declared: str, expected: str
) -> None:
    """The declared type holds, unless what was seen does not fit into it."""
    assert expected == sql_type(found, Declared(kind, declared))  # type: ignore[arg-type]


def test_without_a_declaration_what_is_seen_counts() -> None:
    """An undeclared column has the type of its values, text when there are none."""
    assert ["DOUBLE", "VARCHAR", "UBIGINT[][]"] == [
        sql_type(found, None) for found in ("DOUBLE", "NULL", (("UBIGINT",),))
    ]
