"""Outside all layers: health checks, websockets and lifespan."""

from __future__ import annotations

from collections.abc import Sequence

from tachograph.asgi.types import ASGIApp, Receive, Scope, Send
from tachograph.metrics.bridge import watch_running_loop

__all__ = ["Bypass"]


class Bypass:
    """Sends HTTP requests through the layers, except health checks; everything else straight on.

    A probe that counted as traffic would hide the traffic, and one that can be limited kills the
    service under load. The first connection of any kind, the lifespan included, has its loop
    watched, if the runtime is measured: here every server comes by.
    """

    def __init__(self, layers: ASGIApp, app: ASGIApp, paths: Sequence[str]) -> None:
        self._layers = layers
        self._app = app
        self._paths = frozenset(paths)
        self._fresh = True

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if self._fresh:
            self._fresh = False
            watch_running_loop()
        if scope["type"] == "http" and scope["path"] not in self._paths:
            await self._layers(scope, receive, send)
        else:
            await self._app(scope, receive, send)
