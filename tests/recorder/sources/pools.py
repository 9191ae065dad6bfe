"""Jobs for executors, and what their times may be off by."""

from __future__ import annotations

import time
from typing import Any

MS = 1_000_000
UNIT = 16  # times are cut to 8 ns
SLACK = 10 * MS  # a busy machine, and a GIL that is somebody else's
ONLY: dict[str, Any] = {"executor": True}


def nap(seconds: float) -> float:
    """A job that takes its time."""
    time.sleep(seconds)
    return seconds


def fail() -> None:
    """A job that raises."""
    msg = "of the job"
    raise ValueError(msg)
