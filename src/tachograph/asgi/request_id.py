"""Layer 1: the request's id, taken from the client or made, and echoed."""

from __future__ import annotations

from tachograph._base.ids import new_request_id
from tachograph.asgi.state import KEY, State
from tachograph.asgi.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["RequestId"]

_HEADER = b"x-request-id"
_MAX_LENGTH = 128


class RequestId:
    """Gives a request its id and its state.

    Outermost, so that everything inside has an id and every response that a layer makes carries it.
    An id that is longer than 128 bytes or not printable ASCII is replaced by a new UUID 4.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        state = scope[KEY] = State(_taken(scope) or new_request_id())
        echoed = (_HEADER, state.request_id.encode("ascii"))

        async def send_with_id(message: Message) -> None:
            if state.answered:
                return  # a layer has answered; what the application says now comes too late
            kind = message["type"]
            if kind == "http.response.start":
                headers = [h for h in message.get("headers", ()) if h[0].lower() != _HEADER]
                headers.append(echoed)
                message = {**message, "headers": headers}
                state.status = message["status"]
            await send(message)
            if kind != "http.response.start" and not message.get("more_body", False):
                state.complete = kind in ("http.response.body", "http.response.pathsend")

        await self._app(scope, receive, send_with_id)


def _taken(scope: Scope) -> str | None:
    for name, value in scope["headers"]:
        if name == _HEADER:
            if 0 < len(value) <= _MAX_LENGTH and all(0x21 <= byte <= 0x7E for byte in value):
                return str(value, "ascii")
            return None
    return None
