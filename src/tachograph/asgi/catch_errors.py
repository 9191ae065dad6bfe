"""Layer 6: an exception becomes a 500."""

from __future__ import annotations

import logging

from tachograph.asgi.state import KEY, ErrorKind, State, respond
from tachograph.asgi.types import ASGIApp, Receive, Scope, Send

__all__ = ["CatchErrors"]

_logger = logging.getLogger("tachograph.asgi")


class CatchErrors:
    """Logs what the application raises and answers 500 with an empty body.

    Inside the record, so that the 500 is recorded. After the head was sent the exception goes on,
    for only the server can close the connection. Cancellation passes.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        try:
            await self._app(scope, receive, send)
        except Exception as error:
            state: State = scope[KEY]
            if state.answered:
                return  # a layer has answered; the application only noticed that it was cut off
            state.error = error
            if state.status and not state.complete:
                raise
            _logger.exception("unhandled error")
            if state.status:
                return  # the framework has answered already, as Starlette does
            await respond(state, send, 500, ErrorKind.Internal)
