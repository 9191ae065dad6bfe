"""The targets of the Makefile, as a new developer meets them."""

from __future__ import annotations

import os
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
    "bench-pythons",
    "soak",
    "conserve",
    "test-pythons",
    "test-peers",
    "load",
    "format",
    "clean",
]

# Without what a `make` that runs these tests tells its children.
ENVIRONMENT = {k: v for k, v in os.environ.items() if k not in {"MAKEFLAGS", "MFLAGS", "MAKELEVEL"}}


def make(repository: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run make as a developer does."""
    return subprocess.run(
        ["make", *arguments],
        cwd=repository,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize("target", TARGETS)
def test_every_target_is_there(repository: Path, target: str) -> None:
    """Make knows how to make each target."""
    done = make(repository, "--dry-run", target)

    assert (0, "") == (done.returncode, done.stderr)


@pytest.mark.parametrize(
    "target",
    [
        "bench",
        "bench-pythons",
        "soak",
        "conserve",
        "test-pythons",
        "test-peers",
        "load",
        "demo",
        "test",
    ],
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
    done = make(repository, "demo")

    assert 0 == done.returncode, done.stdout + done.stderr
    assert "p99" in done.stdout
