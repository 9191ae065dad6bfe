"""What telemetry costs a service: each handler in process and over loopback, with and without it.

    python bench/service.py [--rounds N] [--requests N]

"without" is the same application without the middlewares and with no record; "with" has all of them
and writes records and logs into a directory. Variants are interleaved in each round; ratios are
taken within a round, figures are medians. Over loopback the time is the server process's CPU time
per request, its writer threads included.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "scripts"))

import aiohttp  # noqa: E402
from services import free_port, generate  # noqa: E402

JSON = [(b"content-type", b"application/json")]
CASES: dict[str, tuple[str, str, bytes, list[tuple[bytes, bytes]]]] = {
    "health": ("GET", "/health", b"", []),
    "set_item": ("PUT", "/items/k", b"v" * 64, []),
    "get_item": ("GET", "/items/k", b"", []),
    "echo": ("POST", "/echo", b'{"message":"hello"}', JSON),
}
# Serves the generated application, bare or with its telemetry, until its standard input ends.
SERVER = """
import asyncio, contextlib, logging, sys, uvicorn, tachograph as tg
logging.getLogger("tachograph").setLevel(logging.ERROR)
from pathlib import Path
from starlette.routing import Route, Router
from starlette.responses import PlainTextResponse
from orders.app import create_app, _RawPath
from orders.config import Config
from orders.handlers import Handlers
from orders.routes import routes
from orders.store import MemoryStore
port, directory = int(sys.argv[1]), sys.argv[2]
async def health(request): return PlainTextResponse("ok")
with contextlib.ExitStack() as stack:
    if directory:
        config = tg.TelemetryConfig(service="orders", telemetry_dir=Path(directory))
        stack.enter_context(tg.init_telemetry(config))
        app = create_app(Config(), MemoryStore())
    else:
        app = _RawPath(Router([Route("/health", health), *routes(Handlers(MemoryStore()))]))
    server = uvicorn.Server(uvicorn.Config(app, port=port, http="httptools", log_config=None,
        access_log=False, lifespan="off"))
    async def main():
        serving = asyncio.create_task(server.serve())
        await asyncio.to_thread(sys.stdin.read)
        server.should_exit = True
        await serving
    asyncio.run(main())
"""


async def call(app: Any, method: str, path: str, body: bytes, headers: Any) -> int:
    """Send one request through *app* in process; return its status."""
    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": headers,
    }
    status = 0

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        nonlocal status
        status = message.get("status", status)

    await app(scope, receive, send)
    return status


async def in_process(variants: dict[str, Any], rounds: int, requests: int) -> None:
    """Print the time of each handler with and without telemetry."""
    print("in process, µs a request       without      with     ratio")
    for name, case in CASES.items():
        times: dict[str, list[float]] = {variant: [] for variant in variants}
        for _ in range(rounds):
            for variant, app in variants.items():
                start = time.perf_counter_ns()
                for _ in range(requests):
                    if await call(app, *case) not in (200, 204):
                        raise AssertionError(name)
                times[variant].append((time.perf_counter_ns() - start) / requests / 1e3)
        _row(name, times)


def _row(name: str, times: dict[str, list[float]]) -> None:
    bare, full = times["without"], times["with"]
    ratio = statistics.median(f / b for f, b in zip(full, bare, strict=True))
    print(f"  {name:<28}{statistics.median(bare):8.1f}{statistics.median(full):10.1f}{ratio:10.2f}")


class Served:
    """One server process."""

    def __init__(self, source: Path, directory: str) -> None:
        self.port = free_port()
        self.process = subprocess.Popen(
            [sys.executable, "-c", SERVER, str(self.port), directory],
            stdin=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(source)},
        )

    def cpu_seconds(self) -> float:
        """Return the CPU time that the process has used."""
        parts = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(parts[11]) + int(parts[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self) -> None:
        """End it."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


@contextlib.contextmanager
def served(source: Path, directory: str) -> Iterator[Served]:
    """Start a server and stop it at the end."""
    server = Served(source, directory)
    try:
        yield server
    finally:
        server.stop()


async def over_loopback(servers: dict[str, Served], rounds: int, requests: int) -> None:
    """Print the server's CPU time of each handler with and without telemetry."""
    print("over loopback, CPU µs a request")
    connector = aiohttp.TCPConnector(limit=8)
    async with aiohttp.ClientSession(connector=connector) as session:
        for server in servers.values():
            await _ready(session, server)
        for name, case in CASES.items():
            times: dict[str, list[float]] = {variant: [] for variant in servers}
            for _ in range(rounds):
                for variant, server in servers.items():
                    before = server.cpu_seconds()
                    await _burst(session, server, case, requests)
                    used = server.cpu_seconds() - before
                    times[variant].append(used / requests * 1e6)
            _row(name, times)


async def _ready(session: aiohttp.ClientSession, server: Served) -> None:
    for _ in range(200):
        with contextlib.suppress(aiohttp.ClientError):
            async with session.get(f"http://127.0.0.1:{server.port}/health"):
                return
        await asyncio.sleep(0.05)
    msg = "the server did not start"
    raise RuntimeError(msg)


async def _burst(session: aiohttp.ClientSession, server: Served, case: Any, count: int) -> None:
    method, path, body, headers = case
    named = {key.decode(): value.decode() for key, value in headers}
    url = f"http://127.0.0.1:{server.port}{path}"
    left = iter(range(count))

    async def work() -> None:
        for _ in left:
            async with session.request(method, url, data=body or None, headers=named) as answer:
                await answer.read()

    await asyncio.gather(*(work() for _ in range(8)))


def main() -> None:
    """Run both parts."""
    # The bare variant has no record open, which handlers are warned of.
    logging.getLogger("tachograph").setLevel(logging.ERROR)
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--requests", type=int, default=1_000)
    options = parser.parse_args()
    print(f"CPython {platform.python_version()}, {os.cpu_count()} cores")
    with tempfile.TemporaryDirectory() as scratch:
        source = generate("orders", Path(scratch)) / "src"
        sys.path.insert(0, str(source))
        _in_process(Path(scratch) / "in-process", options.rounds, options.requests // 4)
        with served(source, "") as bare, served(source, f"{scratch}/loopback") as full:
            servers = {"without": bare, "with": full}
            asyncio.run(over_loopback(servers, options.rounds, options.requests))


def _in_process(directory: Path, rounds: int, requests: int) -> None:
    from orders.app import _RawPath, create_app  # type: ignore[import-not-found]
    from orders.config import Config  # type: ignore[import-not-found]
    from orders.handlers import Handlers  # type: ignore[import-not-found]
    from orders.routes import routes  # type: ignore[import-not-found]
    from orders.store import MemoryStore  # type: ignore[import-not-found]
    from starlette.requests import Request
    from starlette.responses import PlainTextResponse, Response
    from starlette.routing import Route, Router

    import tachograph as tg

    async def health(_: Request) -> Response:
        return PlainTextResponse("ok")

    bare = _RawPath(Router([Route("/health", health), *routes(Handlers(MemoryStore()))]))
    full = create_app(Config(), MemoryStore())
    with tg.init_telemetry(tg.TelemetryConfig(service="orders", telemetry_dir=directory)):
        asyncio.run(in_process({"without": bare, "with": full}, rounds, requests))


if __name__ == "__main__":
    main()
