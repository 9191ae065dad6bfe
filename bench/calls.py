"""What the recorder's sources cost: each switched in turns in one process, hooks on.

    python bench/calls.py [--cycles N] [--units N]

A figure is the median over the cycles of CPU time with the source to CPU time without, after a
plain loop's turn with neither, so that caches are warm.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import random
import statistics
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from recorder import echo, pingpong, sleep0, spawn

from tachograph.recorder.core import core
from tachograph.recorder.facts import find_facts
from tachograph.recorder.hooks import Hooks
from tachograph.recorder.names import Names
from tachograph.recorder.sources import SourcesConfig
from tachograph.recorder.sources.calls import Calls
from tachograph.recorder.sources.collector import Collector
from tachograph.recorder.sources.gil import Gil

SOURCES: dict[str, Callable[[], Any]] = {
    "calls": lambda: Calls(SourcesConfig()),
    "gc": Collector,
}


async def locks(units: int) -> None:
    """Take a free lock ten times a step."""
    lock = threading.Lock()
    for _ in range(units // 10):
        await asyncio.sleep(0)
        for _ in range(10):
            with lock:
                pass


async def files(units: int) -> None:
    """Ask for a file ten times a step."""
    for _ in range(units // 50):
        await asyncio.sleep(0)
        for _ in range(10):
            os.stat("/")  # noqa: PTH116


async def cycles(units: int) -> None:
    """Make garbage that only the collector finds."""
    for number in range(units):
        one: list[object] = []
        one.append(one)
        if number % 20 == 0:
            await asyncio.sleep(0)


WORK = (sleep0, spawn, pingpong, echo, locks, files, cycles)


def spent(
    work: Callable[[int], Awaitable[None]], units: int, make: Callable[[], Any] | None
) -> int:
    """Return the CPU time of a workload, in which the source is on if there is one."""
    source = make() if make is not None else None
    if source is not None:
        source.start()
    begun = time.process_time_ns()
    asyncio.run(work(units))  # type: ignore[arg-type]
    found = time.process_time_ns() - begun
    if source is not None:
        source.stop()
    for lane in core.lanes():
        lane.release(len(lane.read(1 << 20)) // core.EVENT_BYTES)
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--cycles", type=int, default=15)
    parser.add_argument("--units", type=int, default=20_000)
    options = parser.parse_args()
    names = Names()
    hooks = Hooks(find_facts(names.note, (str(Path(asyncio.__file__).parent),)))
    core.rings("", 1 << 20)
    hooks.install()
    core.enable(True)
    print(f"CPython {platform.python_version()}, {os.cpu_count()} cores")
    print("CPU with the source ÷ without, hooks on")
    for work in WORK:
        figures = []
        for name, make in SOURCES.items():
            ratios = []
            for _ in range(options.cycles):
                both = {
                    on: spent(work, options.units, make if on else None)
                    for on in random.sample((True, False), 2)
                }
                ratios.append(both[True] / both[False])
            figures.append(f"{name} {statistics.median(ratios):.3f}")
        print(f"  {work.__name__:<10} {'  '.join(figures)}")
    gil, begun = Gil(), time.thread_time_ns()
    probing = threading.Thread(target=lambda: [gil.turn(n * 10**9) for n in range(1, 301)])
    before = time.process_time_ns()
    probing.start()
    probing.join()
    each = (time.process_time_ns() - before - (time.thread_time_ns() - begun)) / 300
    print(f"a try of the GIL: {each / 1e3:.0f} µs CPU, ten a second")


if __name__ == "__main__":
    main()
