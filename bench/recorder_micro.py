"""The recorder on workloads that are almost nothing but the loop, in turns with the plain loop.

Each cycle runs a workload plain and recorded, in random order, in one process. *hooks* is recording
alone: events go into a ring, which is emptied unread. *whole* is `recorder.start()` to `close()`:
the thread that drains, encoding, files and compression, until the last byte is compressed.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ratios import Estimate, estimate
from started import run_child
from workloads import WORKLOADS

from tachograph import recorder
from tachograph.recorder.core import core
from tachograph.recorder.recording import hooks

__all__ = ["PARTS", "micro"]

WARM_UP = 400
RING_EVENTS = 1 << 19
"""Room for every event of a run, which makes more than can be written: all of it is to be."""


def micro(part: str, names: list[str], cycles: int, units: int) -> dict[str, Any]:
    """Return the estimate of each workload, measured in a process of its own, and what was lost.

    Args:
        part: `hooks` or `whole`.
        names: Workloads.
        cycles: How often.
        units: How long each is.
    """
    options = {"part": part, "names": names, "cycles": cycles, "units": units}
    found = run_child("recorder_micro", options, timeout_s=120 + cycles * units * len(names) / 1e4)
    found["ratios"] = {name: Estimate(*values) for name, values in found["ratios"].items()}
    return found


def main() -> None:
    """Measure as the argument says; print JSON."""
    options = json.loads(sys.argv[1])
    recorded = PARTS[options["part"]]
    ratios: dict[str, list[float]] = {}
    recorded(WORKLOADS["empty step"], 1_000)  # what is found out once a process
    dropped = 0
    for name in options["names"]:
        for _ in range(options["cycles"]):
            work, spent = WORKLOADS[name], {}
            for on in random.sample((True, False), 2):
                if on:
                    spent[on], lost = recorded(work, options["units"])
                    dropped += lost
                else:
                    begun = time.process_time_ns()
                    asyncio.run(work(options["units"]))
                    spent[on] = time.process_time_ns() - begun
            ratios.setdefault(name, []).append(spent[True] / spent[False])
    print(json.dumps({"ratios": {k: estimate(v) for k, v in ratios.items()}, "dropped": dropped}))


def hooks_alone(work: Callable[[int], Any], units: int) -> tuple[int, int]:
    """Return the CPU time with the hooks on, and how many events were dropped."""
    core.rings("", RING_EVENTS)
    hooks().install()
    core.enable(True)
    begun = time.process_time_ns()
    asyncio.run(work(units))
    spent = time.process_time_ns() - begun
    core.enable(False)
    hooks().uninstall()
    for lane in core.lanes():
        lane.release(len(lane.read(RING_EVENTS)) // core.EVENT_BYTES)
    return spent, 0


def whole(work: Callable[[int], Any], units: int) -> tuple[int, int]:
    """Return the CPU time of all threads until everything is on file, and how much was dropped."""
    with tempfile.TemporaryDirectory() as directory:
        config = recorder.RecorderConfig(directory=Path(directory), ring_events=RING_EVENTS)
        recording = recorder.start(config)
        asyncio.run(work(WARM_UP))  # makes the ring
        begun = time.process_time_ns()
        asyncio.run(work(units))
        assert recording.close(60)
        spent = time.process_time_ns() - begun
        hooks().uninstall()
        counts = recording.statistics()
        assert counts["events_written"] == counts["events_recorded"], counts
        return spent, int(counts["events_dropped"])


PARTS = {"hooks": hooks_alone, "whole": whole}
