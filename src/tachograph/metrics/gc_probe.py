"""Garbage collections of the process: how many, how long they held everything up."""

from __future__ import annotations

import contextlib
import gc
import time
from typing import Any

__all__ = ["GcProbe"]


class GcProbe:
    """Counts collections from `install` to `remove`, by a callback of the collector."""

    def __init__(self) -> None:
        self._began_ns: int | None = None
        self._collections = [0, 0, 0]
        self._collected = self._pause_ns = self._pause_max_ns = 0
        self._totals: tuple[int, ...] = (0,) * 5

    def install(self) -> None:
        """Begin to count."""
        gc.callbacks.append(self._note)

    def remove(self) -> None:
        """End; the collector's list is as it was."""
        with contextlib.suppress(ValueError):
            gc.callbacks.remove(self._note)

    def _note(self, phase: str, info: dict[str, int]) -> None:
        # In the middle of a collection: no allocation that matters, nothing that raises.
        if phase == "start":
            self._began_ns = time.perf_counter_ns()
            return
        began_ns, self._began_ns = self._began_ns, None
        if began_ns is not None:
            pause_ns = time.perf_counter_ns() - began_ns
            self._pause_ns += pause_ns
            self._pause_max_ns = max(self._pause_max_ns, pause_ns)
        self._collections[min(info.get("generation", 2), 2)] += 1
        self._collected += info.get("collected", 0)

    def sample(self) -> dict[str, Any]:
        """Return what happened since the last call."""
        totals = (*self._collections, self._collected, self._pause_ns)
        gen0, gen1, gen2, collected, pause_ns = (
            after - before for after, before in zip(totals, self._totals, strict=True)
        )
        self._totals = totals
        most_ns, self._pause_max_ns = self._pause_max_ns, 0
        found: dict[str, Any] = {
            "gc_collections_gen0": gen0,
            "gc_collections_gen1": gen1,
            "gc_collections_gen2": gen2,
            "gc_collected": collected,
            "gc_pause_ms": round(pause_ns / 1e6, 3),
        }
        if gen0 + gen1 + gen2:
            found["gc_pause_max_ms"] = round(most_ns / 1e6, 3)
        return found
