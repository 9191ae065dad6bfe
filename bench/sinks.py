"""What an emission costs its caller while the sink is in trouble, and what becomes of peers'.

    python bench/sinks.py [--rounds N] [--seconds S] [--rate R] [--peers | --no-peers] [--json]

Records of 20 fields come at a steady rate; the time of each on the calling thread is kept. States:

    healthy, again   a rolling file; twice a round, which shows the scatter
    blocked pipe     full, and nobody reads it
    slow reader      another process reads 200 KB/s, a twentieth of what comes
    full disk        each write of the file fails with ENOSPC (/dev/full for the peers)
    nothing          no record at all: what the machine itself does to the loop

Each measurement is a process of its own; states are interleaved in each round, ratios are taken
within a round, and the median over the rounds is given. The queue is full before a measurement
begins. Peers run once a state; how far one got that did not end in time is told.
"""

from __future__ import annotations

import argparse
import errno
import json
import mmap
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

STATES = ("healthy", "again", "blocked pipe", "slow reader", "full disk", "nothing")
QUANTILES = {"p50": 0.5, "p99": 0.99, "p99.9": 0.999}
WARM_UP = 20_000
READER = """
import os, sys, time
while os.read(0, 4096):
    time.sleep(0.02)
"""


def paced(record: Callable[[], Any], rate: float, seconds: float, done: mmap.mmap) -> list[int]:
    """Call *record* at *rate* for *seconds*; return the nanoseconds of each call."""
    now, step = time.perf_counter_ns, 1e9 / rate
    count = int(rate * seconds)
    times = [0] * count
    begin = now()
    for number in range(count):
        wait = begin + number * step - now()
        if wait > 0:
            time.sleep(wait / 1e9)
        start = now()
        record()
        times[number] = now() - start
        done[:8] = (number + 1).to_bytes(8, "little")
    return times


# ---------------------------------------------------------------- the child: one variant, one state


def ours(state: str, path: Path) -> tuple[Callable[[], Any], Callable[[], dict[str, int]]]:
    """Return what emits one record into a sink in *state*, and what tells of it afterwards."""
    from records import tachograph_record

    from tachograph.formats.json import FlatJson, mark_dropped
    from tachograph.metrics import Destination, attach
    from tachograph.sinks import Period, QueueSink, RollingFile, StreamTarget, Target

    class FullDisk(RollingFile):
        def write(self, block: bytes) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    target: Target
    if state in ("blocked pipe", "slow reader"):
        target = StreamTarget(os.open(path, os.O_WRONLY))
    else:
        kind = FullDisk if state == "full disk" else RollingFile
        target = kind(path.parent / "files", prefix="metrics.log", period=Period.MINUTE)
    sink = QueueSink(target, name="bench", mark_dropped=mark_dropped)
    attach([Destination(FlatJson({"service_name": "bench"}), sink)])
    for _ in range(WARM_UP):
        tachograph_record()
    if state in ("healthy", "again", "nothing"):
        sink.flush()

    def tell() -> dict[str, int]:
        found = sink.statistics()
        sink.close(0.0 if state not in ("healthy", "again") else 5.0)
        balance = found.accepted - found.written - found.dropped - found.queued
        return {"dropped": found.queue_dropped, "unaccounted": balance, "bytes": found.queued_bytes}

    return (lambda: None) if state == "nothing" else tachograph_record, tell


def peer(name: str, path: Path) -> Callable[[], Any]:
    """Return what writes the same facts to *path* with another library."""
    import logging
    import logging.handlers
    import queue

    from request import fields

    def facts() -> dict[str, Any]:
        return fields(time.monotonic_ns())

    if name.startswith("stdlib"):
        from pythonjsonlogger.json import JsonFormatter

        file = logging.FileHandler(path)
        file.setFormatter(JsonFormatter("%(asctime)s %(levelname)s %(message)s"))
        logger = logging.getLogger("peer")
        logger.propagate = False
        logger.setLevel(logging.INFO)
        handler: logging.Handler = file
        if "queue" in name:
            waiting: queue.Queue[Any] = queue.Queue(16_384 if "bounded" in name else -1)
            handler = logging.handlers.QueueHandler(waiting)
            logging.handlers.QueueListener(waiting, file).start()
        logger.addHandler(handler)
        return lambda: logger.info("Request", extra=facts())
    if name.startswith("structlog"):
        import orjson
        import structlog

        renderer = structlog.processors.JSONRenderer(serializer=orjson.dumps)
        factory = structlog.BytesLoggerFactory(file=path.open("ab"))
        structlog.configure(processors=[renderer], logger_factory=factory)
        log = structlog.get_logger()
        return lambda: log.info("Request", **facts())
    from loguru import logger as loguru

    loguru.remove()
    loguru.add(path, serialize=True, enqueue="enqueue" in name)
    return lambda: loguru.bind(**facts()).info("Request")


PEERS = (
    "stdlib FileHandler",
    "stdlib queue, unbounded",
    "stdlib queue, bounded",
    "structlog",
    "loguru",
    "loguru, enqueue=True",
)


def child(options: argparse.Namespace) -> None:
    """Measure one variant in one state; print what was found."""
    name, state = options.child
    with options.counter.open("r+b") as file:
        done = mmap.mmap(file.fileno(), 8)
    tell: Callable[[], dict[str, int]] = dict
    if name == "tachograph":
        record, tell = ours(state, options.path)
    else:
        record = peer(name, options.path)
    raised = 0

    def contained() -> None:
        nonlocal raised
        try:
            record()
        except Exception:
            raised += 1

    used = record if name == "tachograph" else contained
    times = sorted(paced(used, options.rate, options.seconds, done))
    found: dict[str, Any] = {
        q: times[min(len(times) - 1, int(len(times) * part))] for q, part in QUANTILES.items()
    }
    found |= {"max": times[-1], "over 5 ms": sum(t > 5_000_000 for t in times), "raised": raised}
    print(json.dumps(found | tell()), flush=True)
    os._exit(0)  # a peer's thread may be stuck for ever


# ---------------------------------------------------------------- the parent


def measure(name: str, state: str, *, rate: float, seconds: float) -> dict[str, Any]:
    """Return what a child found, or how far it got."""
    with tempfile.TemporaryDirectory() as scratch:
        directory = Path(scratch)
        path, counter, errors = (directory / n for n in ("file", "counter", "errors"))
        counter.write_bytes(bytes(8))
        reader: subprocess.Popen[bytes] | None = None
        ends = []
        if state in ("blocked pipe", "slow reader"):
            os.mkfifo(path)
            ends = [os.open(path, os.O_RDWR)]
            if state == "slow reader":
                command = [sys.executable, "-S", "-c", READER]
                reader = subprocess.Popen(command, stdin=ends[0])
        elif state == "full disk" and name != "tachograph":
            path = Path("/dev/full")
        command = [sys.executable, __file__, "--child", name, state, "--path", str(path)]
        command += ["--counter", str(counter), "--rate", str(rate), "--seconds", str(seconds)]
        with errors.open("wb") as stderr:
            started = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr)
            try:
                output, _ = started.communicate(timeout=seconds * 2 + 8)
            except subprocess.TimeoutExpired:
                started.kill()
                output, _ = started.communicate()
        if reader is not None:
            reader.kill()
            reader.wait()
        for end in ends:
            os.close(end)
        found: dict[str, Any] = json.loads(output) if output else {}
        reached = int.from_bytes(counter.read_bytes(), "little")
        return found | {"reached": reached, "stderr": errors.stat().st_size}


def compare(options: argparse.Namespace) -> dict[str, Any]:
    """Measure ours in all states, in turns; return medians, and ratios to `healthy`."""
    rounds = [
        {s: measure("tachograph", s, rate=options.rate, seconds=options.seconds) for s in STATES}
        for _ in range(options.rounds)
    ]
    rows = {}
    for state in STATES:
        keys = [*QUANTILES, "max", "over 5 ms", "dropped", "unaccounted"]
        row: dict[str, Any] = {
            k: statistics.median(r[state].get(k, 0) for r in rounds) for k in keys
        }
        ratios = sorted(r[state]["p99.9"] / r["healthy"]["p99.9"] for r in rounds)
        row["ratio"], row["ratios"] = statistics.median(ratios), [round(r, 2) for r in ratios]
        rows[state] = row
    return rows


def show(
    rows: dict[str, Any], steady: dict[str, dict[str, Any]], peers: dict[str, Any], rate: float
) -> None:
    """Print the tables."""
    print(f"CPython {platform.python_version()}, {os.cpu_count()} cores\n")
    print(f"{f'µs on the caller at {rate:,.0f}/s':<28}{'p50':>7}{'p99':>8}{'p99.9':>8}", end="")
    print(f"{'max':>9}{'p99.9 × healthy':>26}{'dropped':>9}")
    for state, row in rows.items():
        times = "".join(
            f"{row[q] / 1e3:>{w}.1f}"
            for q, w in zip((*QUANTILES, "max"), (7, 8, 8, 9), strict=True)
        )
        spread = f"{row['ratio']:.2f} ({row['ratios'][0]:.2f}–{row['ratios'][-1]:.2f})"
        print(f"{state:<28}{times}{spread:>26}{row['dropped']:>9.0f}")
    print("\n20,000/s for 10 s, longest call and number above 5 ms [SK-10]", end="")
    for state, row in steady.items():
        print(f"; {state}: {row['max'] / 1e6:.2f} ms, {row['over 5 ms']}", end="")
    print()
    if peers:
        print(f"\n{'peers at 3,000/s':<28}" + "".join(f"{s:>26}" for s in PEER_STATES))
    for name, found in peers.items():
        print(f"{name:<28}" + "".join(f"{_fate(found[s]):>26}" for s in PEER_STATES))


PEER_STATES = ("healthy", "blocked pipe", "slow reader", "full disk")


def _fate(found: dict[str, Any]) -> str:
    if "p99.9" not in found:
        return f"{found['reached']} of 6000 in 12 s"
    if found["raised"]:
        return f"raises {found['raised']} ×"
    text = f"p99.9 {found['p99.9'] / 1e3:,.0f} µs"
    return text + (f", {found['stderr'] / 1e6:.1f} MB err" if found["stderr"] > 100_000 else "")


def main() -> int:
    """Run and print; return 1 when a line of ours is unaccounted for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--rate", type=float, default=10_000)
    parser.add_argument("--peers", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--path", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--counter", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options)
    rows = compare(options)
    steady = {s: measure("tachograph", s, rate=20_000, seconds=10) for s in ("healthy", "nothing")}
    peers: dict[str, Any] = {}
    for name in ("tachograph", *PEERS) if options.peers else ():
        peers[name] = {s: measure(name, s, rate=3_000, seconds=2) for s in PEER_STATES}
    if options.json:
        print(json.dumps({"states": rows, "steady": steady, "peers": peers}))
    else:
        show(rows, steady, peers, options.rate)
    return 1 if any(row["unaccounted"] for row in rows.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
