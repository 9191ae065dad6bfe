"""The heap: a sample of what Python allocates, by bytes, each with its stack; if wanted, its end.

The native hook takes it before the allocators of Python's memory and objects; here it becomes
events. What a sample stands for is computed by `tachograph.trace.heap`.
"""

from __future__ import annotations

import secrets
import struct
from operator import itemgetter
from typing import Any

from tachograph.recorder.core import core, is_native
from tachograph.recorder.events import EventKind, buffer
from tachograph.recorder.sources.config import SourcesConfig
from tachograph.recorder.stacks import Stacks
from tachograph.trace.events import EVENTS

__all__ = ["Heap"]

ALLOCATION = EventKind.builtin(EVENTS["AllocEvent"])
FREE = EventKind.builtin(EVENTS["FreeEvent"])
OVERFLOW = EventKind.builtin(EVENTS["MemoryProfileOverflowEvent"])

_ALLOCATION = struct.Struct("=QQQQII")
_FREE = struct.Struct("=QQQQQI4x")
_sequence = itemgetter(0)


class Heap:
    """The hook of allocations, as the configuration wants it.

    Args:
        config: How often, and whether frees too.
        seed: Of the sampler; a random one without.
    """

    name = "heap"

    def __init__(self, config: SourcesConfig, seed: int | None = None) -> None:
        self._config = config
        self._seed = secrets.randbits(64) if seed is None else seed
        self._stacks = Stacks()
        self._displaced = 0
        self._last: dict[str, Any] = {}

    @classmethod
    def wanted(cls, config: SourcesConfig) -> Heap | None:
        """Return it if it is on."""
        return cls(config) if config.memory_profile else None

    def start(self) -> None:
        """Begin to sample.

        Raises:
            RuntimeError: The core is not native, there is no GIL, or hooks of others leave no room.
        """
        if not is_native:
            msg = "allocations are sampled by the native core, which was not built here"
            raise RuntimeError(msg)
        config = self._config
        core.heap_start(config.memory_sample_rate_bytes, self._seed, config.memory_live_set)

    def stop(self) -> None:
        """Emit what is left, and sample no more; below another's hook ours stays, and is idle."""
        self.turn(0)
        self._last = self.counts()
        core.heap_stop()

    def metadata(self) -> dict[str, str]:
        """Return what turns samples into bytes."""
        return {
            "memory.sample_rate_bytes": str(self._config.memory_sample_rate_bytes),
            "memory.live_set": str(self._config.memory_live_set).lower(),
        }

    def counts(self) -> dict[str, Any]:
        """Return how many there were and what became of them.

        `heap_displaced` is 1 when somebody took our hook away with theirs, as `tracemalloc.stop()`
        does when it was started before the recorder: nothing is seen from then on.
        """
        return self._last or {**core.heap_counts(), "heap_displaced": self._displaced}

    def turn(self, now_ns: int) -> None:
        """Make events of what was sampled since the last turn."""
        frames, stacks, allocations, frees, lost_allocations, lost_frees = core.heap_take()
        self._stacks.learn(frames, stacks)
        found: list[tuple[int, EventKind, int, tuple[Any, ...]]] = []
        for time_ns, size, address, number, tid, stack in _ALLOCATION.iter_unpack(allocations):
            values = (tid, size, address, self._stacks.addresses(stack))
            found.append((number, ALLOCATION, time_ns, values))
        last = max((each[2] for each in found), default=now_ns)
        for time_ns, size, address, number, allocated_ns, tid in _FREE.iter_unpack(frees):
            found.append((number, FREE, time_ns, (tid, address, size, allocated_ns)))
            last = max(last, time_ns)
        # A block may be freed and its address be given away again within the clock's resolution.
        for _, kind, time_ns, values in sorted(found, key=_sequence):
            buffer.add(kind, values, time_ns)
        if lost_allocations or lost_frees:
            buffer.add(OVERFLOW, (lost_allocations, lost_frees), last)
        if not self._displaced and not core.heap_is_seen():
            self._displaced = 1
