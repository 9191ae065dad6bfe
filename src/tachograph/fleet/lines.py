"""Files into one table of flat lines, `raw.lines(line, record)`; what is no record is counted.

Strategy: DuckDB reads the files as lines of text in one pass and sorts them by their first look.
Flat lines stay as they are; those of other formats are few or cost more, and are translated.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tachograph.fleet.database import literal
from tachograph.fleet.depth import MAX_DEPTH
from tachograph.fleet.schema import Schema
from tachograph.fleet.translate import Translation
from tachograph.fleet.unpack import unpack
from tachograph.formats.schema import ANNOUNCEMENT

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

__all__ = ["Skipped", "read_lines", "time_of"]

MAX_LINE_BYTES = 16 * 1024 * 1024  # far above what a sink writes; a longer line is not ours

_BATCH = 4_096
_MAX_MS = 2**63 // 1_000  # as far from 1970 as microseconds reach


@dataclass(frozen=True, slots=True)
class Skipped:
    """What is no wide event, and what is one in part.

    Attributes:
        torn: Last lines of files that end in the middle: the service was killed, or writes on.
        damaged: Other lines that are not JSON in UTF-8.
        other: JSON, but no wide event in any format: log lines, perhaps.
        cut: Compressed files that end in the middle or are damaged; what is before that was read.
        undated: Records whose `timestamp` is no time; it is NULL there.
        incomplete: Records that were written as several lines of which one is missing.
    """

    torn: int = 0
    damaged: int = 0
    other: int = 0
    cut: int = 0
    undated: int = 0
    incomplete: int = 0


def read_lines(
    connection: DuckDBPyConnection, files: Sequence[Path], schema: Schema, scratch: Path
) -> tuple[Schema, Skipped]:
    """Fill `raw.lines`; return *schema* with the units that lines told, and what was skipped.

    Args:
        connection: An empty database.
        files: What is to be read.
        schema: What is declared.
        scratch: A directory for what has to be unpacked or translated.

    Raises:
        CommandError: A file cannot be read.
    """
    readable, cut = unpack(files, scratch)
    connection.execute("CREATE SCHEMA raw")
    connection.execute(f"CREATE TABLE raw.lines AS {_looked_at(readable)}")
    torn, damaged, other = _count_skipped(connection)
    rejected = _rejected(connection)
    schema = schema.with_units(_announced(connection))
    translation = Translation(schema)
    _translate(connection, translation, scratch / "translated")
    undated = connection.execute(
        f"SELECT count(*) FROM raw.lines WHERE record IS NOT NULL AND record <> '{ANNOUNCEMENT}' "
        "AND NOT timed"
    ).fetchone()
    skipped = Skipped(
        torn,
        damaged + rejected + translation.unreadable,
        other + translation.other,
        cut,
        undated[0] if undated else 0,
        translation.incomplete,
    )
    return schema.with_units(translation.units), skipped


def time_of(text: str) -> str:
    """Return the SQL of a time that is RFC 3339 text or integer milliseconds; else NULL."""
    moment, number = f"try_cast({text} AS TIMESTAMP)", f"try_cast({text} AS BIGINT)"
    return (
        f"CASE WHEN isfinite({moment}) THEN {moment} "
        f"WHEN {number} BETWEEN -{_MAX_MS} AND {_MAX_MS} "
        f"THEN try(make_timestamp({number} * 1000)) END"
    )


def _looked_at(files: Sequence[Path], *, translated: bool = False) -> str:
    """Return the query for lines with their class if they are flat, or with what else they are.

    `shape` is `flat`, `deep` for a flat line that nests too deeply, `foreign` for one of another
    format, `other` for other JSON, NULL for what is no JSON. What was *translated* is flat.
    """
    # A delimiter that JSON text cannot contain makes each line one column. Bytes that are not
    # UTF-8 cost their line only; `reject_errors` counts them.
    paths = ", ".join(literal(str(file)) for file in files)
    source = (
        f"read_csv([{paths}], columns={{'line': 'VARCHAR'}}, delim='\x1f', quote='', escape='', "
        "header=false, auto_detect=false, strict_mode=false, filename=true, ignore_errors=true, "
        f"store_rejects=true, rejects_limit=0, max_line_size={MAX_LINE_BYTES})"
    )
    if not files:
        source = "(SELECT NULL::VARCHAR AS line, NULL::VARCHAR AS filename LIMIT 0)"
    brackets = "length(line) - length(replace(replace(line, '[', ''), '{', ''))"
    limit = MAX_LINE_BYTES if translated else MAX_DEPTH
    # A name that would be JSON by itself may be a number, an object, null: then it names nothing.
    named = "NOT json_valid(head[2]) OR json_type(line, '/record') = 'VARCHAR'"
    dated = "head[1] IS NOT NULL OR json_exists(line, '/timestamp')"
    return f"""
        SELECT filename, line, shape, {time_of("head[1]")} IS NOT NULL AS timed,
               CASE WHEN shape = 'flat' THEN head[2] END AS record
        FROM (SELECT filename, line, head,
                     CASE WHEN head IS NULL THEN NULL
                          WHEN head[3] IS NOT NULL THEN 'foreign'
                          WHEN head[2] IS NOT NULL AND ({named}) AND ({dated})
                          THEN CASE WHEN {brackets} > {limit} THEN 'deep' ELSE 'flat' END
                          WHEN coalesce(head[4], head[5]) IS NOT NULL THEN 'foreign'
                          ELSE 'other' END AS shape
              FROM (SELECT filename, line, CASE WHEN json_valid(line) THEN
                           json_extract_string(line, ['/timestamp', '/record', '/_aws',
                                                      '/metrics', '/properties'])
                           END AS head
                    FROM {source} WHERE line IS NOT NULL))"""


def _count_skipped(connection: DuckDBPyConnection) -> tuple[int, int, int]:
    row = connection.execute("""
        SELECT count(*) FILTER (WHERE shape IS NULL AND last),
               count(*) FILTER (WHERE shape IS NULL AND NOT last),
               count(*) FILTER (WHERE shape = 'other')
        FROM (SELECT shape, rowid IN (SELECT max(rowid) FROM raw.lines GROUP BY filename) AS last
              FROM raw.lines WHERE shape IS NULL OR shape = 'other')""").fetchone()
    torn, damaged, other = row or (0, 0, 0)
    return torn, damaged, other


def _rejected(connection: DuckDBPyConnection) -> int:
    known = connection.execute(
        "SELECT count(*) FROM duckdb_tables() WHERE table_name = 'reject_errors'"
    ).fetchone()
    if not known or not known[0]:
        return 0
    row = connection.execute("SELECT count(*) FROM reject_errors").fetchone()
    connection.execute("DROP TABLE reject_errors")
    connection.execute("DROP TABLE reject_scans")
    return int(row[0]) if row else 0


def _announced(connection: DuckDBPyConnection) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    rows = connection.execute(
        "SELECT DISTINCT line FROM raw.lines WHERE record = ?", [ANNOUNCEMENT]
    ).fetchall()
    for (line,) in rows:
        announcement = json.loads(line)
        record, units = announcement.get("of"), announcement.get("units")
        if isinstance(record, str) and isinstance(units, list):
            pairs = (unit.partition("=") for unit in units if isinstance(unit, str))
            found.setdefault(record, {}).update({name: unit for name, _, unit in pairs})
    return found


def _translate(connection: DuckDBPyConnection, translation: Translation, target: Path) -> None:
    """Put flat lines in the place of those that are not."""
    wanted = "shape IN ('foreign', 'deep')"
    with target.open("w", encoding="utf-8") as file:
        for line in translation.lines(_texts(connection, wanted)):
            file.write(f"{line}\n")
    connection.execute(f"DELETE FROM raw.lines WHERE {wanted}")
    if target.stat().st_size:
        connection.execute(f"INSERT INTO raw.lines {_looked_at([target], translated=True)}")
        _rejected(connection)


def _texts(connection: DuckDBPyConnection, wanted: str) -> Iterator[str]:
    rows = connection.execute(f"SELECT line FROM raw.lines WHERE {wanted} ORDER BY rowid")
    while batch := rows.fetchmany(_BATCH):
        for (line,) in batch:
            yield line
