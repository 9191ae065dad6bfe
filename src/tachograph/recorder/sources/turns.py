"""When a source that looks at something at an interval has its turn."""

from __future__ import annotations

__all__ = ["next_due"]

_EARLY_NS = 50_000_000  # half of what lies between two turns of a drain at rest


def next_due(now_ns: int, interval_ns: int) -> int:
    """Return from when on a turn is the next one of a source that has one every *interval_ns*.

    A turn comes when the drain looks, so one that comes a little before the time is in time.
    """
    return now_ns + interval_ns - min(interval_ns // 4, _EARLY_NS)
