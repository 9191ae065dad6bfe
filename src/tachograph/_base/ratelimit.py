"""Saying things once: a part of telemetry that fails all the time must not fill the log.

Warnings go through the stdlib logger `tachograph`, so they land wherever the application's logs go.
"""

from __future__ import annotations

import logging

from tachograph._base.clock import clock
from tachograph._base.forks import ForkLock

__all__ = ["RateLimit", "once", "reset_once", "warn_once"]

_seen: set[str] = set()
_lock = ForkLock()


def once(key: str) -> bool:
    """Return True the first time *key* is asked for in this process, then False."""
    if key in _seen:
        return False
    with _lock:
        if key in _seen:
            return False
        _seen.add(key)
        return True


def reset_once() -> None:
    """Forget every key, so that each is said again; for tests."""
    with _lock:
        _seen.clear()


def warn_once(key: str, message: str) -> None:
    """Log *message* as a warning of the logger `tachograph` the first time *key* is used."""
    if once(key):
        logging.getLogger("tachograph").warning("%s", message)


class RateLimit:
    """Allow something at most once per interval; thread-safe by being harmless when it races.

    Args:
        interval_s: Seconds that must pass between two `allow()` that return True.
    """

    __slots__ = ("_interval_ns", "_next_ns")

    def __init__(self, interval_s: float) -> None:
        self._interval_ns = int(interval_s * 1e9)
        self._next_ns: int | None = None

    def allow(self) -> bool:
        """Return True if the interval has passed since the last time it did."""
        now = clock.monotonic_ns()
        if self._next_ns is not None and now < self._next_ns:
            return False
        self._next_ns = now + self._interval_ns
        return True
