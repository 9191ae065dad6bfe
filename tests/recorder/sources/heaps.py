"""What tests of the heap read, and programs that allocate."""

from __future__ import annotations

import sys
from collections import Counter

from tachograph.recorder.events import EventBuffer
from tachograph.recorder.sources.heap import Heap
from tachograph.recorder.symbols import symbols
from tachograph.trace.heap import Usage
from tachograph.trace.schema import Event, Pools

_POOLS = Pools()  # one for all: what a test allocates is sampled too


def take(source: Heap, waiting: EventBuffer) -> list[Event]:
    """Return what was sampled, as a reader of the trace has it."""
    source.turn(0)
    found = []
    for kind, time_ns, values in waiting.take(10**6):
        assert kind.schema is not None
        found.append(Event(kind.schema, time_ns, values, _POOLS))
    return found


def functions(stack: tuple[int, ...]) -> list[str]:
    """Return the names of a stack's functions, innermost first."""
    found = [symbols.of(address) for address in stack]
    return [symbol.name.rpartition("::")[2] for symbol in found if symbol is not None]


def by_function(usages: dict[tuple[int, ...], Usage]) -> Counter[str]:
    """Return bytes by the innermost function that stands in this file."""
    found: Counter[str] = Counter()
    for stack, usage in usages.items():
        names = functions(stack)
        found[names[0] if names else ""] += round(usage.bytes)
    return found


def f(kept: list[bytearray], count: int) -> None:
    """Keep blocks of `BLOCK` bytes."""
    for _ in range(count):
        kept.append(bytearray(7_000))


def g(kept: list[bytearray], count: int) -> None:
    """Keep blocks of 301 bytes."""
    for _ in range(count):
        kept.append(bytearray(300))


HEAD = bytearray().__sizeof__()
# What a bytearray of 7,000 keeps its bytes in: since Python 3.15 that is an object of bytes.
BLOCK = 7_000 + (sys.getsizeof(b"") if sys.version_info >= (3, 15) else 1)
