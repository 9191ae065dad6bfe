"""A process that serves HTTP under one tool, or none, and tells what that cost it.

Started by its name (`started`), with a listening socket, and loaded between a line on its standard
input and the end of that. It tells the CPU time of all its threads under load, and of the whole: to
when the loop and the tool have ended and everything is written.

Applications: *small* is one route of Starlette with two tasks a request; *generated* is what
`tacho new` makes, with its records and logs into files; *streams* needs the standard library only:
reading of headers with a time-out, two tasks behind a semaphore, a turn of the loop, a hash, JSON.
The first two run on uvicorn with httptools.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import logging
import socket
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from tools import TOOLS, Tachograph, Tool

__all__ = ["main"]

PATIENCE_S = 600  # with connections that rest while the other of a pair has its turn


@contextlib.asynccontextmanager
async def small(options: dict[str, Any]) -> AsyncIterator[None]:
    """One route: two tasks that take turns, and JSON."""
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import JSONResponse
    from starlette.routing import Route

    async def part(number: int) -> int:
        await asyncio.sleep(0)
        return number

    async def home(request: Request) -> JSONResponse:
        first, second = await asyncio.gather(part(1), part(2))
        return JSONResponse({"first": first, "second": second})

    async with _uvicorn(Starlette(routes=[Route("/", home)]), options["fd"]):
        yield


@contextlib.asynccontextmanager
async def generated(options: dict[str, Any]) -> AsyncIterator[None]:
    """The service that `tacho new` made, whose source is on the path, with a store in memory."""
    from orders.app import create_app  # type: ignore[import-not-found]
    from orders.config import Config  # type: ignore[import-not-found]
    from orders.store import MemoryStore  # type: ignore[import-not-found]

    async with _uvicorn(create_app(Config(), MemoryStore()), options["fd"]):
        yield


@contextlib.asynccontextmanager
async def _uvicorn(app: Any, fd: int) -> AsyncIterator[None]:
    import uvicorn

    config = uvicorn.Config(
        app,
        http="httptools",
        log_config=None,
        access_log=False,
        lifespan="off",
        timeout_keep_alive=PATIENCE_S,
    )
    server = uvicorn.Server(config)
    # Not by `fd=`, which takes it for a Unix socket: answers would wait for delayed ACKs.
    serving = asyncio.create_task(server.serve([socket.socket(fileno=fd)]))
    try:
        yield
    finally:
        server.should_exit = True
        await serving


@contextlib.asynccontextmanager
async def streams(options: dict[str, Any]) -> AsyncIterator[None]:
    """A server of streams."""
    gate = asyncio.Semaphore(64)

    async def part(number: int) -> int:
        async with gate:
            await asyncio.sleep(0)
            return number

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), PATIENCE_S)
                first, *lines = head.decode("latin-1").split("\r\n")
                headers = dict(line.split(": ", 1) for line in lines if line)
                parts = await asyncio.gather(part(1), part(2))
                digest = hashlib.sha256(head * 8).hexdigest()
                body = json.dumps({"line": first, "headers": headers, "of": parts, "id": digest})
                writer.write(f"HTTP/1.1 200 OK\r\ncontent-length: {len(body)}\r\n\r\n".encode())
                writer.write(body.encode())
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, sock=socket.socket(fileno=options["fd"]))
    try:
        yield
    finally:
        server.close()


APPS = {"small": small, "generated": generated, "streams": streams}


async def serve(options: dict[str, Any], tool: Tool) -> tuple[int, int]:
    """Serve until told to end; return the CPU time at the beginning and at the end of the load."""
    async with APPS[options["app"]](options):
        tool.in_loop()
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        begun = time.process_time_ns()
        print("begun", flush=True)
        await asyncio.to_thread(sys.stdin.read)
        ended = time.process_time_ns()
    return begun, ended


def main() -> None:
    """Serve as the argument says; print JSON."""
    options = json.loads(sys.argv[1])
    logging.getLogger("asyncio").addHandler(logging.NullHandler())
    logging.getLogger("asyncio").propagate = False
    tool = TOOLS[options["tool"]](options)
    with contextlib.ExitStack() as stack:
        if options["app"] == "generated":
            stack.enter_context(_telemetry(tool))
        else:
            tool.start()
        begun, ended = tool.run(serve(options, tool), options["loop"])
        tool.stop()
    spent = {"load_ns": ended - begun, "whole_ns": time.process_time_ns() - begun}
    print(json.dumps({**spent, "counts": tool.counts()}))


def _telemetry(tool: Tool) -> contextlib.AbstractContextManager[object]:
    """Start the telemetry of the service, and with it the recorder, if that is the tool."""
    import tachograph as tg

    recorder = tool.config() if isinstance(tool, Tachograph) else None
    config = tg.TelemetryConfig(
        service="orders",
        telemetry_dir=Path(tool.options["directory"]) / "telemetry",
        recorder=recorder,
    )
    guard = tg.init_telemetry(config)
    if isinstance(tool, Tachograph):
        tool.recording = tg.recorder.current()
    else:
        tool.start()
    return guard
