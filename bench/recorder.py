"""What the flight recorder costs: against the plain loop, by ratios.

    python bench/recorder.py [--cycles N] [--pairs N] [--requests N] [--loop asyncio|uvloop]

*Micro*: the hooks are switched in one process, in random order within each cycle; the figure is the
median over the cycles of CPU time with them to CPU time without. *Service*: pairs of processes that
serve HTTP, one with the whole recorder (hooks, drain, encoding, files, compression), one without;
the figure is the median over the pairs of CPU time a request, all threads included, with its range.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import random
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from tachograph.recorder.core import core, is_native
from tachograph.recorder.facts import find_facts
from tachograph.recorder.hooks import Hooks
from tachograph.recorder.names import Names

CLIENTS = 32
TICKS = os.sysconf("SC_CLK_TCK")

SERVER = """
import asyncio, json, sys
from pathlib import Path
import uvicorn
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

async def part(number):
    await asyncio.sleep(0)
    return number

async def home(request):
    first, second = await asyncio.gather(part(1), part(2))
    return JSONResponse({"first": first, "second": second})

recording = None
if sys.argv[2]:
    from tachograph import recorder
    config = recorder.RecorderConfig(directory=Path(sys.argv[2]), rotation_s=3)
    recording = recorder.start(config)

async def main():
    app = Starlette(routes=[Route("/", home)])
    server = uvicorn.Server(uvicorn.Config(app, fd=int(sys.argv[1]), http="httptools",
        log_config=None, access_log=False, lifespan="off"))
    serving = asyncio.create_task(server.serve())
    await asyncio.to_thread(sys.stdin.read)
    server.should_exit = True
    await serving

if sys.argv[3] == "uvloop":
    import uvloop
    uvloop.run(main())
else:
    asyncio.run(main())
counts = recording.statistics() if recording else {}
if recording:
    recording.close(30)
print(json.dumps(counts))
"""


# ---------------------------------------------------------------------- micro


async def sleep0(units: int) -> None:
    """20 tasks that only take turns."""

    async def turn() -> None:
        for _ in range(units // 20):
            await asyncio.sleep(0)

    await asyncio.gather(*(turn() for _ in range(20)))


async def spawn(units: int) -> None:
    """Tasks that end at once."""

    async def empty() -> None:
        pass

    for _ in range(units // 8):
        await asyncio.create_task(empty())


async def pingpong(units: int) -> None:
    """Two tasks over two queues."""
    there: asyncio.Queue[int] = asyncio.Queue()
    back: asyncio.Queue[int] = asyncio.Queue()

    async def ping() -> None:
        for _ in range(units // 8):
            await there.put(1)
            await back.get()

    async def pong() -> None:
        for _ in range(units // 8):
            await there.get()
            await back.put(1)

    await asyncio.gather(ping(), pong())


async def echo(units: int) -> None:
    """Two ends of a socket pair."""
    left, right = socket.socketpair()
    reader, writer = await asyncio.open_connection(sock=left)
    other_reader, other_writer = await asyncio.open_connection(sock=right)

    async def answer() -> None:
        while data := await other_reader.read(100):
            other_writer.write(data)

    answering = asyncio.create_task(answer())
    for _ in range(units // 40):
        writer.write(b"x" * 50)
        await reader.readexactly(50)
    writer.close()
    await answering
    other_writer.close()


def micro(cycles: int, units: int) -> dict[str, float]:
    """Return the ratio of each workload."""
    names = Names()
    hooks = Hooks(find_facts(names.note, (str(Path(asyncio.__file__).parent),)))
    core.rings("", 1 << 20)
    found = {}
    for work in (sleep0, spawn, pingpong, echo):
        ratios = []
        for _ in range(cycles):
            spent: dict[bool, int] = {}
            for on in random.sample((True, False), 2):
                spent[on] = _spent(hooks, work, units, on=on)
            ratios.append(spent[True] / spent[False])
        found[work.__name__] = statistics.median(ratios)
    return found


def _spent(hooks: Hooks, work: Callable[[int], Awaitable[None]], units: int, *, on: bool) -> int:
    if on:
        hooks.install()
        core.enable(True)
    begun = time.process_time_ns()
    asyncio.run(work(units))  # type: ignore[arg-type]
    spent = time.process_time_ns() - begun
    if on:
        core.enable(False)
        hooks.uninstall()
        for lane in core.lanes():
            lane.release(len(lane.read(1 << 20)) // core.EVENT_BYTES)
    return spent


# ---------------------------------------------------------------------- service


async def client(port: int, requests: int, times: list[float]) -> None:
    """Send requests one after the other over one connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for _ in range(requests):
        begun = time.perf_counter()
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length:")[2].split()[0])
        await reader.readexactly(length)
        times.append(time.perf_counter() - begun)
    writer.close()


def cpu_s(pid: int) -> float:
    """Return the CPU time of a process so far, all its threads."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def serve(directory: str, requests: int, loop: str) -> dict[str, Any]:
    """Return what one server spent on *requests*, and the latency at p99."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(128)
    port = listener.getsockname()[1]
    server = subprocess.Popen(
        [sys.executable, "-c", SERVER, str(listener.fileno()), directory, loop],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        pass_fds=[listener.fileno()],
    )
    listener.close()
    times: list[float] = []

    async def load() -> float:
        await asyncio.gather(*(client(port, 20, []) for _ in range(CLIENTS)))
        before = cpu_s(server.pid)
        await asyncio.gather(*(client(port, requests // CLIENTS, times) for _ in range(CLIENTS)))
        return cpu_s(server.pid) - before

    spent = asyncio.run(load())
    output, _ = server.communicate(b"", timeout=60)
    times.sort()
    size = sum(path.stat().st_size for path in Path(directory).rglob("*.gz")) if directory else 0
    return {
        "cpu_us": spent / requests * 1e6,
        "p99_ms": times[int(len(times) * 0.99)] * 1e3,
        "counts": json.loads(output),
        "gzip_bytes": size,
    }


def service(pairs: int, requests: int, loop: str) -> dict[str, Any]:
    """Return the ratios of pairs of servers, and the size of what was recorded."""
    ratios, tails, without, raw, packed = [], [], [], [], []
    for _ in range(pairs):
        with tempfile.TemporaryDirectory() as directory:
            found = {
                bool(where): serve(where, requests, loop)
                for where in random.sample(("", directory), 2)
            }
        on, off = found[True], found[False]
        ratios.append(on["cpu_us"] / off["cpu_us"])
        tails.append(on["p99_ms"] / off["p99_ms"])
        without.append(off["cpu_us"])
        counts = on["counts"]
        # Of the events of a service load four in five are steps; the exact number is in the file.
        raw.append(counts["bytes_written"] / counts["events_recorded"])
        packed.append(on["gzip_bytes"] / counts["events_recorded"])
        assert not counts["events_dropped"], counts
    ratios.sort()
    return {
        "cpu": statistics.median(ratios),
        "range": (ratios[0], ratios[-1]),
        "p99": statistics.median(tails),
        "us": statistics.median(without),
        "raw": statistics.median(raw),
        "gzip": statistics.median(packed),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--cycles", type=int, default=15)
    parser.add_argument("--units", type=int, default=20_000)
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--requests", type=int, default=12_800)
    parser.add_argument("--loop", choices=("asyncio", "uvloop"), default="asyncio")
    options = parser.parse_args()
    kind = "native core" if is_native else "twin in Python"
    print(f"CPython {platform.python_version()}, {os.cpu_count()} cores, {kind}\n")
    if options.cycles:
        print("CPU with the hooks on ÷ plain loop")
        for name, ratio in micro(options.cycles, options.units).items():
            print(f"  {name:<10} {ratio:.2f}")
    if options.pairs:
        found = service(options.pairs, options.requests, options.loop)
        low, high = found["range"]
        print(f"\nuvicorn on {options.loop}, {found['us']:.0f} µs CPU a request without")
        print(f"  CPU a request, recorder ÷ none   {found['cpu']:.2f} ({low:.2f}-{high:.2f})")
        print(f"  latency at p99, recorder ÷ none  {found['p99']:.2f}")
        print(f"  bytes an event, raw and gzip     {found['raw']:.1f}, {found['gzip']:.1f}")


if __name__ == "__main__":
    main()
