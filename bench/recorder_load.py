"""Load on a server process: keep-alive connections that send one request after the other."""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import signal
import socket
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, Self

from ratios import percentile
from started import command, environment
from tools import TOOLS

from tachograph.trace.decode import Decoder
from tachograph.trace.files import GZIP, read_bytes

__all__ = [
    "APPS",
    "CLIENTS",
    "WARM_UP",
    "Run",
    "Server",
    "Size",
    "run",
    "run_all",
    "size_of",
    "whole_slices",
]

APPS = {
    "small": ["uvicorn", "httptools", "starlette"],
    "generated": ["uvicorn", "httptools", "starlette", "aiohttp", "cyclopts"],
    "streams": [],
}
"""Each application of `recorder_server`, with what it imports."""

CLIENTS = 32
WARM_UP = 20  # requests of each connection before the measurement
SLICES = 10  # of the requests to a process, between which the others have their turn
WHOLE = SLICES * CLIENTS
TIMEOUT_S = 300
PIECE_BYTES = 24

HOME = (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",)
MIX = tuple(
    f"{line} HTTP/1.1\r\nHost: x\r\n{more}\r\n\r\n".encode() + body
    for line, more, body in (
        ("PUT /items/k", "Content-Length: 64", b"v" * 64),
        ("GET /items/k", "Accept: */*", b""),
        ("GET /items/absent", "Accept: */*", b""),
        (
            "POST /echo",
            "Content-Type: application/json\r\nContent-Length: 19",
            b'{"message":"hello"}',
        ),
    )
)
"""What a generated service is asked: a write, a hit, a miss, an echo."""


@dataclass(frozen=True, slots=True)
class Server:
    """What a server process is to be.

    Attributes:
        app: `small`, `generated` or `streams`.
        loop: `asyncio` or `uvloop`.
        source: Where the generated service's package is.
        path: Further directories to import from.
        settings: Of the recorder, apart from its directory.
    """

    app: str
    loop: str = "asyncio"
    source: str = ""
    path: str = ""
    settings: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Size:
    """What a recording takes on disk.

    Attributes:
        steps: Steps of callbacks and tasks that the segments tell.
        raw: Bytes of all segments before compression, everything counted.
        packed: Bytes of all segments on disk.
        kinds: Bytes before compression by kind of event; what is no event is called frames.
    """

    steps: int
    raw: int
    packed: int
    kinds: Counter[str]


@dataclass(frozen=True, slots=True)
class Run:
    """What one server did under load.

    Attributes:
        load_us: CPU time a request while it was loaded, all threads.
        whole_us: The same, with what it did until everything was written.
        p50_ms: Median latency.
        p99_ms: Latency at p99.
        counts: What the tool counted.
        size: What was recorded.
    """

    load_us: float
    whole_us: float
    p50_ms: float
    p99_ms: float
    counts: dict[str, Any]
    size: Size | None


def whole_slices(text: str) -> int:
    """Return the number of requests that *text* asks for.

    Raises:
        argparse.ArgumentTypeError: It does not make slices of equally many on each connection.
    """
    if (found := int(text)) % WHOLE or found <= 0:
        msg = f"expected a multiple of {WHOLE}, got {text}"
        raise argparse.ArgumentTypeError(msg)
    return found


def run_all(servers: dict[str, tuple[Server, str]], requests: int) -> dict[str, Run]:
    """Return what each server process does with *requests* under its tool.

    All live at the same time and are loaded in turns, in slices and in random order, so that what
    the machine does beside them meets all of them. Those that wait for their turn are stopped.

    Raises:
        RuntimeError: One did not start, or did not end well.
    """
    with ExitStack() as stack:
        processes = {
            name: stack.enter_context(Process(server, tool))
            for name, (server, tool) in servers.items()
        }
        asyncio.run(_in_turns(list(processes.values()), requests))
        return {name: process.finish(requests) for name, process in processes.items()}


def run(server: Server, tool: str, requests: int) -> Run:
    """Return what one server process does with *requests* under *tool*, as `run_all`."""
    return run_all({"": (server, tool)}, requests)[""]


async def _in_turns(processes: list[Process], requests: int) -> None:
    async with asyncio.timeout(TIMEOUT_S):
        for process in processes:
            process.expect("ready")
            await process.connect()
            await process.load(WARM_UP)
        for process in processes:
            process.begin()
            process.rest()
        for _ in range(SLICES):
            for process in random.sample(processes, len(processes)):
                process.go_on()
                await process.load(requests // SLICES // CLIENTS)
                process.rest()
        for process in processes:
            process.go_on()
            process.disconnect()


class Process:
    """A server process, and the clients' side of its connections."""

    def __init__(self, server: Server, tool: str) -> None:
        self._asked = MIX if server.app == "generated" else HOME
        self._directory = tempfile.TemporaryDirectory()
        self._times: list[float] = []
        self._streams: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            listener.listen(128)
            self._port = listener.getsockname()[1]
            options = {
                "app": server.app, "loop": server.loop, "tool": tool, "fd": listener.fileno(),
                "directory": self._directory.name, "settings": server.settings or {},
            }  # fmt: skip
            self._process = subprocess.Popen(
                command("recorder_server", options, TOOLS[tool].before(self._directory.name)),
                env=environment(*filter(None, (server.source, server.path))),
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                text=True, pass_fds=[listener.fileno()],
            )  # fmt: skip

    def __enter__(self) -> Self:
        """Return it."""
        return self

    def __exit__(self, *_: object) -> None:
        """End it, whatever it does."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.communicate()
        self._directory.cleanup()

    def begin(self) -> None:
        """Let the measurement begin."""
        self._times.clear()
        assert self._process.stdin is not None
        self._process.stdin.write("begin\n")
        self._process.stdin.flush()
        self.expect("begun")

    def rest(self) -> None:
        """Stop it: what a tool does by the clock belongs to the time in which it serves."""
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Let it run again."""
        self._process.send_signal(signal.SIGCONT)

    def expect(self, word: str) -> None:
        """Wait until it says *word*.

        Raises:
            RuntimeError: It ended instead.
        """
        assert self._process.stdout is not None
        if not any(line.strip() == word for line in iter(self._process.stdout.readline, "")):
            self._fail(self._process.communicate(timeout=5)[1])

    async def connect(self) -> None:
        """Open the connections."""
        for _ in range(CLIENTS):
            self._streams.append(await asyncio.open_connection("127.0.0.1", self._port))

    def disconnect(self) -> None:
        """Close the connections."""
        for _, writer in self._streams:
            writer.close()

    async def load(self, each: int) -> None:
        """Send so many requests over each connection, one after the other on each."""
        await asyncio.gather(*(self._client(*streams, each) for streams in self._streams))

    async def _client(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, count: int
    ) -> None:
        for number in range(count):
            begun = time.perf_counter()
            writer.write(self._asked[number % len(self._asked)])
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            _, told, length = head.partition(b"content-length:")
            if told:
                await reader.readexactly(int(length.split()[0]))
            self._times.append(time.perf_counter() - begun)
            if not head.startswith((b"http/1.1 20", b"http/1.1 404")):
                msg = f"expected an answer, got {head[:80]!r}"
                raise AssertionError(msg)

    def finish(self, requests: int) -> Run:
        """Let it end; return what it did.

        Raises:
            RuntimeError: It did not end well.
        """
        output, errors = self._process.communicate("", timeout=TIMEOUT_S)
        answers = [line for line in output.splitlines() if line.startswith("{")]
        if self._process.returncode or not answers:
            self._fail(errors)
        found = json.loads(answers[-1])
        assert len(self._times) == requests
        return Run(
            found["load_ns"] / requests / 1e3,
            found["whole_ns"] / requests / 1e3,
            percentile(self._times, 0.5) * 1e3,
            percentile(self._times, 0.99) * 1e3,
            found["counts"],
            size_of(Path(self._directory.name)) if found["counts"] else None,
        )

    def _fail(self, errors: str) -> NoReturn:
        msg = f"the server ended with {self._process.poll()}:\n{errors[-2000:]}"
        raise RuntimeError(msg)


def size_of(directory: Path) -> Size:
    """Return what the finished segments under *directory* take and tell."""
    steps = raw = packed = 0
    kinds: Counter[str] = Counter()
    for path in _segments(directory):
        data = read_bytes(path)
        raw += len(data)
        packed += path.stat().st_size
        decoder, end = Decoder(strict=True), 0
        # In pieces of hardly more than one event, in the compact profile, to know which takes what.
        for begin in range(0, len(data), PIECE_BYTES):
            events = decoder.feed(data[begin : begin + PIECE_BYTES])
            if decoder.offset > end:
                kinds[events[-1].name if events else "frames"] += decoder.offset - end
                end = decoder.offset
            for event in events:
                if event.name == "tacho:Steps":
                    steps += event["count"]
                elif event.name == "PollStartEvent":
                    steps += 1
        assert not decoder.close()
    return Size(steps, raw, packed, kinds)


def _segments(directory: Path) -> Iterable[Path]:
    for path in directory.rglob("trace.*"):
        if path.read_bytes()[:2] != GZIP:
            msg = f"expected compressed segments, found {path.name}"
            raise AssertionError(msg)
        yield path
