"""Layer 2: id, method and path on every log line of the request."""

from __future__ import annotations

from tachograph.asgi.state import KEY
from tachograph.asgi.types import ASGIApp, Receive, Scope, Send
from tachograph.logs import bind_context, reset_context

__all__ = ["LogContext", "raw_path"]


def raw_path(scope: Scope) -> str:
    """Return the path as the client sent it, without the query."""
    raw: bytes | None = scope.get("raw_path")
    return scope["path"] if raw is None else str(raw, "latin-1")


class LogContext:
    """Binds `request_id`, `method` and `path` for what is logged inside.

    Around the record, so that a warning about the record carries them too. Writes no line itself:
    the record has status and latency.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        token = bind_context(
            request_id=scope[KEY].request_id, method=scope["method"], path=raw_path(scope)
        )
        try:
            await self._app(scope, receive, send)
        finally:
            reset_context(token)
