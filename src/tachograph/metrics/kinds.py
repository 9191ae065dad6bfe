"""From a field's annotation to its kind on the wire, with the reasons when there is none."""

from __future__ import annotations

import builtins
import types
import typing
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from enum import Enum
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path, PurePath
from typing import Any
from uuid import UUID

from tachograph.formats.quantities import Quantity

__all__ = ["Kind", "kind_of"]

_SCALARS: dict[type, tuple[str, str]] = {
    bool: ("metric", "bool"),
    int: ("metric", "int"),
    float: ("metric", "float"),
    Decimal: ("metric", "decimal"),
    timedelta: ("metric", "timedelta"),
    str: ("property", "str"),
    datetime: ("property", "datetime"),
}
_AS_TEXT = (UUID, Path, PurePath, IPv4Address, IPv6Address)


@dataclass(frozen=True, slots=True)
class Kind:
    """What an annotation means: kind and type of the schema, and how to get a text if it is one."""

    kind: str
    type: str
    optional: bool
    python_type: str
    enum: builtins.type[Enum] | None = None
    to_text: Callable[[Any], str] | None = None
    closes: bool = False
    """Whether a value is what its `__tachograph_close__` returns."""


def kind_of(annotation: object) -> Kind | str:
    """Return the kind of *annotation*, or a sentence fragment that says what was expected."""
    inner, optional = _without_none(annotation)
    shown = _shown(inner)
    if isinstance(inner, type):
        if inner is Quantity:
            return Kind("metric", "float", optional, shown)
        if inner in _SCALARS:
            kind, name = _SCALARS[inner]
            return Kind(kind, name, optional, shown)
        if issubclass(inner, Enum):
            return Kind("property", "enum", optional, shown, enum=inner)
        if inner in _AS_TEXT:
            return Kind("property", "str", optional, shown, to_text=str)
        if hasattr(inner, "__tachograph_close__"):
            return _closing(inner, optional)
    origin = typing.get_origin(inner)
    if origin in (list, tuple):
        elements = [a for a in typing.get_args(inner) if a is not Ellipsis]
        kinds = [kind_of(element) for element in elements]
        if elements and all(isinstance(k, Kind) and k.kind != "list" for k in kinds):
            return Kind("list", "list", optional, shown)
    return (
        f"expected bool, int, float, Decimal, Quantity, str, an Enum, datetime, timedelta, UUID, "
        f"Path, an IP address, a class with `__tachograph_close__`, a list of these, or one of "
        f"them `| None`, got `{shown}`"
    )


def _closing(cls: Any, optional: bool) -> Kind | str:
    """Return the kind of what the objects of *cls* close to."""
    try:
        returned = typing.get_type_hints(cls.__tachograph_close__).get("return")
    except Exception:  # noqa: BLE001 -- told as a problem of the declaration
        returned = None
    kind = kind_of(returned)
    if isinstance(kind, str) or kind.closes or kind.type == "timedelta":
        return (
            f"expected `{cls.__qualname__}.__tachograph_close__` to be annotated with the plain "
            f"type that it returns, got `{_shown(returned)}`"
        )
    return replace(kind, optional=optional or kind.optional, closes=True)


def _without_none(annotation: object) -> tuple[Any, bool]:
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        arguments = typing.get_args(annotation)
        optional = type(None) in arguments
        # `int | Quantity` is an int that a quantity may be assigned to.
        rest = [a for a in arguments if a not in (type(None), Quantity)] or [Quantity]
        if len(rest) == 1:
            return rest[0], optional
    return annotation, False


def _shown(annotation: Any) -> str:
    if isinstance(annotation, type) and typing.get_origin(annotation) is None:
        return annotation.__qualname__
    return str(annotation)
