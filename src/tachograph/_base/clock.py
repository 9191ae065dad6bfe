"""The one place that reads time, so that a test can move it.

Everybody calls `clock.monotonic_ns()` and `clock.time_ns()` through the shared object and never
keeps the functions: `tachograph.testing.FakeClock` replaces the two attributes. Durations come from
the monotonic clock only; wall time is for stamping.
"""

from __future__ import annotations

import time
from collections.abc import Callable

__all__ = ["Clock", "clock"]


class Clock:
    """Two readings in integer nanoseconds: `monotonic_ns` for durations, `time_ns` since 1970."""

    __slots__ = ("monotonic_ns", "time_ns")

    monotonic_ns: Callable[[], int]
    time_ns: Callable[[], int]

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Read the system's clocks again."""
        self.monotonic_ns = time.monotonic_ns
        self.time_ns = time.time_ns


clock = Clock()
