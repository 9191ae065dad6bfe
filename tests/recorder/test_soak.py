"""A busy loop for some seconds; `make soak` does it for a minute at a high rate."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
@pytest.mark.parametrize(("pure", "rate"), [("", "30000"), ("1", "3000")], ids=["native", "pure"])
def test_every_event_is_accounted_for(repository: Path, pure: str, rate: str) -> None:
    """Written = recorded = told by several segments; nothing dropped, memory flat, budget kept."""
    script = repository / "scripts" / "soak_recorder.py"
    done = subprocess.run(
        [sys.executable, script, "--seconds", "4", "--rate", rate, "--rotation", "1"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, "TACHO_PURE": pure},
    )

    assert 0 == done.returncode, done.stdout + done.stderr
    assert "WRONG" not in done.stdout
    segments = re.search(r"into (\d+) segments", done.stdout)
    assert segments is not None
    assert int(segments[1]) >= 2
    assert ("twin" if pure else "native") in done.stdout
