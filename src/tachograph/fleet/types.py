"""Which SQL type a column gets: what its class declares, corrected by what the lines hold.

Strategy: `json_structure` names the type of every value; the types seen in one column are merged,
then met with the declaration. A declaration is never allowed to lose a value: where the two differ
the column takes the type that holds everything.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

from tachograph.fleet.schema import Declared

__all__ = ["Seen", "declared_type", "merge", "seen", "sql_type"]

Seen: TypeAlias = str | tuple["Seen"]
"""A type from `json_structure`, normalised: `BOOLEAN`, `DOUBLE` …, or (element type,)."""

INTEGERS = ("UBIGINT", "BIGINT", "HUGEINT")

_DECLARED = {
    "bool": "BOOLEAN",
    "int": "BIGINT",
    "float": "DOUBLE",
    "number": "DOUBLE",
    "decimal": "DOUBLE",
    "datetime": "TIMESTAMP",
    "list": "VARCHAR[]",
    "distribution": "DOUBLE[]",
}


def seen(structure: object) -> Seen:
    """Return a part of a `json_structure` answer as a type; an object is kept as its text."""
    if isinstance(structure, str):
        return "VARCHAR" if structure == "JSON" else structure
    if isinstance(structure, list) and len(structure) == 1:
        return (seen(structure[0]),)
    return "VARCHAR"


def merge(types: Iterable[Seen]) -> Seen:
    """Return the type that holds values of all *types*."""
    result: Seen = "NULL"
    for other in types:
        result = _both(result, other)
    return result


def _both(one: Seen, other: Seen) -> Seen:
    if other in (one, "NULL"):
        return one
    if one == "NULL":
        return other
    if isinstance(one, tuple) or isinstance(other, tuple):
        # One observation is a number, several are an array of them: the column is the array.
        left = one[0] if isinstance(one, tuple) else one
        right = other[0] if isinstance(other, tuple) else other
        if isinstance(left, tuple) != isinstance(right, tuple) and "NULL" not in (left, right):
            return ("VARCHAR",)  # lists of different depth have only their texts in common
        return (_both(left, right),)
    if one in INTEGERS and other in INTEGERS:
        return "HUGEINT"  # below zero in one line, above 2^63 - 1 perhaps in another
    if {one, other} <= {*INTEGERS, "DOUBLE"}:
        return "DOUBLE"
    return "VARCHAR"


def declared_type(declared: Declared) -> str:
    """Return the SQL type of a field by its declaration alone."""
    if declared.kind == "property" and declared.type in ("int", "float", "decimal", "bool"):
        return "VARCHAR"  # a number that is an identity is written as text
    return _DECLARED.get(declared.type, "VARCHAR")


def sql_type(found: Seen, declared: Declared | None) -> str:
    """Return the SQL type of a column in which *found* was seen."""
    wanted = declared_type(declared) if declared else "VARCHAR"
    if found == "NULL":
        return wanted
    if declared and declared.type == "number":
        wanted = "VARCHAR"  # whatever the lines hold
    if isinstance(found, tuple):
        if wanted == "DOUBLE[]" and found[0] in (*INTEGERS, "DOUBLE", "NULL"):
            return wanted
        return f"{sql_type(found[0], None)}[]"
    if found in INTEGERS or found == "DOUBLE":
        return wanted if wanted in ("DOUBLE", "DOUBLE[]") else found
    if found == "VARCHAR" and wanted == "TIMESTAMP":
        return wanted
    return found
