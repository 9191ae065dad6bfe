"""A bare ASGI client: messages in, messages out."""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from dataclasses import dataclass, field
from typing import Any

import tachograph as tg
from tachograph.asgi import ErrorKind

Message = MutableMapping[str, Any]
App = Callable[..., Awaitable[None]]


class Operation(enum.Enum):
    Get = "Get"
    Other = "Other"


class Handler(tg.WideEvent, rename="PascalCase"):
    size: int | None = None


IN_FLIGHT = tg.Counter()


class Request(tg.WideEvent, rename="PascalCase"):
    request_id: str
    operation: Operation
    method: str
    path: str
    trace_id: str | None = None
    span_id: str | None = None
    in_flight = tg.gauge(IN_FLIGHT)
    duration = tg.timer(unit=tg.Unit.MILLISECONDS)
    first_byte: float | None = tg.metric(None, unit=tg.Unit.MILLISECONDS)
    success: bool = False
    client_error: bool = False
    server_error: bool = False
    status_code: int = tg.metric(0, as_property=True)
    error_kind: ErrorKind | None = None
    outcome = tg.outcome()
    error_type: str | None = None
    handler: Handler = tg.slot()


@dataclass
class Answer:
    """What a client sees of one request."""

    messages: list[Message] = field(default_factory=list)
    error: BaseException | None = None

    @property
    def status(self) -> int:
        starts = [m["status"] for m in self.messages if m["type"] == "http.response.start"]
        return int(starts[0]) if starts else 0

    @property
    def headers(self) -> dict[str, str]:
        start = next(m for m in self.messages if m["type"] == "http.response.start")
        return {name.decode(): value.decode() for name, value in start["headers"]}

    @property
    def body(self) -> bytes:
        return b"".join(m.get("body", b"") for m in self.messages)


async def exchange(
    app: App,
    *,
    method: str = "GET",
    path: str = "/items/k",
    headers: Iterable[tuple[bytes, bytes]] = (),
    body: Iterable[Message | float] = ({"type": "http.request", "body": b""},),
    disconnect: asyncio.Event | None = None,
) -> Answer:
    """Send one request; *body* holds messages and pauses in seconds between them."""
    answer = Answer()
    left = iter(body)
    gone = disconnect or asyncio.Event()

    async def receive() -> Message:
        for item in left:
            if isinstance(item, float):
                await asyncio.sleep(item)
            else:
                return item
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        answer.messages.append(message)
        if message["type"] == "http.response.body" and not message.get("more_body"):
            gone.set()

    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": list(headers),
    }
    try:
        await app(scope, receive, send)
    except Exception as error:
        answer.error = error
    return answer


async def ok(scope: Any, receive: Any, send: Any) -> None:
    """Answer 200 with the size of the body."""
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        size += len(message.get("body", b""))
        if not message.get("more_body"):
            break
    Handler.current().size = size
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": str(size).encode()})
