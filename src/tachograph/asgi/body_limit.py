"""Layer 10: how large a request's body may be."""

from __future__ import annotations

from tachograph.asgi.state import KEY, ErrorKind, State, respond
from tachograph.asgi.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["BodyLimit"]


class BodyLimit:
    """Answers 413 to a body of more than *limit* bytes, before anything buffers it.

    By `Content-Length` without reading a byte, else while counting; then the application sees a
    disconnect. Innermost, so that nothing inside but the application reads the body.
    """

    def __init__(self, app: ASGIApp, limit: int) -> None:
        self._app = app
        self._limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        state: State = scope[KEY]
        if _content_length(scope) > self._limit:
            await respond(state, send, 413, ErrorKind.InvalidRequest)
            return
        size = 0

        async def receive_counted() -> Message:
            nonlocal size
            if state.answered:
                return {"type": "http.disconnect"}
            message = await receive()
            size += len(message.get("body", b""))
            if size > self._limit:
                if not state.status:
                    await respond(state, send, 413, ErrorKind.InvalidRequest)
                return {"type": "http.disconnect"}
            return message

        await self._app(scope, receive_counted, send)


def _content_length(scope: Scope) -> int:
    for name, value in scope["headers"]:
        if name == b"content-length":
            return int(value) if value.isdigit() else 0
    return 0
