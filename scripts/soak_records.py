"""Emit at the highest rate from 4 threads and 2,000 tasks, and account for every record.

    make soak [SECONDS=60]   or  python scripts/soak_records.py [--seconds N] [--max-bytes N]

The records go through the queue into a pipe, which another process reads and checks, slower than
they come, so that the queue is full all the time. 1 is returned unless all of this holds: records
written and dropped (counted) = emitted; the lines that arrived = written; what they tell in band =
dropped; each is valid JSON; each thread's and task's records are in order; the queue never held
more than its bytes, and the process grew by little more than that.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from typing import Any

import tachograph as tg
from tachograph._core import native
from tachograph.formats.json import FlatJson, mark_dropped
from tachograph.metrics import Destination, attach, detach
from tachograph.sinks import QueueSink, StreamTarget

THREADS, TASKS = 4, 2_000
GROWTH_BYTES = 24 * 2**20
"""What the process may grow by beside the queue: tasks' garbage, the block that is written."""


class Beat(tg.WideEvent):
    """One record of the soak."""

    source: int = 0
    number: int = 0
    text: str = ""
    duration = tg.timer(unit=tg.Unit.MILLISECONDS)


def emit(source: int, number: int) -> None:
    """Emit one record."""
    with Beat(source=source, number=number, text="some text of a usual length") as beat:
        beat.text = "x" * (number % 64)


def check() -> None:
    """Read lines from standard input; print what was found in them (runs as another process)."""
    last: dict[int, int] = {}
    lines = bad = disorder = dropped = 0
    for line in sys.stdin.buffer:
        lines += 1
        try:
            record = json.loads(line)
            source, number = record["source"], record["number"]
        except (ValueError, KeyError):
            bad += 1
            continue
        dropped += record.get("_dropped", 0)
        disorder += number <= last.get(source, -1)
        last[source] = number
    found = {"lines": lines, "bad": bad, "disorder": disorder, "dropped": dropped}
    print(json.dumps(found | {"sources": len(last)}))


@dataclass(slots=True)
class Probe:
    """What was seen of the memory while the soak ran."""

    sink: QueueSink
    queued_bytes: int = 0
    started_bytes: int = 0
    resident_bytes: int = 0
    times: int = 0
    stop: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        """Look every 20 ms until told to stop."""
        while not self.stop.wait(0.02):
            self.times += 1
            self.queued_bytes = max(self.queued_bytes, self.sink.statistics().queued_bytes)
            self.resident_bytes = max(self.resident_bytes, resident_bytes())


def resident_bytes() -> int:
    """Return the memory of this process that is in use."""
    with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123 -- a plain read, often
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def soak(seconds: float, first: int = 0) -> int:
    """Emit from all threads and tasks for *seconds*; return how many records.

    Each source counts its records from *first* on, so that its order shows.
    """
    end = time.monotonic() + seconds
    counts = [0] * (THREADS + TASKS)

    def thread(source: int) -> None:
        number = first
        while time.monotonic() < end:
            for _ in range(100):
                emit(source, number)
                number += 1
        counts[source] = number - first

    async def task(source: int) -> None:
        number = first
        while time.monotonic() < end:
            emit(source, number)
            number += 1
            await asyncio.sleep(0)
        counts[source] = number - first

    async def tasks() -> None:
        await asyncio.gather(*(task(THREADS + n) for n in range(TASKS)))

    threads = [threading.Thread(target=thread, args=(n,)) for n in range(THREADS)]
    for started in threads:
        started.start()
    asyncio.run(tasks())
    for started in threads:
        started.join()
    return sum(counts)


def main() -> int:
    """Run the soak; return 1 when something does not add up."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seconds", type=float, default=float(os.environ.get("SECONDS", "60")))
    parser.add_argument("--max-bytes", type=int, default=8 * 2**20)
    parser.add_argument("--check", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.check:
        check()
        return 0
    reader, writer = os.pipe()
    checker = subprocess.Popen(
        [sys.executable, __file__, "--check"], stdin=reader, stdout=subprocess.PIPE
    )
    os.close(reader)
    sink = QueueSink(
        StreamTarget(writer),
        name="soak",
        max_lines=1_000_000,
        max_bytes=options.max_bytes,
        mark_dropped=mark_dropped,
    )
    attach([Destination(FlatJson({"service_name": "soak"}), sink)])
    soak(0.2)  # so that what grows once has grown
    warm = sink.statistics().accepted
    probe = Probe(sink, started_bytes=resident_bytes())
    watching = threading.Thread(target=probe.run)
    watching.start()
    began = time.monotonic()
    emitted = soak(options.seconds, first=10**9)  # behind whatever the first round counted
    elapsed = time.monotonic() - began
    probe.stop.set()
    watching.join()
    closed = sink.close(60)
    detach()
    os.close(writer)
    output, _ = checker.communicate(timeout=60)
    found = sink.statistics()
    print(f"{emitted:,} records in {elapsed:.1f} s, {emitted / elapsed:,.0f} a second", end="")
    print(f" ({'native core' if native else 'twin in Python'})")
    print(
        f"{found.written:,} written, {found.dropped:,} dropped; {probe.times} looks at the memory:"
    )
    print(f"queue at most {probe.queued_bytes:,} of {options.max_bytes:,} bytes", end="; ")
    print(f"process grew by {(probe.resident_bytes - probe.started_bytes) / 2**20:.1f} MiB")
    wrong = problems(json.loads(output), found, probe, emitted + warm, options.max_bytes)
    for problem in wrong:
        print(f"WRONG: {problem}")
    return 1 if wrong or not closed else 0


def problems(
    arrived: dict[str, int], found: Any, probe: Probe, emitted: int, max_bytes: int
) -> list[str]:
    """Return what does not add up."""
    # Without the native core a line is counted before the oldest one goes, a moment later.
    moment = 0 if native else 64 * 1_024
    checks = {
        "accepted ≠ emitted": found.accepted == emitted,
        "written + dropped ≠ emitted": found.written + found.dropped == emitted,
        "lines that arrived ≠ written": arrived["lines"] == found.written,
        "told in band ≠ dropped": arrived["dropped"] == found.dropped,
        "lines that are no JSON": not arrived["bad"],
        "lines out of order": not arrived["disorder"],
        "lines of few sources": arrived["sources"] > THREADS,
        "queue over its bytes": probe.queued_bytes <= max_bytes + moment,
        "process grew": probe.resident_bytes - probe.started_bytes <= max_bytes + GROWTH_BYTES,
    }
    return [f"{what}: {arrived}, {found}" for what, right in checks.items() if not right]


if __name__ == "__main__":
    sys.exit(main())
