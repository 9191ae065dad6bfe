"""Send requests of all kinds across a SIGTERM, and find each in exactly one record.

    make conserve [REQUESTS=50000]     or  python scripts/conserve.py [--requests N] [--workers N]

A server takes requests over WORKERS connections: writes, streams, failures, too large bodies,
unknown routes, handlers and bodies that time out, clients that go away before the answer and in the
midst of their body. When N are done it gets SIGTERM, while the clients go on. The ids of what came
to the server are noted outside `stack()`; 1 is returned unless they are those of the records, each
once, and each answer that a client got is among them.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import uvicorn
from services import free_port, lines_of
from starlette.requests import Request
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Route, Router

import tachograph as tg

__all__ = ["main"]

_LIMIT = 5_000


# ---------------------------------------------------------------- the server


class RequestMetrics(tg.WideEvent, rename="PascalCase"):
    """What is recorded of a request."""

    request_id: str
    status_code: int | None = None
    duration = tg.timer(unit=tg.Unit.MILLISECONDS)
    outcome = tg.outcome()


async def put(request: Request) -> PlainTextResponse:
    """Answer with the size of the body."""
    return PlainTextResponse(str(len(await request.body())))


async def stream(_: Request) -> StreamingResponse:
    """Answer in parts."""

    async def parts() -> Any:
        for _ in range(3):
            yield b"x" * 1_000
            await asyncio.sleep(0)

    return StreamingResponse(parts())


async def boom(_: Request) -> PlainTextResponse:
    """Fail."""
    raise ValueError("boom")


async def slow(_: Request) -> PlainTextResponse:
    """Answer a moment later."""
    await asyncio.sleep(0.02)
    return PlainTextResponse("slow")


async def never(_: Request) -> PlainTextResponse:
    """Answer too late."""
    await asyncio.sleep(60)
    return PlainTextResponse("never")


def serve(port: int, telemetry: Path, entered: Path) -> None:
    """Serve until SIGTERM; write the ids that came, one a line, to *entered*."""
    handlers = {"stream": stream, "boom": boom, "slow": slow, "never": never}
    routes = [Route("/put", put, methods=["PUT"])]
    routes += [Route(f"/{name}", handler) for name, handler in handlers.items()]
    options = tg.asgi.Options(body_limit=_LIMIT, request_timeout=0.25, body_timeout=0.2)
    layers = tg.asgi.stack(Router(routes), record=RequestMetrics, options=options)
    ids: list[str] = []

    async def counted(scope: Any, receive: Any, send: Any) -> None:
        ids.append(dict(scope["headers"])[b"x-request-id"].decode())
        await layers(scope, receive, send)

    async def run() -> None:
        config = uvicorn.Config(
            counted, port=port, http="httptools", log_config=None, lifespan="off", ws="none"
        )
        server = uvicorn.Server(config)
        server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign,assignment]
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, setattr, server, "should_exit", True)
        await server.serve()

    config = tg.TelemetryConfig(service="conserve", telemetry_dir=telemetry)
    with tg.init_telemetry(config):
        asyncio.run(run())
    entered.write_text("\n".join(ids))


# ---------------------------------------------------------------- the clients

_KINDS = (
    b"PUT /put", b"GET /stream", b"PUT /put", b"GET /boom", b"GET /nowhere", b"PUT /put",
    b"GET /slow", b"PUT /large", b"GET /stream",
)  # fmt: skip
_RARE = {7: b"GET /never", 57: b"GET /gone", 107: b"PUT /stalled", 157: b"PUT /torn"}
"""By the remainder of the request's number by 200."""


class Clients:
    """Connections that send requests until they are stopped."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.sent = 0
        self.answered: list[str] = []
        self.statuses: Counter[int] = Counter()
        self.left = 0
        self.failed = 0
        self.stopped = False
        self.goal = 0
        self.reached = asyncio.Event()

    async def work(self) -> None:
        """Send requests one after the other over a connection, another one when it ends."""
        streams = None
        while not self.stopped:
            number = self.sent
            self.sent += 1
            try:
                if streams is None:
                    streams = await asyncio.open_connection("127.0.0.1", self._port)
                if not await asyncio.wait_for(self._send(*streams, number), 20):
                    streams = self._close(streams)
                if len(self.answered) + self.left >= self.goal:
                    self.reached.set()
            except (OSError, EOFError, TimeoutError):
                self.failed += 1
                streams = self._close(streams)
                await asyncio.sleep(0.01)
        self._close(streams)

    @staticmethod
    def _close(streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None) -> None:
        if streams is not None:
            streams[1].close()

    async def _send(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int
    ) -> bool:
        """Send one request; return whether the connection can carry another."""
        kind = _RARE.get(number % 200) or _KINDS[number % len(_KINDS)]
        identity = f"r{number}"
        body, claimed = b"", 0
        path = kind
        if kind.startswith(b"PUT"):
            size = _LIMIT + 1_000 if kind == b"PUT /large" else 100
            path, body, claimed = b"PUT /put", b"x" * size, size
        if kind in (b"PUT /stalled", b"PUT /torn"):
            claimed += 100
        elif kind == b"GET /gone":
            path = b"GET /slow"
        head = b"%s HTTP/1.1\r\nhost: l\r\nx-request-id: %s\r\n" % (path, identity.encode())
        if claimed:
            head += b"content-length: %d\r\n" % claimed
        writer.write(head + b"\r\n" + body)
        if kind in (b"GET /gone", b"PUT /torn"):
            await asyncio.sleep(0.005)
            self.left += 1
            return False
        status, stays = await _answer(reader)
        self.statuses[status] += 1
        self.answered.append(identity)
        return stays and kind not in (b"PUT /stalled", b"PUT /large")


async def _answer(reader: asyncio.StreamReader) -> tuple[int, bool]:
    """Read one answer; return its status and whether the connection stays open."""
    head = await reader.readuntil(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").lower().split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines if line)
    if headers.get("transfer-encoding") == "chunked":
        while size := int((await reader.readuntil(b"\r\n")), 16):
            await reader.readexactly(size + 2)
        await reader.readuntil(b"\r\n")
    else:
        await reader.readexactly(int(headers.get("content-length", "0")))
    return int(first.split()[1]), headers.get("connection") != "close"


async def drive(server: subprocess.Popen[bytes], port: int, requests: int, workers: int) -> Clients:
    """Send *requests*, then SIGTERM while the clients go on, until the server has ended."""
    clients = Clients(port)
    end = time.monotonic() + 15
    while True:
        try:
            (await asyncio.open_connection("127.0.0.1", port))[1].close()
            break
        except OSError:
            if time.monotonic() > end:
                raise
            await asyncio.sleep(0.05)
    clients.goal = requests
    tasks = [asyncio.create_task(clients.work()) for _ in range(workers)]
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(clients.reached.wait(), 600)
    server.send_signal(signal.SIGTERM)
    await asyncio.to_thread(server.wait, 60)
    clients.stopped = True
    await asyncio.gather(*tasks)
    return clients


def main() -> int:
    """Run; return 1 when a request has no record, two, or a record no request."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    default = int(os.environ.get("REQUESTS", "50000"))
    parser.add_argument("--requests", type=int, default=default)
    parser.add_argument("--workers", type=int, default=32)
    parser.add_argument("--serve", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        port, *paths = options.serve
        serve(int(port), *map(Path, paths))
        return 0
    with tempfile.TemporaryDirectory(prefix="tachograph-") as scratch:
        telemetry, entered = Path(scratch) / "telemetry", Path(scratch) / "entered"
        port = free_port()
        command = [sys.executable, __file__, "--serve", str(port), str(telemetry), str(entered)]
        began = time.monotonic()
        server = subprocess.Popen(command)
        try:
            clients = asyncio.run(drive(server, port, options.requests, options.workers))
            code = server.wait(30)
        finally:
            if server.poll() is None:
                server.kill()
                server.wait()
        elapsed = time.monotonic() - began
        return _report(clients, entered.read_text().split(), telemetry, elapsed, code)


def _report(
    clients: Clients, entered: list[str], telemetry: Path, elapsed: float, code: int
) -> int:
    records = [r for r in lines_of(telemetry, "metrics.log.*") if "RequestId" in r]
    recorded = Counter(r["RequestId"] for r in records)
    came = set(entered)
    outcomes = Counter(r["Outcome"] for r in records)
    lost = [identity for identity in came if not recorded[identity]]
    doubled = [identity for identity, times in recorded.items() if times > 1]
    unknown = [identity for identity in recorded if identity not in came]
    strange = [identity for identity in clients.answered if identity not in came]
    told = sum(int(r.get("_dropped", 0)) for r in records)
    print(f"{len(entered):,} requests in {elapsed:.1f} s across a SIGTERM; exit code {code}")
    print("  answers: " + ", ".join(f"{n:,} × {s}" for s, n in sorted(clients.statuses.items())))
    print(f"  {clients.left:,} clients went away, {clients.failed:,} were refused or cut")
    print(f"  records: {len(records):,}; " + json.dumps(dict(outcomes.most_common())))
    print(f"  {len(lost)} lost, {len(doubled)} doubled, {len(unknown)} of nobody, {told} dropped")
    right = code == 0 and len(entered) == len(came) == len(records) and not told
    return 0 if right and not (lost or doubled or unknown or strange) else 1


if __name__ == "__main__":
    sys.exit(main())
