"""What sampling allocations costs a program that does little but allocate.

    python bench/heap.py [--blocks N]

A loop whose every iteration makes a list, a tuple, a dict, a text and a buffer and drops them, in
blocks of a thousand iterations, with the hooks there and not there in turns: a machine that is busy
with other things is so for all of them. The quickest tenth of the blocks tells what the code costs;
the median of neighbours' ratios what came of it here.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import time
from collections.abc import Callable

from tachograph.recorder.core import core, is_native

ITERATIONS = 1_000


def nothing() -> None:
    """Do nothing."""


def sampled(rate: int, live_set: bool) -> tuple[Callable[[], None], Callable[[], None]]:
    """Return what begins and ends sampling."""

    def end() -> None:
        core.heap_stop()

    return lambda: core.heap_start(rate, 5, live_set), end


VARIANTS: dict[str, tuple[Callable[[], None], Callable[[], None]]] = {
    "without": (nothing, nothing),
    "mean 512 KiB": sampled(2**19, False),
    "mean 64 KiB": sampled(2**16, False),
    "mean 512 KiB, frees": sampled(2**19, True),
    "mean 64 KiB, frees": sampled(2**16, True),
    "mean 4 KiB, frees": sampled(2**12, True),
}


def block() -> float:
    """Return the nanoseconds that one iteration takes."""
    begun = time.perf_counter_ns()
    for number in range(ITERATIONS):
        _ = [number, (number,), {number: number}, str(number), bytearray(50)]
    return (time.perf_counter_ns() - begun) / ITERATIONS


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--blocks", type=int, default=400)
    blocks: int = parser.parse_args().blocks
    if not is_native:
        parser.error("the native core is not built here")
    found: dict[str, list[float]] = {name: [] for name in VARIANTS}
    for number in range(blocks):
        for name, (begin, end) in list(VARIANTS.items())[:: 1 if number % 2 else -1]:
            begin()
            block()
            found[name].append(block())
            end()
    base = found["without"]
    least = statistics.quantiles(base, n=10)[0]
    print(f"CPython {platform.python_version()}, {blocks} blocks of {ITERATIONS} iterations")
    print(f"{'':22} {'quickest tenth':>15} {'× without':>10} {'median of pairs':>16}")
    for name, times in found.items():
        tenth = statistics.quantiles(times, n=10)[0]
        pairs = statistics.median(a / b for a, b in zip(times, base, strict=True))
        print(f"{name:22} {tenth:12.0f} ns {tenth / least:10.3f} {pairs:16.3f}")


if __name__ == "__main__":
    main()
