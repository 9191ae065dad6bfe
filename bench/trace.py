"""What a step costs in the compact profile: bytes, and time to write and to read.

The load is synthetic (tests/trace/service_load.py): ten steps and two spawns a request, steps of 5
to 200 µs, parks when the loop is idle. Everything is counted: blocks, schemas, pools.
"""

from __future__ import annotations

import argparse
import gc
import statistics
import sys
import time
import zlib
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.trace.service_load import service_load, write_load

from tachograph.trace import Decoder, assemble
from tachograph.trace.dial9 import Conversion


def timed(work: Callable[[], object], rounds: int) -> float:
    """Return the median of *rounds* times in seconds."""
    times = []
    for _ in range(rounds):
        gc.collect()
        begin = time.perf_counter()
        work()
        times.append(time.perf_counter() - begin)
    return statistics.median(times)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    print("busy  unit ns  steps a batch  bytes a step  after gzip 1")
    for busy in (0.2, 0.6, 0.95):
        load = service_load(arguments.requests, utilisation=busy)
        steps = len(load.steps)
        for shift, rows in ((0, 8000), (5, 100), (5, 1000), (5, 8000), (7, 8000)):
            data = write_load(load, shift=shift, rows=rows)
            small = len(zlib.compress(data, 1))
            print(
                f"{busy:4.0%}  {1 << shift:7}  {rows:13}  "
                f"{len(data) / steps:12.2f}  {small / steps:12.2f}"
            )
    load = service_load(arguments.requests)
    steps = len(load.steps)
    data = write_load(load, shift=5, rows=8000)
    trace = assemble(Decoder().read(data))
    dial9 = b"".join(Conversion(trace).batches())
    small = len(zlib.compress(dial9, 1))
    print(f"dial9 profile: {len(dial9) / steps:.2f} bytes a step, {small / steps:.2f} after gzip 1")
    for what, work in (
        ("write compact", lambda: write_load(load, shift=5, rows=8000)),
        ("decode compact to events", lambda: Decoder().read(data)),
        ("decode compact to the model", lambda: assemble(Decoder().read(data))),
        ("convert to dial9", lambda: list(Conversion(trace).batches())),
        ("decode dial9 to the model", lambda: assemble(Decoder().read(dial9))),
    ):
        print(f"{what}: {timed(work, arguments.rounds) / steps * 1e6:.2f} µs a step")


if __name__ == "__main__":
    main()
