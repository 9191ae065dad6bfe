"""Show which fields record classes emit, and whether a change breaks their readers.

TARGET is a module or `module:Class`, imported from the current directory, a `metrics.schema.json`,
or a telemetry directory. The service does not run. `--check` compares with a description from
before: a field or record that is gone, another type, unit or kind, or a value that may now be
absent breaks queries, dashboards and alarms; what is new does not.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tachograph.cli import table
from tachograph.cli.printable import json_text, printable

if TYPE_CHECKING:
    from tachograph.fleet.compatibility import Comparison

__all__ = ["configure", "run"]

EPILOG = """\
examples:

  tacho schema orders.records
  tacho schema orders.records:RequestMetrics --markdown > docs/records.md
  tacho schema orders.records --json > schema.json        commit it, and in CI:
  tacho schema orders.records --check schema.json
  tacho schema telemetry                                  what a service has written

A module's classes that are children of others are shown in their place there, not by themselves.

exit codes: 0 done, 1 error, 2 wrong usage, 3 not compatible
"""

BREAKS = 3
"""The exit code when a change breaks readers."""

TITLES = ("name", "kind", "type", "unit", "optional", "meaning")


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.usage = "tacho schema TARGET... [--json | --markdown] [--check OLD]"
    parser.epilog = EPILOG
    parser.add_argument(
        "targets",
        nargs="+",
        metavar="TARGET",
        help="a module, module:Class, a metrics.schema.json, or a telemetry directory",
    )
    parser.add_argument(
        "--check",
        type=Path,
        metavar="OLD",
        help="compare with this document, or those of a telemetry directory; "
        "exit with 3 when readers of it would break",
    )
    parser.add_argument(
        "--service", metavar="NAME", help="the service's name, for the JSON document"
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print the document, or the findings")
    form.add_argument("--markdown", action="store_true", help="print Markdown tables")


def run(arguments: argparse.Namespace) -> int:
    """Describe or compare; return the exit code."""
    from tachograph.cli.targets import describe, read

    described = describe(arguments.targets)
    if arguments.check is not None:
        from tachograph.fleet.compatibility import compare

        old = read(arguments.check)
        names = {entry["record"] for entry in old}
        new = described.entries + [e for e in described.children if e["record"] in names]
        if described.partial:
            asked = {entry["record"] for entry in new}
            old = [entry for entry in old if entry["record"] in asked]
        found = compare(old, new)
        _show_comparison(found, new, arguments)
        return BREAKS if found.breaks else 0
    if arguments.json:
        from tachograph.formats.schema import VERSION

        service = {"service": arguments.service} if arguments.service else {}
        document = {"tachograph_schema": VERSION, **service, "records": described.entries}
        print(json_text(document, compact=True))
    elif arguments.markdown:
        print("\n".join(map(_markdown, _latest(described.entries))), end="")
    else:
        print("\n".join(map(_table, _latest(described.entries))), end="")
        _report_older(described.entries)
    return 0


Entry = Mapping[str, Any]


def _latest(entries: Sequence[Entry]) -> list[Entry]:
    return list({entry["record"]: entry for entry in entries}.values())


def _report_older(entries: Sequence[Entry]) -> None:
    if older := len(entries) - len(_latest(entries)):
        versions = "version of a class is" if older == 1 else "versions of classes are"
        print(f"\n{older} older {versions} not shown; --json has them all.")


def _rows(entry: Entry) -> list[tuple[str, ...]]:
    return [
        (
            field["name"],
            field["kind"],
            field["type"],
            field.get("unit") or "",
            "yes" if field.get("optional") else "",
            _meaning(field),
        )
        for field in entry["fields"]
    ]


def _meaning(field: Entry) -> str:
    doc = " ".join((field.get("doc") or "").split())
    if parts := field.get("parts"):
        wide = "Flat lines have " if field["type"] != "distribution" else "If very many: "
        doc = f"{doc} {wide}{', '.join(parts)}.".strip()
    return doc


def _heading(entry: Entry) -> str:
    """Return the first paragraph of the class's documentation, on one line."""
    return " ".join((entry.get("doc") or "").strip().partition("\n\n")[0].split())


def _table(entry: Entry) -> str:
    rows = _rows(entry)
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    body = table.render(*table.used(TITLES, rows), width, prose=any(row[-1] for row in rows))
    heading = printable(_heading(entry))
    return f"{printable(entry['record'])}{': ' if heading else ''}{heading}\n\n{body}"


def _markdown(entry: Entry) -> str:
    lines = [f"## {_cell(entry['record'])}", ""]
    if heading := _heading(entry):
        lines += [_cell(heading), ""]
    lines.append("| Name | Kind | Type | Unit | Optional | Meaning |")
    lines.append("|---|---|---|---|---|---|")
    for name, *rest in _rows(entry):
        cells = [f"`{_cell(name)}`", *map(_cell, rest)]
        lines.append("|" + "|".join(f" {cell} " if cell else " " for cell in cells) + "|")
    return "\n".join(lines) + "\n"


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _cell(text: str) -> str:
    return printable(text).replace("|", "\\|")


def _show_comparison(
    found: Comparison, new: Sequence[Entry], arguments: argparse.Namespace
) -> None:
    if arguments.json:
        breaks = [{"where": b.where, "what": b.what, "fix": b.fix} for b in found.breaks]
        answer = {
            "compatible": not breaks,
            "breaks": breaks,
            "added": found.added,
            "no_longer_optional": found.eased,
        }
        print(json_text(answer))
        return
    mark = "- " if arguments.markdown else ""
    count = len(found.breaks)
    against = printable(str(arguments.check))
    records = _latest(new)
    if count:
        changes = "One change breaks" if count == 1 else f"{count} changes break"
        print(f"{changes} readers of {against}:\n")
        for one in found.breaks:
            name = f"`{one.where}`" if mark else one.where
            print(f"{mark}{printable(name)}: {printable(one.what)}\n    {printable(one.fix)}")
    else:
        fields = sum(len(entry["fields"]) for entry in records)
        counts = f"{_counted(len(records), 'record')}, {_counted(fields, 'field')}"
        print(f"Compatible with {against}: {counts}.")
    for what, names in (("Added", found.added), ("No longer optional", found.eased)):
        if names:
            print(f"{chr(10) if count else ''}{what}: {printable(', '.join(names))}")
