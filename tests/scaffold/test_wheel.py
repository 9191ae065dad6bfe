"""What is installed is what is in the repository: the template with its dotfiles, too."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

LEFT_BEHIND = shutil.ignore_patterns("__pycache__", "*.egg-info", ".*_cache", "*.so", ".venv")


@pytest.mark.slow
def test_the_wheel_holds_every_file(repository: Path, tmp_path: Path) -> None:
    """Every file below src/tachograph is in the wheel, in dot directories too, and nothing else."""
    project = tmp_path / "project"
    shutil.copytree(repository / "src", project / "src", ignore=LEFT_BEHIND)
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(repository / name, project)
    # Files that the template may grow; one of each kind that a pattern could miss.
    template = project / "src" / "tachograph" / "scaffold" / "service"
    for grown in (".dot", ".github/workflows/ci.yml", "a/.b/.c", "{{ package }}/x.py.jinja"):
        (template / grown).parent.mkdir(parents=True, exist_ok=True)
        (template / grown).write_text("x")
    cached = template / "tests" / "__pycache__" / "x.pyc"
    cached.parent.mkdir(parents=True, exist_ok=True)
    cached.write_bytes(b"x")

    subprocess.run(
        [
            sys.executable,
            "-m",
            "pip",
            "wheel",
            "--quiet",
            "--no-deps",
            "--wheel-dir",
            tmp_path,
            ".",
        ],
        cwd=project,
        check=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    packed = {n for n in zipfile.ZipFile(wheel).namelist() if n.startswith("tachograph/")}
    cached.unlink()
    there = {
        path.relative_to(project / "src").as_posix()
        for path in (project / "src" / "tachograph").rglob("*")
        if path.is_file() and path.suffix not in (".c", ".h", ".so", ".pyd")
    }

    # The native core comes on top where there is a compiler.
    assert there == {name for name in packed if not name.endswith((".so", ".pyd"))}
