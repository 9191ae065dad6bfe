"""Layer 3: the wide event of the request."""

from __future__ import annotations

from tachograph.asgi.facts import Facts
from tachograph.asgi.state import KEY, State
from tachograph.asgi.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["Recorder"]


class Recorder:
    """Opens a record around the request; it is emitted once, however the request ends.

    The outermost layer that sees a status: whatever makes one sits inside, so every response is
    recorded as the client got it. The duration ends when the last byte was handed to the server,
    the record when the application has returned, its background tasks included.
    """

    def __init__(self, app: ASGIApp, facts: Facts) -> None:
        self._app = app
        self._facts = facts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        facts = self._facts
        state: State = scope[KEY]
        with facts.begin(scope) as record:

            async def send_recorded(message: Message) -> None:
                if state.answered or state.disconnected:
                    await send(message)
                    return
                kind = message["type"]
                if kind == "http.response.start":
                    facts.head_sent(record, message["status"])
                    await send(message)
                else:
                    await send(message)
                    if not message.get("more_body", False):
                        facts.body_sent(record)

            try:
                await self._app(scope, receive, send_recorded)
            finally:
                facts.end(record, state)
