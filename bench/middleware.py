"""What the middlewares cost, against the bare application and one empty `BaseHTTPMiddleware`.

    python bench/middleware.py [--rounds N] [--requests N]

In process, without a server, a Starlette application with one route. Variants are interleaved in
each round; figures are medians, ratios are taken within a round. The stack has all nine layers,
with a record and a sink that only counts.
"""

from __future__ import annotations

import argparse
import asyncio
import enum
import os
import platform
import statistics
import time
from typing import Any

from starlette.applications import Starlette
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

import tachograph as tg
from tachograph.formats.json import FlatJson
from tachograph.metrics import Destination, attach, detach


class Operation(enum.Enum):
    Get = "Get"


class RequestMetrics(tg.WideEvent, rename="PascalCase"):
    request_id: str
    operation: Operation
    method: str
    path: str
    duration = tg.timer(unit=tg.Unit.MILLISECONDS)
    success: bool = False
    client_error: bool = False
    server_error: bool = False
    status_code: int = tg.metric(0, as_property=True)
    outcome = tg.outcome()


class Count:
    lines = 0

    def write(self, line: bytes) -> None:
        self.lines += 1


class Empty(BaseHTTPMiddleware):
    async def dispatch(self, request: Request, call_next: Any) -> Response:
        answer: Response = await call_next(request)
        return answer


async def hello(_: Request) -> Response:
    return PlainTextResponse("hello")


async def call(app: Any) -> None:
    """Send one request."""
    messages = iter([{"type": "http.request", "body": b"", "more_body": False}])

    async def receive() -> dict[str, Any]:
        for message in messages:
            return message
        return {"type": "http.disconnect"}

    async def send(_: Any) -> None:
        return None

    scope = {
        "type": "http",
        "method": "GET",
        "path": "/hello",
        "raw_path": b"/hello",
        "query_string": b"",
        "headers": [(b"host", b"localhost"), (b"user-agent", b"bench")],
    }
    await app(scope, receive, send)


async def measure(variants: dict[str, Any], rounds: int, requests: int) -> dict[str, list[float]]:
    """Return microseconds a request, a figure a round."""
    times: dict[str, list[float]] = {name: [] for name in variants}
    for _ in range(rounds):
        for name, app in variants.items():
            start = time.perf_counter_ns()
            for _ in range(requests):
                await call(app)
            times[name].append((time.perf_counter_ns() - start) / requests / 1e3)
    return times


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--requests", type=int, default=500)
    options = parser.parse_args()
    bare = Starlette(routes=[Route("/hello", hello)])
    limits = tg.asgi.Options(
        classify=lambda _: Operation.Get, rate_limit=tg.asgi.RateLimit(burst=10**9)
    )
    variants = {
        "bare": bare,
        "nine layers": tg.asgi.stack(bare, record=RequestMetrics, options=limits),
        "one BaseHTTPMiddleware": Empty(bare),
    }
    sink = Count()
    attach([Destination(FlatJson(), sink)])
    times = asyncio.run(measure(variants, options.rounds, options.requests))
    detach()
    print(f"CPython {platform.python_version()}, {os.cpu_count()} cores; {sink.lines} records")
    for name, values in times.items():
        print(f"  {name:<26}{statistics.median(values):8.1f} µs a request")
    added = {
        name: [v - b for v, b in zip(values, times["bare"], strict=True)]
        for name, values in times.items()
    }
    pairs = zip(added["nine layers"], added["one BaseHTTPMiddleware"], strict=True)
    ratio = statistics.median(ours / theirs for ours, theirs in pairs)
    print(f"  nine layers add {ratio:.2f} of what one empty BaseHTTPMiddleware adds")


if __name__ == "__main__":
    main()
