"""The public names: sorted, documented, and changed only on purpose."""

from __future__ import annotations

import enum
import importlib
import inspect
import os
import types
from pathlib import Path

import pytest

SNAPSHOT = Path(__file__).with_name("public_api.txt")

MODULES = [
    "tachograph",
    "tachograph.asgi",
    "tachograph.errors",
    "tachograph.fleet",
    "tachograph.formats",
    "tachograph.logs",
    "tachograph.metrics",
    "tachograph.scaffold",
    "tachograph.sinks",
    "tachograph.telemetry",
    "tachograph.testing",
    "tachograph.trace",
]
"""Modules that users import from. All others are ours to change."""


def names(module: str) -> list[str]:
    """Return the `__all__` of *module*, empty where it declares none."""
    return list(getattr(importlib.import_module(module), "__all__", []))


def public() -> list[tuple[str, str]]:
    """Return every public name with its module."""
    return [(module, name) for module in MODULES for name in names(module)]


def test_public_names_change_on_purpose() -> None:
    """The public names equal the committed list; TACHOGRAPH_SNAPSHOT=write renews it."""
    current = "".join(f"{module}.{name}\n" for module, name in public())
    if os.environ.get("TACHOGRAPH_SNAPSHOT") == "write":
        SNAPSHOT.write_text(current)

    assert SNAPSHOT.read_text().splitlines() == current.splitlines()


def in_order(name: str) -> tuple[int, str]:
    """Return the place of a name: constants, then classes, then functions, as ruff sorts them."""
    if name.isupper():
        return 0, name
    return (1 if name[:1].isupper() else 2), name


@pytest.mark.parametrize("module", MODULES)
def test_names_are_sorted(module: str) -> None:
    """A module lists its public names once each, in order."""
    assert sorted(set(names(module)), key=in_order) == names(module)


@pytest.mark.parametrize(("module", "name"), public(), ids=str)
def test_every_public_name_is_documented(module: str, name: str) -> None:
    """Each public class, function and module has a docstring of its own."""
    value = getattr(importlib.import_module(module), name)
    if not isinstance(value, (type, types.ModuleType)) and not inspect.isroutine(value):
        return  # a constant or an alias: its text stands beside it
    doc = inspect.getdoc(value) or ""
    if isinstance(value, type) and not issubclass(value, enum.Enum):
        # An inherited text or the signature that `dataclass` puts there explains nothing.
        doc = vars(value).get("__doc__") or ""

    assert doc.strip()
    assert not doc.startswith(f"{name}(")
