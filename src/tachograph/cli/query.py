"""Ask wide events in SQL.

Each record class is a view of its name, each field a column; `tacho query --tables` shows them
with types and units. Without a question an overview is shown. The SQL is DuckDB's.

Flat, nested and EMF lines are read, mixed as they come, also gzipped; in the latter two formats
`metrics.schema.json` tells which class a line is of.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import decimal
import math
import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tachograph.cli import csv, table
from tachograph.cli.printable import json_text, printable
from tachograph.errors import CommandError

if TYPE_CHECKING:
    from tachograph.fleet import Result, Skipped, WideEvents

__all__ = ["configure", "run"]

EPILOG = """\
The question this all began with: how slow is SetItem, for the slowest in a hundred, when the
downstream timed out? One row per request makes it a filter:

  tacho query --dir telemetry "
    SELECT count(*) AS requests, quantile_cont(Duration, 0.99) AS p99
    FROM RequestMetrics
    WHERE Operation = 'SetItem' AND DownstreamErrorKind = 'Timeout'"

More:

  tacho query --dir telemetry --tables
  tacho query "FROM RequestMetrics WHERE RequestId = '6f1c...'" --dir telemetry
  tacho query "SELECT Operation, median(Duration) FROM RequestMetrics GROUP BY ALL" metrics.log.*
  kubectl logs deploy/orders | tacho query "SELECT count(*) FROM RequestMetrics" - --json
  tacho query "FROM RequestMetrics" --dir telemetry --csv > requests.csv

exit codes: 0 answered, 1 error, 2 wrong usage
"""

TITLES = ("column", "type", "unit", "meaning")

MAX_ROWS = 200  # what a person can look through; --json and --csv have no limit


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.usage = "tacho query [SQL] [--dir DIR | FILE... | -] [--json | --csv] [--tables]"
    parser.epilog = EPILOG
    parser.add_argument(
        "words",
        nargs="*",
        metavar="SQL, FILE",
        help="a question (it has a space in it), and files or directories to ask; "
        "- is standard input",
    )
    parser.add_argument(
        "--dir",
        action="append",
        default=[],
        type=Path,
        help="a telemetry directory, with everything below it; may be given again "
        "(default: $TELEMETRY_DIR, else what is piped in)",
    )
    parser.add_argument(
        "--schema",
        action="append",
        default=[],
        type=Path,
        metavar="FILE",
        help="a metrics.schema.json, for files that do not lie beside theirs",
    )
    parser.add_argument("--tables", action="store_true", help="show views, columns, types, units")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--table", action="store_true", help="print a table (default)")
    form.add_argument("--json", action="store_true", help="print a list of objects")
    form.add_argument("--csv", action="store_true", help="print comma-separated values")


def run(arguments: argparse.Namespace) -> int:
    """Answer; return the exit code."""
    sql, paths = _split(arguments.words)
    if sql is not None and arguments.tables:
        raise CommandError("`--tables` shows what can be asked; leave the SQL away.", exit_code=2)
    from tachograph.fleet import Sources, WideEvents

    with contextlib.ExitStack() as stack:
        paths = stack.enter_context(_with_stdin([*arguments.dir, *paths] or _default()))
        events = stack.enter_context(WideEvents(Sources.find(paths, arguments.schema)))
        _report(events.skipped)
        if arguments.tables:
            _show_tables(events, arguments)
        elif sql is None:
            _show(events.overview(), arguments)
            if not arguments.json and not arguments.csv:
                print("\nWhat can be asked: tacho query --tables; how: tacho query --help")
        else:
            _show(events.query(sql), arguments)
    return 0


def _split(words: Sequence[str]) -> tuple[str | None, list[Path]]:
    """Return the question and the paths; a word with white space in it is no path."""
    questions = [w for w in words if any(map(str.isspace, w)) and not Path(w[:255]).exists()]
    if len(questions) > 1:
        raise CommandError(
            f"Expected one question, got {len(questions)}: {questions[0]!r} and {questions[1]!r}. "
            "Quote the SQL as one argument.",
            exit_code=2,
        )
    question = questions[0] if questions else None
    return question, [Path(word) for word in words if word != question]


def _default() -> list[Path]:
    if directory := os.environ.get("TELEMETRY_DIR"):
        return [Path(directory)]
    mode = os.fstat(sys.stdin.fileno()).st_mode
    if stat.S_ISFIFO(mode) or stat.S_ISREG(mode):
        return [Path("-")]
    raise CommandError(
        "Nothing to ask: name a telemetry directory with `--dir DIR`, files of wide events, or "
        "`-` for standard input.",
        exit_code=2,
    )


@contextlib.contextmanager
def _with_stdin(paths: Sequence[Path]) -> Iterator[list[Path]]:
    """Yield *paths* with what comes from standard input as a file in the place of `-`."""
    if Path("-") not in paths:
        yield list(paths)
        return
    with tempfile.TemporaryDirectory(prefix="tachograph-") as scratch:
        piped = Path(scratch) / "stdin"
        with piped.open("wb") as file:
            shutil.copyfileobj(sys.stdin.buffer, file)
        yield [piped if path == Path("-") else path for path in paths]


def _report(skipped: Skipped) -> None:
    parts = [
        (skipped.torn, "cut off at the end of a file"),
        (skipped.damaged, "damaged"),
        (skipped.other, "no wide event"),
    ]
    said = ", ".join(f"{count} {what}" for count, what in parts if count)
    if said:
        print(f"tacho: skipped lines: {said}", file=sys.stderr)
    partly = [
        (skipped.cut, "compressed files cut in the middle, read up to there"),
        (skipped.undated, "records whose timestamp is no time, NULL there"),
        (skipped.incomplete, "records of which a part is missing, with `_id` and `_parts`"),
    ]
    for count, what in partly:
        if count:
            print(f"tacho: {what}: {count}", file=sys.stderr)


def _show(result: Result, arguments: argparse.Namespace) -> None:
    names = _distinct([column.name for column in result.columns])
    if arguments.json:
        objects = [dict(zip(names, map(_plain, row), strict=True)) for row in result.rows]
        print(_json_lines(objects))
    elif arguments.csv:
        csv.write(sys.stdout, names, (map(_plain, row) for row in result.rows))
    else:
        titles = [table.title(column.name, column.unit) for column in result.columns]
        print(table.render(titles, result.rows[:MAX_ROWS], _width()), end="")
        if (more := len(result.rows) - MAX_ROWS) > 0:
            print(f"... and {more} more rows; all of them with --json or --csv")


def _show_tables(events: WideEvents, arguments: argparse.Namespace) -> None:
    if arguments.csv:
        names = ("record", "column", "type", "unit", "doc")
        columns = [
            (r.name, c.name, c.type, c.unit, c.doc) for r in events.records for c in r.columns
        ]
        csv.write(sys.stdout, names, columns)
        return
    if arguments.json:
        print(
            _json_lines(
                [
                    {
                        "record": record.name,
                        "lines": record.lines,
                        "columns": [
                            {"name": c.name, "type": c.type, "unit": c.unit, "doc": c.doc}
                            for c in record.columns
                        ],
                    }
                    for record in events.records
                ]
            )
        )
        return
    blocks = []
    for record in events.records:
        rows = [(c.name, c.type, c.unit or "", c.doc) for c in record.columns]
        shown = table.render(*table.used(TITLES, rows), _width(), prose=any(r[3] for r in rows))
        number = f"{record.lines:,} record{'' if record.lines == 1 else 's'}"
        blocks.append(f"{printable(record.name)}: {number}\n\n{shown}")
    print("\n".join(blocks), end="")


def _json_lines(objects: Sequence[object]) -> str:
    """Return a JSON list with one object a line: for a program, and for eyes."""
    if not objects:
        return "[]"
    return "[\n" + ",\n".join(map(json_text, objects)) + "\n]"


def _distinct(names: Sequence[str]) -> list[str]:
    """Return *names* with repeated ones numbered, for an object has each key once."""
    result: list[str] = []
    for name in names:
        unique, number = name, 1
        while unique in result:
            number += 1
            unique = f"{name}_{number}"
        result.append(unique)
    return result


def _plain(value: Any) -> Any:
    """Return *value* as JSON has it; what JSON lacks as text, what is no number as null."""
    match value:
        case None | bool() | int() | str():
            return value
        case float() | decimal.Decimal():
            return float(value) if math.isfinite(value) else None
        case datetime.datetime():
            moment = value.astimezone(datetime.UTC).replace(tzinfo=None) if value.tzinfo else value
            return moment.isoformat(timespec="microseconds") + "Z"
        case list() | tuple():
            return [_plain(item) for item in value]
        case dict():
            return {str(key): _plain(item) for key, item in value.items()}
    return str(value)


def _width() -> int | None:
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None
