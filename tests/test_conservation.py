"""Nothing lost, nothing doubled: what entered the application is in the records."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import pytest

SERVER = """
import asyncio, contextlib, signal, sys
from pathlib import Path
import uvicorn, tachograph as tg
from starlette.requests import Request
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Route, Router

class RequestMetrics(tg.WideEvent, rename="PascalCase"):
    request_id: str
    status_code: int = tg.metric(0, as_property=True)
    duration = tg.timer(unit=tg.Unit.MILLISECONDS)
    outcome = tg.outcome()

async def put(request: Request) -> PlainTextResponse:
    return PlainTextResponse(str(len(await request.body())))

async def stream(request: Request) -> StreamingResponse:
    async def parts():
        for _ in range(3):
            yield b"x" * 1000
            await asyncio.sleep(0)
    return StreamingResponse(parts())

async def boom(request: Request) -> None:
    raise ValueError("boom")

async def slow(request: Request) -> PlainTextResponse:
    await asyncio.sleep(0.02)
    return PlainTextResponse("slow")

routes = [Route("/put", put, methods=["PUT"]), Route("/stream", stream), Route("/boom", boom),
          Route("/slow", slow)]
layers = tg.asgi.stack(Router(routes), record=RequestMetrics,
                       options=tg.asgi.Options(body_limit=5000))
entered = 0

async def counted(scope, receive, send):
    global entered
    entered += 1
    await layers(scope, receive, send)

async def main(port):
    config = uvicorn.Config(counted, port=port, http="httptools", log_config=None,
                            access_log=False, lifespan="off", ws="none")
    server = uvicorn.Server(config)
    server.capture_signals = contextlib.nullcontext
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, setattr, server, "should_exit", True)
    await server.serve()

with tg.init_telemetry(tg.TelemetryConfig(service="s", telemetry_dir=Path(sys.argv[2]))) as guard:
    asyncio.run(main(int(sys.argv[1])))
Path(sys.argv[3]).write_text(str(entered))
"""
KINDS = [
    ("PUT", "/put", b"x" * 100),
    ("GET", "/stream", None),
    ("GET", "/boom", None),
    ("PUT", "/put", b"x" * 6_000),
    ("GET", "/nowhere", None),
    ("GET", "/slow", None),
]


def _clients(port: int, ids: list[str], stop: threading.Event) -> list[threading.Thread]:
    def work(offset: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        number = offset
        while not stop.is_set():
            method, path, body = KINDS[number % len(KINDS)]
            number += 1
            try:
                connection.request(method, path, body)
                answer = connection.getresponse()
                answer.read()
            except (OSError, http.client.HTTPException):
                connection.close()
                if stop.wait(0.01):
                    return
                continue
            ids.append(answer.headers["x-request-id"])

    threads = [threading.Thread(target=work, args=(n,)) for n in range(12)]
    for thread in threads:
        thread.start()
    return threads


@pytest.mark.slow
def test_every_request_is_in_exactly_one_record(tmp_path: Path) -> None:
    """Requests counted outside the stack = records; each id a client got appears once [RQ-15]."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    telemetry, count = tmp_path / "telemetry", tmp_path / "count"
    server = subprocess.Popen(
        [sys.executable, "-c", SERVER, str(port), str(telemetry), str(count)], env=os.environ
    )
    ids: list[str] = []
    stop = threading.Event()
    threads = _clients(port, ids, stop)
    end = time.monotonic() + 30
    while len(ids) < 3_000 and time.monotonic() < end:
        time.sleep(0.05)
    server.send_signal(signal.SIGTERM)
    code = server.wait(30)
    stop.set()
    for thread in threads:
        thread.join()
    records = [
        json.loads(line)
        for file in telemetry.glob("metrics.log.*")
        for line in file.read_text().splitlines()
    ]
    emitted = Counter(record["RequestId"] for record in records)

    assert code == 0
    assert len(ids) >= 3_000
    assert len(records) == int(count.read_text())
    assert [1] * len(ids) == [emitted[identity] for identity in ids]
    assert {"200", "404", "413", "500"} <= {record["StatusCode"] for record in records}
    assert not any("_dropped" in record for record in records)


@pytest.mark.slow
def test_outcomes_of_all_kinds_across_a_sigterm(repository: Path) -> None:
    """Time-outs and clients that go away too: each request that came has one record [RQ-15].

    `make conserve` does it with 50,000 requests.
    """
    command = [sys.executable, str(repository / "scripts" / "conserve.py"), "--requests", "6000"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)

    assert 0 == done.returncode, done.stdout + done.stderr
    assert "0 lost, 0 doubled, 0 of nobody, 0 dropped" in done.stdout
    assert "× 408" in done.stdout
