"""Record a busy loop at a high rate, and account for every event and every byte.

    make soak [SECONDS=1200]
    python scripts/soak_recorder.py [--seconds N] [--rate STEPS] [--stall SECONDS]

One loop makes RATE steps a second (0: as many as it can), spans and events of its own among them,
and begins tasks all the time. 1 is returned unless all of this holds: no event found a ring or a
buffer full, none could not be written; what the segments tell is what was recorded; the process
grew by little once it was warm; the directory never held more than its budget and one segment that
is being compressed.

With `--stall` no write to a segment returns for so long, after a third of the time. With that, or
as many steps as it can, events may find a ring full: each is counted, what was written and what was
dropped are all that happened, and the loop goes on while the disk stands still.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tachograph import recorder
from tachograph.recorder.segments import Segments
from tachograph.trace.decode import Decoder
from tachograph.trace.files import read_bytes

TASKS = 100
TURNS = 200  # of one generation of tasks
WARM = 0.25  # of the time, before the process's size is taken
GROWTH_BYTES = 8 * 2**20
"""What the process may grow by once it is warm: garbage, the batch that is being written."""

MIB = 2**20


@recorder.event
def generation(number: int, steps: int) -> None:
    """A generation of tasks begins."""


@dataclass(slots=True)
class Load:
    """What the loop did."""

    seconds: float
    rate: int
    steps: int = 0
    generations: int = 0
    waited_s: float = 0.0

    async def run(self) -> None:
        """Make steps until the time is over."""
        began = time.monotonic()
        while time.monotonic() < began + self.seconds:
            generation(self.generations, self.steps)
            with recorder.span("generation", number=self.generations):
                await asyncio.gather(*(self._task() for _ in range(TASKS)))
            self.generations += 1
            ahead_s = self.steps / self.rate - (time.monotonic() - began) if self.rate else 0
            if ahead_s > 0.001:
                await asyncio.sleep(ahead_s)
                self.waited_s += ahead_s

    async def _task(self) -> None:
        for _ in range(TURNS):
            await asyncio.sleep(0)
        self.steps += TURNS + 1


@dataclass(slots=True)
class Stall:
    """A disk that stands still for a while: a write to a segment does not return before its end."""

    after_s: float
    seconds: float
    load: Load
    steps: int = 0
    """What the loop did meanwhile."""
    held: int = 0
    """How many writes had to wait."""
    _open: threading.Event = field(default_factory=threading.Event)
    _stop: threading.Event = field(default_factory=threading.Event)

    def begin(self) -> threading.Thread:
        """Stand between segments and their files; return the thread that lets the disk stall."""
        self._open.set()
        stock = Segments._write  # noqa: SLF001 -- where a slow disk would hold it

        def write(segments: Segments, data: bytes) -> None:
            self.held += not self._open.is_set()
            self._open.wait()
            stock(segments, data)

        Segments._write = write  # type: ignore[assignment, method-assign]  # noqa: SLF001
        thread = threading.Thread(target=self._run)
        thread.start()
        return thread

    def _run(self) -> None:
        if self._stop.wait(self.after_s):
            return
        self._open.clear()
        before = self.load.steps
        self._stop.wait(self.seconds)
        self.steps = self.load.steps - before
        self._open.set()

    def end(self) -> None:
        """Let it write."""
        self._stop.set()


@dataclass(slots=True)
class Probe:
    """What was seen of the process and of its directory."""

    directory: Path
    sizes: list[int] = field(default_factory=list)
    most_on_disk: int = 0
    stop: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        """Look ten times a second until told to stop."""
        while not self.stop.wait(0.1):
            self.sizes.append(resident_bytes())
            self.most_on_disk = max(self.most_on_disk, bytes_on_disk(self.directory))

    @property
    def growth(self) -> int:
        """How much the process grew after it was warm: the largest size less the warm one."""
        warm = int(len(self.sizes) * WARM)
        return max(self.sizes[warm:]) - max(self.sizes[: warm + 1])


def resident_bytes() -> int:
    """Return the memory of this process that is in use, without the files it has mapped."""
    with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123 -- a plain read, often
        _, resident, shared, *_ = map(int, file.read().split())
    return (resident - shared) * os.sysconf("SC_PAGE_SIZE")


def bytes_on_disk(directory: Path) -> int:
    """Return the size of all segments."""
    total = 0
    for path in directory.glob("trace.*"):
        try:
            total += path.stat().st_size
        except FileNotFoundError:  # evicted or compressed meanwhile
            continue
    return total


def told(directory: Path) -> int:
    """Return how many events of rings the segments tell."""
    events = (e for path in directory.glob("trace.*") for e in Decoder().read(read_bytes(path)))
    blocks = ("tacho:Steps", "tacho:Parks", "tacho:Spawns", "tacho:Checkpoints")
    return sum(event["count"] for event in events if event.name in blocks)


def main() -> int:
    """Run the soak; return 1 when something does not add up."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seconds", type=float, default=float(os.environ.get("SECONDS", "1200")))
    parser.add_argument("--rate", type=int, default=150_000, help="steps a second; 0: no limit")
    parser.add_argument("--stall", type=float, default=0.0, metavar="SECONDS", help="of the disk")
    parser.add_argument("--budget", type=int, default=256, metavar="MIB", help="of all segments")
    parser.add_argument("--rotation", type=int, default=5, help="seconds of a segment")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as parent:
        config = recorder.RecorderConfig(
            directory=Path(parent),
            service="soak",
            rotation_s=options.rotation,
            max_total_bytes=options.budget * MIB,
        )
        it = recorder.start(config)
        assert it.directory is not None
        probe, load = Probe(it.directory), Load(options.seconds, options.rate)
        stall = Stall(options.seconds / 3, options.stall, load)
        threads = [threading.Thread(target=probe.run)]
        threads[0].start()
        if options.stall:
            threads.append(stall.begin())
        began = time.monotonic()
        asyncio.run(load.run())
        elapsed = time.monotonic() - began
        probe.stop.set()
        stall.end()
        for thread in threads:
            thread.join()
        in_time = it.close(60)
        found = it.statistics()
        on_file = told(probe.directory) if not found["segments_evicted"] else None
    name = "native core" if found["native"] else "twin in Python"
    print(
        f"{load.steps:,} steps in {elapsed:.1f} s, {load.steps / elapsed:,.0f} a second ({name});"
    )
    print(f"the loop waited {load.waited_s / elapsed:.0%} of the time")
    print(
        f"{found['events_recorded']:,} events recorded, {found['events_written']:,} written into "
        f"{found['segments_sealed']} segments, {found['events_dropped']:,} dropped; "
        f"{found['bytes_written'] / max(1, found['events_written']):.1f} bytes an event, "
        f"compressed to {found['compressed_bytes'] / max(1, found['uncompressed_bytes']):.0%}"
    )
    print(f"process grew by {probe.growth / MIB:.1f} MiB once warm", end="; ")
    print(f"at most {probe.most_on_disk / MIB:.0f} of {options.budget} MiB on disk")
    if options.stall:
        print(
            f"the disk stood still for {options.stall:g} s and held {stall.held} writes; "
            f"the loop made {stall.steps / options.stall:,.0f} steps a second meanwhile"
        )
    may_drop = bool(options.stall) or not options.rate
    wrong = problems(found, probe, load, on_file, options.budget * MIB, may_drop=may_drop)
    if options.stall and not (stall.held and stall.steps and found["events_dropped"]):
        wrong.append("the stall held no write, held the loop, or was too short to fill a ring")
    for problem in wrong:
        print(f"WRONG: {problem}")
    return 1 if wrong or not in_time else 0


def problems(
    found: dict[str, Any],
    probe: Probe,
    load: Load,
    on_file: int | None,
    budget: int,
    *,
    may_drop: bool,
) -> list[str]:
    """Return what does not add up."""
    nothing = (
        "events_dropped", "events_lost", "own_events_dropped", "own_events_lost", "batches_lost",
        "failures", "io_errors", "hook_errors", "failed", "left", "names_unwritten",
    )  # fmt: skip
    full = ("events_dropped", "own_events_dropped") if may_drop else ()
    checks = {f"{name}: {found[name]}": not found[name] for name in nothing if name not in full}
    checks |= {
        "written ≠ recorded": found["events_written"] == found["events_recorded"],
        # The recorder's own sources tell of things, too.
        "fewer own events than told": found["own_events_written"] + found["own_events_dropped"]
        >= 2 * load.generations,
        "fewer events than steps": found["events_written"] + found["events_dropped"] >= load.steps,
        "told in segments ≠ written": on_file in (None, found["events_written"]),
        f"process grew: {probe.growth:,}": probe.growth <= GROWTH_BYTES,
        "directory over its budget": probe.most_on_disk <= budget * 5 // 4,
    }
    return [what for what, right in checks.items() if not right]


if __name__ == "__main__":
    sys.exit(main())
