"""Which unit an answer's columns have, from the units of the fields they are made of.

The p99 of milliseconds is milliseconds; a count of them is a number. Only expressions whose unit is
certain get one: a column, a function that keeps its argument's unit, sums and differences of equal
units. Everything else has none, for a wrong unit is worse than no unit.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

__all__ = ["result_units"]

# Of these the first argument decides; the others are ranks, digits or orders.
_KEEPING = frozenset(
    {
        *("abs", "any_value", "avg", "ceil", "ceiling", "first", "floor", "fsum", "greatest"),
        *("kahan_sum", "last", "least", "mad", "max", "mean", "median", "min", "mode", "round"),
        *("arg_max", "arg_min", "max_by", "min_by", "stddev", "stddev_pop", "stddev_samp", "sum"),
        *("approx_quantile", "quantile", "quantile_cont", "quantile_disc"),
        *("list_avg", "list_max", "list_min", "list_sum"),
        *("first_value", "lag", "last_value", "lead", "nth_value"),
    }
)
_ADDING = frozenset({"+", "-", "coalesce"})


class _Named(Protocol):
    @property
    def name(self) -> str: ...
    @property
    def unit(self) -> str | None: ...


def result_units(
    connection: DuckDBPyConnection, sql: str, views: Mapping[str, Sequence[_Named]]
) -> list[str | None] | None:
    """Return the unit of each column that *sql* answers with, None where they cannot be told."""
    row = connection.execute("SELECT json_serialize_sql(?)", [sql]).fetchone()
    tree: dict[str, Any] = json.loads(row[0]) if row else {"error": True}
    if tree.get("error") or len(tree["statements"]) != 1:
        return None
    node = tree["statements"][0]["node"]
    if node.get("type") != "SELECT_NODE":
        return None
    tables = _tables(node.get("from_table") or {})
    # What a WITH clause defines hides a record of that name.
    hidden = {entry["key"].lower() for entry in node["cte_map"]["map"]}
    by_name = {name.lower(): view for name, view in views.items() if name.lower() not in hidden}
    if not tables or any(table not in by_name for table in tables):
        return None  # a subquery may call anything by any name
    columns = [column for table in tables for column in by_name[table]]
    units: list[str | None] = []
    for item in node["select_list"]:
        if item["class"] == "STAR":
            if item.get("exclude_list") or item.get("replace_list") or item.get("columns"):
                return None
            units += [column.unit for column in columns]
        else:
            units.append(_unit(item, _lookup(columns)))
    return units


def _lookup(columns: Sequence[_Named]) -> dict[str, str | None]:
    found: dict[str, str | None] = {}
    for column in columns:
        key = column.name.lower()
        # The same name in two joined records: only an equal unit is certain.
        found[key] = column.unit if found.get(key, column.unit) == column.unit else None
    return found


def _tables(table: Mapping[str, Any]) -> list[str]:
    """Return the lower-case names of a FROM clause; an empty one for what is not a name."""
    kind = table.get("type")
    if kind == "BASE_TABLE":
        return [str(table["table_name"]).lower()]
    if kind == "JOIN":
        return [*_tables(table["left"]), *_tables(table["right"])]
    return [] if kind == "EMPTY" else [""]


def _unit(item: Mapping[str, Any], units: Mapping[str, str | None]) -> str | None:
    kind = item["class"]
    if kind == "COLUMN_REF":
        return units.get(str(item["column_names"][-1]).lower())
    if kind == "CAST":
        return _unit(item["child"], units)
    if kind not in ("FUNCTION", "OPERATOR", "WINDOW"):
        return None
    name = str(item.get("function_name") or item["type"].removeprefix("OPERATOR_")).lower()
    arguments = _arguments(item)
    if name in _KEEPING and arguments:
        return _unit(arguments[0], units)
    if name in _ADDING and arguments:
        found = {_unit(argument, units) for argument in arguments if not _is_constant(argument)}
        return found.pop() if len(found) == 1 else None
    return None


def _arguments(item: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    # `f(q) WITHIN GROUP (ORDER BY x)` is parsed as a function of `q` alone; `x` is what it is of.
    ordered = [order["expression"] for order in (item.get("order_bys") or {}).get("orders", [])]
    listed = item.get("arguments") or item.get("children") or []
    arguments = [argument.get("expression", argument) for argument in listed]
    return ordered if ordered and all(map(_is_constant, arguments)) else arguments


def _is_constant(item: Mapping[str, Any]) -> bool:
    return bool(item["class"] == "CONSTANT")
