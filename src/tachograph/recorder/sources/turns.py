"""When a source that looks at something now and then has to do so."""

from __future__ import annotations

import sys

__all__ = ["Imports", "next_due"]

_EARLY_NS = 50_000_000  # half of what lies between two turns of a drain at rest


def next_due(now_ns: int, interval_ns: int) -> int:
    """Return from when on a turn is the next one of a source that has one every *interval_ns*.

    A turn comes when the drain looks, so one that comes a little before the time is in time.
    """
    return now_ns + interval_ns - min(interval_ns // 4, _EARLY_NS)


class Imports:
    """Tells whether modules have come or gone: ten looks a second at the same ones are too many."""

    def __init__(self) -> None:
        self._count = 0

    def changed(self) -> bool:
        """Return whether there are more or fewer than the last time."""
        before, self._count = self._count, len(sys.modules)
        return before != self._count
