"""The highest rate for some seconds; `make soak` does it for a minute."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
@pytest.mark.skipif(
    "TACHOGRAPH_SANITIZED" in os.environ, reason="the sanitizers keep what was freed in memory"
)
@pytest.mark.parametrize("pure", ["", "1"], ids=["native", "pure"])
def test_everything_is_accounted_for_at_the_highest_rate(repository: Path, pure: str) -> None:
    """4 threads, 2,000 tasks: written + dropped = emitted, memory bounded, order kept [SK-6]."""
    script = repository / "scripts" / "soak_records.py"
    done = subprocess.run(
        [sys.executable, script, "--seconds", "3"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "TACHO_PURE": pure},
    )

    assert 0 == done.returncode, done.stdout + done.stderr
    assert "WRONG" not in done.stdout
    assert ("twin" if pure else "written") in done.stdout
