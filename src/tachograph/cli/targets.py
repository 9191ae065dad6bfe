"""What `tacho schema` is pointed at: modules, classes in them, schema documents, directories.

A module is imported as uvicorn does it: from the current directory or PYTHONPATH. What it prints
meanwhile goes to stderr, for stdout is the document's.
"""

from __future__ import annotations

import contextlib
import difflib
import importlib
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from tachograph.errors import CommandError
from tachograph.fleet.schema import entries
from tachograph.formats.schema import FILE_NAME, document
from tachograph.metrics import WideEvent

__all__ = ["Described", "describe", "read"]


@dataclass(slots=True)
class Described:
    """Record classes as schema documents have them.

    Attributes:
        entries: The classes that were asked for; of a module those that are no child of another.
        children: Other classes of the same modules, which are only part of these, for all we know.
        partial: Whether single classes were named, so that others are not missed.
    """

    entries: list[dict[str, Any]] = field(default_factory=list)
    children: list[dict[str, Any]] = field(default_factory=list)
    partial: bool = True


def describe(targets: Iterable[str]) -> Described:
    """Return what *targets* describe together, each version of a class once.

    Raises:
        CommandError: A target is not there, cannot be imported, or has no record class.
    """
    found = Described()
    for target in targets:
        module, _, path = target.partition(":")
        if _is_path(target):
            _add(found.entries, read(Path(target)))
            found.partial = False
        elif path:
            _add(found.entries, _entries([_class(module, path)]))
        else:
            classes = _classes(_imported(module))
            children = {child for one in classes for child in _children(one)}
            _add(found.entries, _entries(c for c in classes if c not in children))
            _add(found.children, _entries(c for c in classes if c in children))
            found.partial = False
    return found


def read(path: Path) -> list[dict[str, Any]]:
    """Return the classes of a schema document, or of all in and below a directory.

    Raises:
        CommandError: There is none, or it is damaged.
    """
    if not path.is_dir():
        return entries(path)
    documents = sorted(path.rglob(FILE_NAME))
    if not documents:
        raise CommandError(
            f"{path} holds no schema: expected a `{FILE_NAME}` in it or below. A service writes "
            "one into its telemetry directory with the first record of each class."
        )
    found: list[dict[str, Any]] = []
    for one in documents:
        _add(found, entries(one))
    return found


def _is_path(target: str) -> bool:
    path = Path(target)
    if path.suffix == ".py":
        name = ".".join(path.with_suffix("").parts).strip(".")
        raise CommandError(f"Expected a module, got the file {target}. Write it as `{name}`.")
    if path.is_dir():
        # A package in the current directory is a module, unless it is written as a path.
        return not (target.isidentifier() and (path / "__init__.py").is_file())
    return path.is_file() or "/" in target or path.suffix in (".json", ".schema")


def _add(found: list[dict[str, Any]], more: Iterable[dict[str, Any]]) -> None:
    known = {(entry["record"], entry.get("digest")) for entry in found}
    found += [e for e in more if (e["record"], e.get("digest")) not in known]


def _entries(classes: Iterable[type[WideEvent]]) -> list[dict[str, Any]]:
    records: list[dict[str, Any]] = document("", [c.__wide_event__.plan for c in classes])[
        "records"
    ]
    return records


def _imported(name: str) -> ModuleType:
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    if not all(map(str.isidentifier, name.split("."))):
        raise CommandError(
            f"Expected a module, `module:Class`, a schema document or a telemetry directory, got "
            f"`{name}`, which is none of them and does not exist.",
            exit_code=2,
        )
    try:
        with contextlib.redirect_stdout(sys.stderr):
            return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and f"{name}.".startswith(f"{error.name}."):
            raise CommandError(_not_found(name, error.name)) from error
        raise CommandError(
            f"Importing `{name}` failed: it needs the module `{error.name}`, which is not "
            f"installed for {sys.executable}. Run tacho in the environment of the service."
        ) from error
    except (Exception, SystemExit) as error:
        raise CommandError(
            f"Importing `{name}` failed: {type(error).__name__}: {error}. See where with --debug."
        ) from error


def _not_found(name: str, missing: str) -> str:
    layout = ""
    top = Path("src", name.partition(".")[0])
    if top.is_dir() or top.with_suffix(".py").is_file():
        layout = f" It lies in `src`: PYTHONPATH=src tacho schema {name}"
    return (
        f"There is no module `{missing}`: expected it in the current directory, on PYTHONPATH or "
        f"among the installed ones.{layout}"
    )


def _class(module: str, path: str) -> type[WideEvent]:
    value: object = _imported(module)
    if not path.isidentifier() and not all(map(str.isidentifier, path.split("."))):
        raise CommandError(f"Expected `module:Class`, got `{module}:{path}`.", exit_code=2)
    for name in path.split("."):
        value = getattr(value, name, None)
    if isinstance(value, type) and issubclass(value, WideEvent) and value is not WideEvent:
        return value
    names = [one.__name__ for one in _classes(sys.modules[module])]
    if value is not None:
        what = f"`{module}:{path}` is no record class: expected a subclass of `WideEvent`, got "
        what += f"{value!r:.80}."
    else:
        what = f"There is no `{path}` in `{module}`."
    near = difflib.get_close_matches(path, names, n=1)
    hint = f" Did you mean `{near[0]}`?" if near else f" There are: {', '.join(names)}."
    raise CommandError(what + hint)


def _classes(module: ModuleType) -> list[type[WideEvent]]:
    """Return the record classes that a module defines or imports, in its order."""
    found = [value for value in vars(module).values() if _is_users(value)]
    if found:
        return list(dict.fromkeys(found))
    prefix = f"{module.__name__}."
    elsewhere = sorted(
        name
        for name, other in list(sys.modules.items())
        if name.startswith(prefix) and any(_is_users(v) for v in vars(other).values())
    )
    hint = (
        f" There are in {', '.join(f'`{name}`' for name in elsewhere)}."
        if elsewhere
        else " Name the module that defines subclasses of `tachograph.WideEvent`."
    )
    raise CommandError(f"`{module.__name__}` has no record class.{hint}")


def _is_users(value: object) -> bool:
    return (
        isinstance(value, type)
        and issubclass(value, WideEvent)
        and not value.__module__.startswith("tachograph.")
        and bool(value.__wide_event__.plan.fields)
    )


def _children(record: type[WideEvent]) -> set[type[WideEvent]]:
    direct = {one.child for one in record.__wide_event__.declared if one.child is not None}
    return direct.union(*(_children(child) for child in direct))
