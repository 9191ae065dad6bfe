"""The targets of the Makefile, as a new developer meets them."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

TARGETS = [
    "demo",
    "check",
    "test",
    "sanitize",
    "fuzz",
    "bench",
    "soak",
    "conserve",
    "test-pythons",
    "load",
    "format",
    "clean",
]


@pytest.mark.parametrize("target", TARGETS)
def test_every_target_is_there(repository: Path, target: str) -> None:
    """Make knows how to make each target."""
    done = subprocess.run(
        ["make", "--dry-run", target], cwd=repository, capture_output=True, text=True, check=False
    )

    assert (0, "") == (done.returncode, done.stderr)


@pytest.mark.parametrize(
    "target", ["bench", "soak", "conserve", "test-pythons", "load", "demo", "test"]
)
def test_every_script_is_there(repository: Path, target: str) -> None:
    """Each Python script that a target runs exists."""
    makefile = (repository / "Makefile").read_text()
    recipe = makefile.split(f"\n{target}: ", 1)[1].split("\n\n", 1)[0]
    scripts = [word for word in recipe.split() if word.startswith("scripts/")]

    assert [] == [script for script in scripts if not (repository / script).is_file()]


@pytest.mark.slow
def test_demo(repository: Path) -> None:
    """`make demo` ends well within a minute and answers the question."""
    done = subprocess.run(
        ["make", "demo"], cwd=repository, capture_output=True, text=True, check=False, timeout=60
    )

    assert 0 == done.returncode, done.stdout + done.stderr
    assert "p99" in done.stdout
