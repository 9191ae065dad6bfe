"""Misspelt attributes and wrong values are found by type checkers."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

FILES = Path(__file__).parent / "typing"


def marked() -> set[tuple[str, int]]:
    """Return the lines that say `# error`."""
    return {
        (path.name, number)
        for path in FILES.glob("*.py")
        for number, line in enumerate(path.read_text().splitlines(), start=1)
        if line.endswith("# error")
    }


def run(*command: str, cwd: Path) -> str:
    """Return what a checker printed."""
    done = subprocess.run(
        [sys.executable, "-m", *command],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd=cwd,
    )
    return done.stdout


@pytest.mark.slow
def test_mypy_finds_each_mistake_and_no_other(tmp_path: Path) -> None:
    """In strict mode, exactly the marked lines [TY-5]."""
    files = [str(path) for path in sorted(FILES.glob("*.py"))]
    found = run("mypy", "--strict", "--config-file=", *files, cwd=tmp_path)
    errors = re.findall(r"(\w+\.py):(\d+): error", found)

    assert marked() == {(name, int(line)) for name, line in errors}, found


@pytest.mark.slow
def test_pyright_finds_each_mistake_and_no_other(tmp_path: Path) -> None:
    """Exactly the marked lines [TY-5]."""
    shutil.copytree(FILES, tmp_path / "typing")
    settings = {"typeCheckingMode": "standard", "pythonVersion": "3.11"}
    (tmp_path / "pyrightconfig.json").write_text(json.dumps(settings))
    found = run("pyright", "--pythonpath", sys.executable, "--outputjson", cwd=tmp_path)
    errors = json.loads(found)["generalDiagnostics"]
    lines = {(Path(e["file"]).name, e["range"]["start"]["line"] + 1) for e in errors}

    assert marked() == lines, found
