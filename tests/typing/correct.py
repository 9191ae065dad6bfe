"""A program that type checkers must accept."""

from __future__ import annotations

import asyncio
import enum

import tachograph as tg


class Operation(enum.Enum):
    Get = "Get"


IN_FLIGHT = tg.Counter()


class Handler(tg.WideEvent):
    size: int = tg.metric(0, unit=tg.Unit.BYTES)
    found: bool | None = None
    tags: list[str] = tg.metric(default_factory=list)
    waiting = tg.stopwatch(unit=tg.Unit.MILLISECONDS)


class Request(tg.WideEvent, rename="PascalCase"):
    request_id: str
    operation: Operation
    in_flight = tg.gauge(IN_FLIGHT)
    duration = tg.timer(unit=tg.Unit.MILLISECONDS)
    status: int = tg.metric(default=0, as_property=True)
    outcome = tg.outcome()
    handler: Handler = tg.slot()


@Request.scope(request_id="a", operation=Operation.Get)
async def handle(number: int) -> str:
    """Fill the record."""
    handler = Handler.current()
    handler.size += 5
    handler.tags.append("a")
    with handler.waiting:
        pass
    Request.current().outcome = tg.Outcome.ERROR
    return str(number)


def main() -> None:
    """Use everything."""
    text: str = asyncio.run(handle(1))
    with Request(request_id=text, operation=Operation.Get, status=200) as event:
        event.status = 404
        elapsed_ns: int = event.duration.stop()
        span = event.handler.waiting.start()
        span.stop()
        print(elapsed_ns + event.in_flight)
    event.discard()
    Handler(found=True).emit()
