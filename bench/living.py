"""What it costs to tell living tasks again in the head of each segment.

    python bench/living.py [TASKS]

Prints, for so many tasks that wait, how long the head and the tail of a segment take on the drain's
thread, how large the head is, and what taking note of events costs.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from tachograph import recorder

TURNS = 9


async def main(tasks: int) -> None:
    """Let tasks wait, and make the recorder begin segments meanwhile."""
    event = asyncio.Event()

    async def waits() -> None:
        await event.wait()

    waiting = [asyncio.create_task(waits()) for _ in range(tasks)]
    recording = recorder.current()
    for _ in range(4):
        await asyncio.sleep(0)
        recording.flush()
    batches, living = recording._batches, recording._batches._living
    heads, tails, notes, head = [], [], [], b""
    raw = next(iter(living.spawns().values()), b"")
    for _ in range(TURNS):
        t0 = time.perf_counter_ns()
        head = batches.head(True)
        t1 = time.perf_counter_ns()
        batches.tail(True)
        t2 = time.perf_counter_ns()
        living.add(0, raw)
        t3 = time.perf_counter_ns()
        heads.append(t1 - t0)
        tails.append(t2 - t1)
        notes.append((t3 - t2) / max(1, len(raw) // 40))
    print(f"{len(living):>8,} tasks living, head {len(head):,} bytes")
    print(f"{median(heads) / 1e6:8.2f} ms a head, {median(tails) / 1e6:.2f} ms a tail")
    print(f"{median(notes):8.1f} ns to take note of a spawn")
    event.set()
    await asyncio.gather(*waiting)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as directory:
        config = recorder.RecorderConfig(
            directory=Path(directory), ring_events=2**20, drain_interval_s=10
        )
        with recorder.start(config):
            asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000))
