"""The wait for the GIL, tried out: how long a thread that wants it now has to wait.

On the drain's thread, some ten times a second: it sleeps a millisecond without the GIL, so that
whoever computes has it, then takes it and looks at the clock. The wait of a loop after its selector
is in its parks, that of calls which cannot block beside the blocking ones.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from typing import Any

from tachograph.recorder.core import core
from tachograph.recorder.events import EventKind, buffer
from tachograph.recorder.sources.config import SourcesConfig
from tachograph.recorder.sources.unavailable import Unavailable
from tachograph.trace.events import EVENTS

__all__ = ["Gil"]

WAIT = EventKind.builtin(EVENTS["tacho:GilWait"])
PROBE = 1
"""The kind of a wait that was tried out."""

NO_LANE = 255
_SLEEP_NS = 1_000_000
_PAUSE_NS = 50_000_000  # between two tries: the drain looks more often when there is much to see


class Gil:
    """The probe.

    Args:
        wait: Sleeps so many ns without the GIL and returns the wait for it; None if it may not.
    """

    name = "gil"

    def __init__(self, wait: Callable[[int], int | None] | None = None) -> None:
        self._wait = wait or core.gil_wait
        self._next_ns = 0
        self._probes = 0

    @classmethod
    def wanted(cls, config: SourcesConfig) -> Gil | None:
        """Return it if it is on."""
        return cls() if config.gil else None

    def start(self) -> None:
        """Begin.

        Raises:
            Unavailable: There is no GIL.
        """
        if not getattr(sys, "_is_gil_enabled", lambda: True)():
            msg = "this Python runs without a GIL"
            raise Unavailable(msg)

    def stop(self) -> None:
        """End."""

    def metadata(self) -> dict[str, str]:
        """Return how the wait is tried out."""
        return {"gil.probe_sleep_ns": str(_SLEEP_NS)}

    def counts(self) -> dict[str, Any]:
        """Return how often it was tried out."""
        return {"gil_probes": self._probes}

    def turn(self, now_ns: int) -> None:
        """Try it out, if it is time."""
        if now_ns < self._next_ns:
            return
        self._next_ns = now_ns + _PAUSE_NS
        waited = self._wait(_SLEEP_NS)
        if waited is not None:
            self._probes += 1
            buffer.add(WAIT, (NO_LANE, threading.get_native_id(), waited, PROBE))
