"""`tacho query`: from arguments to what is printed."""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tachograph.cli.main import main
from tachograph.cli.query import EPILOG

LINES = (
    '{"timestamp":"2026-01-02T03:04:05.000006Z","record":"RequestMetrics","RequestId":"a",'
    '"Operation":"SetItem","Duration":5001.25,"DownstreamErrorKind":"Timeout","Tags":["x","y"]}\n'
    '{"timestamp":"2026-01-02T03:04:06.000000Z","record":"RequestMetrics","RequestId":"b",'
    '"Operation":"GetItem","Duration":2,"Found":true}\n'
)
SCHEMA = {
    "records": [
        {
            "record": "RequestMetrics",
            "fields": [
                {
                    "name": "Duration",
                    "kind": "metric",
                    "type": "float",
                    "unit": "Milliseconds",
                    "doc": "Until the last byte.",
                }
            ],
        }
    ]
}
ALL = "SELECT RequestId, timestamp, Duration, Found, Tags FROM RequestMetrics ORDER BY RequestId"


@pytest.fixture
def telemetry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A telemetry directory."""
    monkeypatch.delenv("TELEMETRY_DIR", raising=False)
    directory = tmp_path / "telemetry"
    directory.mkdir()
    (directory / "metrics.log.2026-01-02-03-04").write_text(LINES)
    (directory / "metrics.schema.json").write_text(json.dumps(SCHEMA))
    return directory


def ask(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """Run `tacho query` and return what it prints; it must succeed in silence on stderr."""
    code = main(["query", *map(str, arguments)])
    captured = capsys.readouterr()

    assert (0, "") == (code, captured.err)
    return captured.out


def test_the_question_in_the_help_works(
    telemetry: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The example in `--help`, copied as it is, answers with the unit in the title."""
    found = re.search(r'tacho query --dir telemetry "(.*?)"', EPILOG, re.DOTALL)
    assert found is not None
    monkeypatch.chdir(telemetry.parent)

    printed = ask(capsys, "--dir", "telemetry", found[1])

    assert "requests  p99 (ms)\n────────  ────────\n       1   5001.25\n" == printed


def test_json_is_a_list_of_objects(telemetry: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`--json` gives numbers as numbers, times in RFC 3339, what is absent as null."""
    found = json.loads(ask(capsys, ALL, "--dir", telemetry, "--json"))

    assert [
        {
            "RequestId": "a",
            "timestamp": "2026-01-02T03:04:05.000006Z",
            "Duration": 5001.25,
            "Found": None,
            "Tags": ["x", "y"],
        },
        {
            "RequestId": "b",
            "timestamp": "2026-01-02T03:04:06.000000Z",
            "Duration": 2.0,
            "Found": True,
            "Tags": None,
        },
    ] == found


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT 1 AS a, 2 AS a", [{"a": 1, "a_2": 2}]),
        ("SELECT 0.5::DECIMAL(3,1) AS d, 'nan'::DOUBLE AS n", [{"d": 0.5, "n": None}]),
        ("SELECT {'k': [DATE '2026-01-02']} AS s", [{"s": {"k": ["2026-01-02"]}}]),
        ("SELECT 1 AS a WHERE false", []),
    ],
)
def test_json_holds_what_json_can(
    telemetry: Path, capsys: pytest.CaptureFixture[str], sql: str, expected: object
) -> None:
    """Each key once, decimals as numbers, NaN as null, other types as their text."""
    assert expected == json.loads(ask(capsys, sql, "--json", telemetry))


def test_csv_has_plain_titles(telemetry: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`--csv` is for programs: names without units, empty for absent."""
    rows = list(csv.reader(io.StringIO(ask(capsys, ALL, "--csv", telemetry))))

    assert [
        ["RequestId", "timestamp", "Duration", "Found", "Tags"],
        ["a", "2026-01-02T03:04:05.000006Z", "5001.25", "", '["x", "y"]'],
        ["b", "2026-01-02T03:04:06.000000Z", "2.0", "true", ""],
    ] == rows


def test_tables_are_csv_too(telemetry: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`--tables --csv` has a line a column, for a spreadsheet or a diff."""
    printed = ask(capsys, "--tables", "--csv", telemetry)

    assert printed.startswith("record,column,type,unit,doc\nRequestMetrics,timestamp,TIMESTAMP,,")
    assert "RequestMetrics,Duration,DOUBLE,Milliseconds,Until the last byte.\n" in printed


@pytest.mark.slow
def test_names_and_values_cannot_steer_the_terminal(
    telemetry: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Views, columns, values and messages show escape sequences instead of sending them."""
    (telemetry / "metrics.log.2026-01-02-03-05").write_text(
        '{"timestamp":1,"record":"A\\u001b[2J","dura\\u001b]0;x\\u0007":"\\u009b1m"}\n'
    )
    shown = ask(capsys, "--tables", telemetry) + ask(capsys, telemetry)
    shown += ask(capsys, 'FROM "A\x1b[2J"', telemetry)
    shown += ask(capsys, 'FROM "A\x1b[2J"', "--json", telemetry)
    code = main(["query", 'SELECT dura FROM "A\x1b[2J"', str(telemetry)])
    shown += capsys.readouterr().err

    assert 1 == code
    assert "A\\x1b[2J: 1 record\n" in shown
    assert "Nearest: `dura\\x1b]0;x\\x07`" in shown
    assert {"\n"} == {c for c in shown if not c.isprintable()}


def test_what_is_a_record_in_part_is_told(
    telemetry: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A cut file, a time that is none and a missing part are said on stderr; the rest is there."""
    (telemetry / "metrics.log.2026-01-02-03-05.gz").write_bytes(gzip.compress(LINES.encode())[:-8])
    (telemetry / "metrics.log.2026-01-02-03-06").write_text(
        '{"timestamp":"soon","record":"A"}\n'
        '{"_aws":{"CloudWatchMetrics":[],"Timestamp":1},"Duration":1,"_id":"f","_part":1,"_parts":2}\n'
    )
    code = main(["query", "SELECT count(*) n FROM RequestMetrics", "--csv", str(telemetry)])
    captured = capsys.readouterr()

    assert (0, "n\n5\n") == (code, captured.out)
    assert [
        "tacho: compressed files cut in the middle, read up to there: 1",
        "tacho: records whose timestamp is no time, NULL there: 1",
        "tacho: records of which a part is missing, with `_id` and `_parts`: 1",
    ] == captured.err.splitlines()


def test_without_a_question_there_is_an_overview(
    telemetry: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """No SQL: the record classes, how many, from when to when, and what to type next."""
    printed = ask(capsys, telemetry)

    assert printed.splitlines()[2].split() == [
        "RequestMetrics",
        "2",
        *("2026-01-02", "03:04:05.000Z", "2026-01-02", "03:04:06.000Z", "0"),
    ]
    assert "tacho query --tables" in printed


def test_the_overview_is_data_too(telemetry: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`--json` without a question is the overview and nothing else."""
    (found,) = json.loads(ask(capsys, "--json", telemetry))

    assert ("RequestMetrics", 2, 0) == (found["record"], found["lines"], found["lost"])


def test_tables_shows_what_can_be_asked(
    telemetry: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`--tables` lists views with columns, types, units and meanings; as data with `--json`."""
    printed = ask(capsys, "--tables", telemetry)
    (found,) = json.loads(ask(capsys, "--tables", "--json", telemetry))

    assert printed.startswith("RequestMetrics: 2 records\n\ncolumn ")
    assert "Duration             DOUBLE     Milliseconds  Until the last byte.\n" in printed
    assert {
        "name": "Duration",
        "type": "DOUBLE",
        "unit": "Milliseconds",
        "doc": "Until the last byte.",
    } in found["columns"]


def test_the_directory_may_come_from_the_environment(
    telemetry: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """TELEMETRY_DIR, which the service reads too, is the default."""
    monkeypatch.setenv("TELEMETRY_DIR", str(telemetry))

    assert [{"n": 2}] == json.loads(ask(capsys, "SELECT count(*) n FROM RequestMetrics", "--json"))


def test_files_may_stand_after_options(telemetry: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The order of question, options and files does not matter."""
    file = telemetry / "metrics.log.2026-01-02-03-04"
    sql = "SELECT count(*) n FROM RequestMetrics"

    assert ask(capsys, sql, "--json", file) == ask(capsys, file, "--json", sql)


@pytest.mark.slow
@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_standard_input_is_read(telemetry: Path, pack: object) -> None:
    """What is piped in is asked like a file, compressed or not; other lines are counted."""
    text = LINES.encode() + b'{"level":"INFO","message":"a log line"}\n' + LINES[:20].encode()
    schema = telemetry / "metrics.schema.json"
    sql = "SELECT max(Duration) FROM RequestMetrics"
    command = [sys.executable, "-m", "tachograph", "query", sql, "--schema", str(schema)]
    for arguments in ([*command, "-"], command):
        done = subprocess.run(
            arguments,
            input=pack(text),  # type: ignore[operator]
            capture_output=True,
            check=False,
        )

        assert "tacho: skipped lines: 1 cut off at the end of a file, 1 no wide event\n" == (
            done.stderr.decode()
        )
        assert ["max(Duration) (ms)", "5001.25"] == [
            line.strip() for line in done.stdout.decode().splitlines()[::2]
        ]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["SELECT 1", "SELECT 2", "."], 2, "Expected one question, got 2"),
        (["SELECT 1", "--tables"], 2, "leave the SQL away"),
        (["SELECT 1", "--json", "--csv"], 2, "not allowed with argument"),
        (["nowhere"], 1, "nowhere does not exist"),
        (["SELECT Durtion FROM RequestMetrics", "."], 1, "Nearest: `Duration`"),
        (["DROP VIEW RequestMetrics", "."], 2, "A query is one SELECT; got `DROP`"),
        (["SELECT 1", "--schema", "missing.json", "."], 1, "Cannot read the schema missing.json"),
    ],
)
def test_mistakes_are_explained(
    telemetry: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    code: int,
    said: str,
) -> None:
    """A mistake is one message on stderr; nothing is printed on stdout."""
    monkeypatch.chdir(telemetry)

    found = main(["query", *arguments])
    captured = capsys.readouterr()

    assert (code, "") == (found, captured.out)
    assert said in captured.err


@pytest.mark.slow
def test_nothing_to_ask_is_wrong_usage(telemetry: Path) -> None:
    """No directory, no file, nothing piped in: the message says how to name one."""
    with Path(os.devnull).open() as nothing:
        done = subprocess.run(
            [sys.executable, "-m", "tachograph", "query"],
            stdin=nothing,
            capture_output=True,
            text=True,
            check=False,
        )

    assert 2 == done.returncode
    assert "Nothing to ask: name a telemetry directory with `--dir DIR`" in done.stderr


def test_many_rows_are_cut_in_a_table_only(
    telemetry: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A table stops at 200 rows and says so; `--csv` has them all."""
    sql = "SELECT range AS n FROM range(1000)"

    table = ask(capsys, sql, telemetry)
    assert "... and 800 more rows; all of them with --json or --csv" == table.splitlines()[-1]
    assert 203 == len(table.splitlines())
    assert 1001 == len(ask(capsys, sql, "--csv", telemetry).splitlines())


@pytest.mark.slow
def test_a_terminal_gets_what_fits(telemetry: Path) -> None:
    """On a terminal too narrow for the columns a row becomes a block of lines."""
    parent, child = pty.openpty()
    try:
        done = subprocess.run(
            [sys.executable, "-m", "tachograph", "query", ALL, str(telemetry)],
            stdin=subprocess.DEVNULL,
            stdout=child,
            stderr=subprocess.PIPE,
            env={**os.environ, "COLUMNS": "40"},
            check=False,
        )
        os.close(child)
        printed = os.read(parent, 4096).decode()
    finally:
        os.close(parent)

    assert (0, b"") == (done.returncode, done.stderr)
    assert "RequestId      a\r\n" in printed
    assert "Duration (ms)  5001.25\r\n" in printed
