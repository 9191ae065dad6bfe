"""Sustained traffic through a forwarder, with a report of what came back and what was recorded.

    make load        [SECONDS=20] [WORKERS=32]

Makes a service with `tacho new`, starts a backing instance and a forwarder over it, and keeps
WORKERS connections busy for SECONDS. Loopback only; nothing is left running.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from services import generate, lines_of, running
from traffic import Request, Seen, drive

ROOT = Path(__file__).resolve().parent.parent
SCRATCH = ROOT / "scratch" / "load"


def main() -> int:
    """Run the load; return 1 when a request failed or a record is missing."""
    seconds = float(os.environ.get("SECONDS", "20"))
    workers = int(os.environ.get("WORKERS", "32"))
    shutil.rmtree(SCRATCH, ignore_errors=True)
    SCRATCH.mkdir(parents=True)
    project = generate("orders", SCRATCH)
    telemetry = SCRATCH / "telemetry"
    quiet = ["--log-filter", "info"]
    seen = Seen()
    with running(project, "orders", SCRATCH / "backing", quiet) as backing:
        flags = [*quiet, "--downstream-url", backing.url]
        with running(project, "orders", telemetry, flags) as forwarder:
            print(f"{workers} connections for {seconds:g} s through {forwarder.url}", flush=True)
            began = time.monotonic()
            load = drive(forwarder.url, _endless(), seen=seen, workers=workers, seconds=seconds)
            asyncio.run(load)
            elapsed = time.monotonic() - began
            forwarder.send(signal.SIGTERM)
            code = forwarder.wait()
    return _report(seen, telemetry, elapsed, code)


def _endless() -> Iterator[Request]:
    """Yield writes, hits, misses and echoes without end."""
    for n in itertools.count():
        key = f"/items/k{n % 997}"
        yield Request("PUT", key, b"v" * (n % 512))
        yield Request("GET", key)
        yield Request("GET", f"/items/absent{n % 97}")
        yield Request("POST", "/echo", b'{"message":"hello"}')


def _report(seen: Seen, telemetry: Path, elapsed: float, code: int) -> int:
    times = sorted(seen.milliseconds)
    records = [r for r in lines_of(telemetry, "metrics.log.*") if r["record"] == "RequestMetrics"]
    lost = sum(int(r.get("_dropped", 0)) for r in records)
    statuses = ", ".join(f"{n} × {status}" for status, n in sorted(seen.statuses.items()))
    print(f"{seen.answered / elapsed:,.0f} requests/s; {statuses}; {seen.failed} failed")
    for share in (0.5, 0.9, 0.99, 0.999):
        print(f"  p{share * 100:<5g}{times[min(len(times) - 1, int(len(times) * share))]:8.2f} ms")
    print(f"{len(records)} records for {seen.answered} answers, {lost} lost; exit code {code}")
    return 0 if len(records) == seen.answered and not seen.failed and code == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
