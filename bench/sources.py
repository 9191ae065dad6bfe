"""What the recorder's sources cost: jobs of threads, tasks that fail, looks at the process.

    python bench/sources.py [--cycles N]

*Jobs*, *tasks*: the recorder runs; the source is switched in one process, in random order within
each cycle, and a figure is the median over the cycles of the difference of CPU time, all threads
included, with its quartiles. *Looks*: CPU time of the drain's thread for each, the median and the
95th percentile; one look at the process in ten is at its container too.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import socket
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tachograph.recorder import RecorderConfig, control
from tachograph.recorder.core import core, is_native
from tachograph.recorder.events import buffer
from tachograph.recorder.sources import SourcesConfig
from tachograph.recorder.sources.accept_queues import AcceptQueues
from tachograph.recorder.sources.hygiene import Hygiene
from tachograph.recorder.sources.process import Process

ROUNDS = 400


async def fails() -> None:
    """A task that ends badly, as its creator expects."""
    raise LookupError


async def round_trips(pool: ThreadPoolExecutor) -> None:
    """One job after the other."""
    loop = asyncio.get_running_loop()
    for _ in range(ROUNDS):
        await loop.run_in_executor(pool, int)


async def failures() -> None:
    """One task after the other, each raises."""
    for _ in range(ROUNDS):
        try:
            await asyncio.create_task(fails())
        except LookupError:
            continue


async def compare(
    what: str, work: Callable[[], Any], switch: Callable[[bool], None], cycles: int
) -> None:
    """Print the cost of one unit of *work* without what *switch* switches, and what that adds."""
    off: list[float] = []
    added: list[float] = []
    for cycle in range(cycles + 3):
        spent = {}
        for on in random.sample([True, False], 2):
            switch(on)
            began = time.process_time_ns()
            await work()
            spent[on] = (time.process_time_ns() - began) / ROUNDS / 1e3
        if cycle >= 3:
            off.append(spent[False])
            added.append(spent[True] - spent[False])
    low, _, high = statistics.quantiles(added, n=4)
    print(
        f"{what:28} {statistics.median(off):7.1f} µs, "
        f"{statistics.median(added):+6.2f} µs with it ({low:+.2f} to {high:+.2f})"
    )


async def jobs_and_tasks(cycles: int) -> None:
    """Print what is added to a job of a thread and to a task that fails."""
    with ThreadPoolExecutor(1) as pool:
        await round_trips(pool)
        await compare("a job of a thread", lambda: round_trips(pool), core.jobs, cycles)
    source = Hygiene()
    source.start()
    note = source._note_end

    def switch(on: bool) -> None:
        core.note_ends(note if on else None)
        source.turn(time.monotonic_ns() + 10**9)

    await compare("a task that fails", failures, switch, cycles)
    source.stop()


def turns(what: str, source: Any, count: int = 300) -> None:
    """Print how long a source's turn takes."""
    spent = []
    source.start()
    for turn in range(count):
        began = time.thread_time_ns()
        source.turn((turn + 1) * 10**8)
        spent.append((time.thread_time_ns() - began) / 1e3)
        buffer.clear()
        buffer.is_open = True
    source.stop()
    dear = statistics.quantiles(spent, n=20)[-1]
    print(f"{what:28} {statistics.median(spent):7.1f} µs, {dear:6.1f} µs one in twenty")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cycles", type=int, default=60)
    cycles = parser.parse_args().cycles
    print(f"{'native core' if is_native else 'twin in Python'}")
    with tempfile.TemporaryDirectory() as directory:
        sources = SourcesConfig(cpu_profile=False, blocked_profile=False, watchdog=False)
        config = RecorderConfig(directory=Path(directory), sources=sources)
        with control.start(config):
            asyncio.run(jobs_and_tasks(cycles))
    buffer.is_open = True
    turns("a look at the process", Process(100))
    with socket.create_server(("127.0.0.1", 0)):
        turns("a look at accept queues", AcceptQueues(100))


if __name__ == "__main__":
    main()
