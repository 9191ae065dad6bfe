"""What sampled allocations stand for: bytes and counts, of all there were and of what is left.

The recorder samples by bytes: a block of size s is among the samples with probability
p = 1 - e^(-s/R), R being the mean number of bytes between two samples. So a sample stands for 1/p
blocks and s/p bytes. Each is weighted, then they are summed; to weight a mean size is biased.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from tachograph.trace.schema import Event

__all__ = ["SAMPLE_RATE", "Usage", "allocated", "live", "sample_rate", "weight"]

SAMPLE_RATE = 524_288
"""R where the metadata does not tell it."""

Stack = tuple[int, ...]


@dataclass(slots=True)
class Usage:
    """What a stack allocated, as far as its samples tell.

    Attributes:
        bytes: Estimated bytes.
        count: Estimated number of blocks.
        samples: How many samples that is told by.
    """

    bytes: float = 0.0
    count: float = 0.0
    samples: int = 0

    def add(self, size: int, rate: int) -> None:
        """Add a sample of *size* bytes taken at *rate*."""
        each = weight(size, rate)
        self.bytes += size * each
        self.count += each
        self.samples += 1


def weight(size: int, rate: int) -> float:
    """Return how many blocks of *size* bytes one sample of that size stands for.

    At a rate of 1 every block is a sample. A block of no bytes counts as one of 1 byte.
    """
    return 1.0 if rate <= 1 else -1.0 / math.expm1(-max(size, 1) / rate)


def sample_rate(metadata: Mapping[str, str]) -> int:
    """Return the mean number of bytes between two samples that a segment's metadata tells."""
    for key in ("memory.sample_rate_bytes", "memory_profile.sample_rate_bytes"):
        text = metadata.get(key, "")
        if text.isascii() and text.isdigit() and int(text) > 0:
            return int(text)
    return SAMPLE_RATE


def allocated(events: Iterable[Event], rate: int) -> dict[Stack, Usage]:
    """Return what each stack allocated, whether or not it has been freed."""
    found: dict[Stack, Usage] = {}
    for event in events:
        if event.name == "AllocEvent":
            _add(found, event, rate)
    return found


def live(events: Iterable[Event], rate: int) -> dict[Stack, Usage]:
    """Return what each stack allocated that is not freed by the last of the events.

    Only blocks with an address can be told: those of a recording with a live set. *events* are in
    the order of their times. A block whose free was lost looks alive until its address is given
    away again; `MemoryProfileOverflowEvent` tells how many may.
    """
    open_at: dict[int, Event] = {}
    for event in events:
        if event.name == "AllocEvent" and event["addr"]:
            open_at[event["addr"]] = event
        elif event.name == "FreeEvent":
            open_at.pop(event["addr"], None)
    found: dict[Stack, Usage] = {}
    for event in open_at.values():
        _add(found, event, rate)
    return found


def _add(found: dict[Stack, Usage], event: Event, rate: int) -> None:
    stack = tuple(event["callchain"])
    usage = found.get(stack)
    if usage is None:
        usage = found[stack] = Usage()
    usage.add(event["size"], rate)
