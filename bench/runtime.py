"""What the runtime bridge costs the loop that it watches, and a sample what it costs a record.

    python bench/runtime.py [--rounds N]

Two loads on a plain loop and on a watched one, in turns in each round: iterations that do nothing
but go round, and an echo over loopback with client and server on the same loop. A watched loop has
its selector wrapped and its heartbeat; the bridge's thread runs too. CPU time of the process;
ratios are taken within a round, medians over the rounds.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import statistics
import threading
import time
from collections.abc import Awaitable, Callable

import tachograph as tg
from tachograph.formats.json import FlatJson
from tachograph.metrics import Destination, attach, detach
from tachograph.metrics.runtime import RuntimeBridge

ITERATIONS = 20_000
MESSAGES = 4_000
RECORDS = 20_000


class Plain(tg.WideEvent):
    path: str
    status: int = 0
    duration = tg.timer()


class Telling(tg.WideEvent):
    path: str
    status: int = 0
    duration = tg.timer()
    loop = tg.latest(tg.RuntimeMetrics, "loop_lag_max_ms", "busy_ratio")


class Nowhere:
    def write(self, line: bytes) -> None:
        return None


async def turns() -> int:
    """Go round the loop."""
    for _ in range(ITERATIONS):
        await asyncio.sleep(0)
    return ITERATIONS


async def echo() -> int:
    """Send small messages there and back, one at a time."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(64):
            writer.write(data)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        for _ in range(MESSAGES):
            writer.write(b"hello")
            await reader.read(64)
        writer.close()
        await writer.wait_closed()
    return MESSAGES


def loop_us(load: Callable[[], Awaitable[int]], watched: bool) -> float:
    """Return the microseconds that one turn or message takes."""

    async def main() -> float:
        bridge = RuntimeBridge(tg.RuntimeConfig()) if watched else None
        if bridge is not None:
            bridge.watch()
            await asyncio.sleep(0)
        # Every service has a timer (keep-alive, time-outs), which makes asyncio's own iteration
        # dearer by about as much as the rest of the bridge; a loop without any is no example.
        asyncio.get_running_loop().call_later(3_600, int)
        begun = time.process_time()
        count = await load()
        spent = time.process_time() - begun
        if bridge is not None:
            bridge.close()
        return spent / count * 1e6

    return asyncio.run(main())


def record_us(cls: type[Plain | Telling]) -> float:
    """Return the microseconds of one record's life, with a sample at hand."""
    begun = time.process_time()
    for _ in range(RECORDS):
        with cls(path="/items"):
            pass
    return (time.process_time() - begun) / RECORDS * 1e6


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    rounds: int = parser.parse_args().rounds
    attach([Destination(FlatJson(), Nowhere())])  # type: ignore[arg-type]
    loads: dict[str, tuple[Callable[[], float], Callable[[], float]]] = {
        "a turn of the loop": (lambda: loop_us(turns, False), lambda: loop_us(turns, True)),
        "an echoed message": (lambda: loop_us(echo, False), lambda: loop_us(echo, True)),
        "a record of 3 fields, 2 more": (lambda: record_us(Plain), lambda: record_us(Telling)),
    }
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in loads}
    # A service has the threads of its sinks: a process with one thread is cheaper for both.
    ended = threading.Event()
    threading.Thread(target=ended.wait, daemon=True).start()
    board = tg.RuntimeMetrics.__latest__
    for number in range(rounds):
        for name, (without, with_) in loads.items():
            board.put({"loop_lag_max_ms": 1.5, "busy_ratio": 0.25}, threading.get_ident())
            if number % 2:
                other, first = with_(), without()
            else:
                first, other = without(), with_()
            found[name].append((first, other))
    ended.set()
    detach()
    print(f"CPython {platform.python_version()}, {os.cpu_count()} cores, {rounds} rounds")
    print(f"{'':30} {'without':>10} {'with':>10} {'with ÷ without':>16}")
    for name, pairs in found.items():
        without_us = statistics.median(a for a, _ in pairs)
        with_us = statistics.median(b for _, b in pairs)
        ratio = statistics.median(b / a for a, b in pairs)
        print(f"{name:30} {without_us:7.2f} µs {with_us:7.2f} µs {ratio:16.3f}")


if __name__ == "__main__":
    main()
