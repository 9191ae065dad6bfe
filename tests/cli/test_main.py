"""The command line itself: help, exit codes, errors."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tachograph import __version__
from tachograph.cli import main as module
from tachograph.cli import query
from tachograph.cli.main import COMMANDS, main
from tachograph.errors import CommandError


def tacho(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `python -m tachograph` with *arguments*."""
    return subprocess.run(
        [sys.executable, "-m", "tachograph", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )


def test_version_is_printed() -> None:
    """`--version` prints name and version, as a process too."""
    done = tacho("--version")

    assert (0, f"tachograph {__version__}\n", "") == (done.returncode, done.stdout, done.stderr)


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    """`--help` has a line for each command."""
    code = main(["--help"])
    printed = capsys.readouterr().out

    assert 0 == code
    assert all(f"  {name} " in printed and line in printed for name, line in COMMANDS.items())


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """`COMMAND --help` has a description, examples and the exit codes."""
    code = main([command, "--help"])
    printed = capsys.readouterr().out

    assert 0 == code
    assert f"usage: tacho {command}" in printed
    assert f"\n  tacho {command} " in printed
    assert "exit codes: 0 " in printed


def test_help_imports_no_command() -> None:
    """`--help` needs argparse, not the libraries of the commands."""
    probe = (
        "import sys; from tachograph.cli.main import main; main(['--help']); "
        "print([m for m in sys.modules if m in ('duckdb', 'copier', 'tachograph.fleet')])"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)

    assert "[]" == done.stdout.splitlines()[-1]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "usage: tacho COMMAND"),
        (
            ["quer"],
            "there are: convert, doctor, new, query, run, schema. Did you mean `tacho query`?",
        ),
        (["query", "--nope"], "unrecognized arguments: --nope"),
        (["--nope"], "unrecognized arguments: --nope"),
        (["new"], "required: NAME"),
    ],
)
def test_wrong_usage_is_two(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """What cannot be understood is said on stderr, and the exit code is 2."""
    code = main(arguments)
    captured = capsys.readouterr()

    assert (2, "") == (code, captured.out)
    assert said in captured.err


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (CommandError("Expected this. Do that."), 1, "tacho: Expected this. Do that.\n"),
        (CommandError("No.", exit_code=2), 2, "tacho: No.\n"),
        (RuntimeError("odd"), 1, "tacho: RuntimeError: odd. See where with --debug.\n"),
        (KeyboardInterrupt(), 130, ""),
    ],
)
def test_errors_become_messages(
    error: BaseException,
    code: int,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """An error of a command is one message and its exit code; no traceback."""

    def run(arguments: object) -> int:
        raise error

    monkeypatch.setattr(query, "run", run)

    assert code == main(["query"])
    assert ("", said) == capsys.readouterr()


def test_debug_shows_where(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`--debug` adds the traceback to the message."""

    def run(arguments: object) -> int:
        raise RuntimeError("odd")

    monkeypatch.setattr(query, "run", run)
    code = main(["query", "--debug"])
    said = capsys.readouterr().err

    assert 1 == code
    assert "Traceback (most recent call last)" in said
    assert "tacho: RuntimeError: odd" in said


def test_a_reader_that_left_is_no_error(tmp_path: Path) -> None:
    """`tacho query ... | head -1` ends quietly when `head` has seen enough."""
    line = '{"timestamp":"2026-01-01T00:00:00Z","record":"A","text":"' + "x" * 200 + '"}\n'
    (tmp_path / "metrics.log.2026-01-01-00-00").write_text(line * 2000)
    read, write = os.pipe()
    os.close(read)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "tachograph", "query", "FROM A", "--csv", str(tmp_path)],
            stdout=write,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    finally:
        os.close(write)

    assert (0, "") == (done.returncode, done.stderr)


def test_each_command_has_its_module() -> None:
    """A command is a module of its name with `configure`, `run` and a docstring."""
    found = {p.stem for p in Path(module.__file__).parent.glob("*.py")}

    assert set(COMMANDS) <= found
