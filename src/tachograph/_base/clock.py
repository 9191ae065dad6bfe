"""The one place that reads time, so that a test can move it.

Everybody calls `clock.monotonic_ns()` and `clock.time_ns()` through the shared object and never
keeps the functions: `tachograph.testing.FakeClock` replaces them, for the native core too.
Durations come from the monotonic clock only; wall time is for stamping.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from tachograph._core import native

__all__ = ["Clock", "clock"]


class Clock:
    """Two readings in integer nanoseconds: `monotonic_ns` for durations, `time_ns` since 1970."""

    __slots__ = ("monotonic_ns", "time_ns")

    monotonic_ns: Callable[[], int]
    time_ns: Callable[[], int]

    def __init__(self) -> None:
        self.reset()

    def replace(self, *, monotonic_ns: Callable[[], int], time_ns: Callable[[], int]) -> None:
        """Read *monotonic_ns* and *time_ns* instead of the system's clocks, until `reset`."""
        self.monotonic_ns = monotonic_ns
        self.time_ns = time_ns
        if native is not None:
            native.set_clock(self)

    def reset(self) -> None:
        """Read the system's clocks again."""
        self.monotonic_ns = time.monotonic_ns
        self.time_ns = time.time_ns
        if native is not None:
            native.set_clock(None)


clock = Clock()
