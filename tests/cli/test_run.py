"""`tacho run`: a program with the recorder on."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tachograph.trace.files import read_file

PROGRAM = """
import asyncio, sys
async def work():
    await asyncio.sleep(0)
asyncio.run(work())
print(__name__, sys.argv[1:])
sys.exit(int(sys.argv[1]))
"""


def run(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run `tacho run` in a directory."""
    return subprocess.run(
        [sys.executable, "-m", "tachograph", "run", *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """A directory with `shop.py` in it."""
    (tmp_path / "shop.py").write_text(PROGRAM)
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize("how", [["shop.py"], ["-m", "shop"]], ids=["file", "module"])
def test_a_program_runs_as_ever_and_is_recorded(program: Path, how: list[str]) -> None:
    """Its name, arguments and exit status are its own; what it did lies in a segment."""
    done = run("--dir", "traces", *how, "3", "--its-own", cwd=program)

    assert done.returncode == 3
    assert done.stdout == "__main__ ['3', '--its-own']\n"
    assert done.stderr.startswith("tacho: recorded into traces/")
    (segment,) = (program / "traces").glob("*/trace.0.bin.gz")
    assert len(read_file(segment).steps) > 0


@pytest.mark.slow
def test_what_cannot_run_is_told(program: Path) -> None:
    """A missing file, a wrong profile and no program at all are clear messages."""
    missing = run("nope.py", cwd=program)
    wrong = run("--profile", "nope", "shop.py", cwd=program)
    nothing = run("--dir", "traces", cwd=program)

    assert (1, 1, 2) == (missing.returncode, wrong.returncode, nothing.returncode)
    assert "There is no file `nope.py`. To run a module: tacho run -m nope.py" in missing.stderr
    assert "expected compact or dial9, got 'nope'" in wrong.stderr
    assert "expected a program" in nothing.stderr
