"""Pauses of the garbage collector: how long, of which generation, inside which step.

Told are collections of older generations, and any that takes 100 µs or more, on any thread.
"""

from __future__ import annotations

import gc
from typing import Any

from tachograph.recorder.core import core
from tachograph.recorder.events import EventKind, buffer
from tachograph.recorder.sources.config import SourcesConfig
from tachograph.trace.events import EVENTS

__all__ = ["Collector"]

PAUSE = EventKind.builtin(EVENTS["tacho:GcPause"])


class Collector:
    """Notes what `gc.callbacks` tells; natively where there is a native core."""

    name = "gc"

    def __init__(self) -> None:
        self._collected: Any = None
        self._dropped_before = 0

    @classmethod
    def wanted(cls, config: SourcesConfig) -> Collector | None:
        """Return it if it is on."""
        return cls() if config.gc else None

    def start(self) -> None:
        """Begin to note collections."""
        core.pauses()  # of an earlier recording
        self._dropped_before = core.pauses_dropped()
        self._collected = core.collected
        if self._collected not in gc.callbacks:  # a forked child inherits its parent's
            gc.callbacks.append(self._collected)

    def stop(self) -> None:
        """Emit what is left, and leave `gc.callbacks` as it was."""
        if self._collected in gc.callbacks:
            gc.callbacks.remove(self._collected)
        self.turn(0)

    def metadata(self) -> dict[str, str]:
        """Return how collections are set up."""
        return {"gc.thresholds": ",".join(map(str, gc.get_threshold()))}

    def counts(self) -> dict[str, Any]:
        """Return how many pauses found no room."""
        return {"gc_pauses_dropped": core.pauses_dropped() - self._dropped_before}

    def turn(self, now_ns: int) -> None:
        """Make events of the pauses since the last turn."""
        for end_ns, *values in core.pauses():
            lane, tid, task, duration, generation, collected, uncollectable = values
            told = (lane, tid, task, duration, generation, collected, uncollectable)
            buffer.add(PAUSE, told, end_ns)
