"""The service's template: clean for every name and description that can be asked for."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tachograph.scaffold import Project, render_service
from tachograph.scaffold.names import MAX_LENGTH

LONG_NAME = "service-" + "x" * (MAX_LENGTH - 8)
DESCRIPTIONS = {
    "plain": "Who ordered what, and when.",
    "quotes": 'Says "hi", """three times""", and ends with one"',
    "backslashes": "Keeps C:\\new and \\x, ends with \\",
    "braces": "Fills {{ templates }} and {% blocks %} for you.",
    "long": "It goes on and on " * 12 + "and ends.",
}


def rendered(directory: Path, name: str, description: str) -> Path:
    """Return the directory of a service made with these answers."""
    render_service(Project(name, description), directory / name)
    return directory / name


@pytest.mark.slow
@pytest.mark.parametrize("description", DESCRIPTIONS.values(), ids=list(DESCRIPTIONS))
@pytest.mark.parametrize("name", ["a", "orders", LONG_NAME], ids=["short", "usual", "long"])
def test_every_answer_gives_clean_sources(tmp_path: Path, name: str, description: str) -> None:
    """Formatted and lint-clean, whatever the length of names and the characters of texts."""
    service = rendered(tmp_path, name, description)
    codes = [
        subprocess.run(
            [sys.executable, "-m", "ruff", *command, "--no-cache", "--quiet", "."],
            cwd=service,
            check=False,
        ).returncode
        for command in (["format", "--check"], ["check"])
    ]

    assert [0, 0] == codes


@pytest.mark.slow
@pytest.mark.parametrize("description", DESCRIPTIONS.values(), ids=list(DESCRIPTIONS))
def test_the_description_survives(tmp_path: Path, description: str) -> None:
    """The package's docstring begins with the very text, up to line breaks."""
    service = rendered(tmp_path, "orders", description)
    source = (service / "src" / "orders" / "__init__.py").read_text()
    head = (ast.get_docstring(ast.parse(source)) or "").partition("\n\n")[0]

    assert description.split() == head.split()


@pytest.mark.slow
def test_no_placeholder_is_left(tmp_path: Path) -> None:
    """Neither in a path nor in a file stands anything of the template's own language."""
    service = rendered(tmp_path, "orders", "plain")
    files = [path for path in service.rglob("*") if path.is_file()]
    left = [
        path
        for path in files
        if re.search(r"\{\{ (package|project_name|description)|\{%|\.jinja", path.read_text())
        or "{" in str(path.relative_to(service))
        or path.suffix == ".jinja"
    ]

    assert [] == left
    assert len(files) > 20


@pytest.mark.slow
@pytest.mark.parametrize("name", ["a", LONG_NAME], ids=["short", "long"])
def test_types_and_its_own_quick_tests_pass(tmp_path: Path, name: str) -> None:
    """For the extremes of names; `scripts/test_service.py` runs all its tests for a usual one."""
    service = rendered(tmp_path, name, "plain")
    quick = ["tests/test_invariants.py", "tests/test_config.py", "tests/test_requests.py"]
    commands = (["mypy"], ["pytest", "-q", "-p", "no:cacheprovider", *quick])
    codes = [
        subprocess.run(
            [sys.executable, "-m", *command],
            cwd=service,
            env={**os.environ, "PYTHONPATH": str(service / "src")},
            check=False,
        ).returncode
        for command in commands
    ]

    assert [0, 0] == codes
