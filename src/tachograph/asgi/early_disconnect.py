"""Layer 7: clients that go away before their answer."""

from __future__ import annotations

import asyncio
import logging
from collections import deque

from tachograph.asgi.state import KEY, State
from tachograph.asgi.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["EarlyDisconnect"]

_logger = logging.getLogger("tachograph.asgi")
_WATCH_AFTER_S = 0.02


class EarlyDisconnect:
    """Notices `http.disconnect` while the handler runs, which no server tells it.

    It owns `receive` and reads at most one part of the body ahead of the application. Reading ahead
    starts after 20 ms, so that a quick request pays for a timer only; before that a disconnect is
    seen when the application reads. Outside the time-outs, whose 408 is not the client's doing.

    Args:
        app: What is inside.
        cancel: Cancel the handler when the client goes.
    """

    def __init__(self, app: ASGIApp, *, cancel: bool) -> None:
        self._app = app
        self._cancel = cancel

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        handler = asyncio.current_task() if self._cancel else None
        watch = _Watch(scope[KEY], receive, handler)
        timer = asyncio.get_running_loop().call_later(_WATCH_AFTER_S, watch.begin)
        try:
            await self._app(scope, watch.receive, send)
        except asyncio.CancelledError:
            if not watch.cancelled_handler or handler is None or handler.uncancel() > 0:
                raise
        finally:
            timer.cancel()
            watch.end()


class _Watch:
    """Reads from the server for the application, and ahead of it once it has begun."""

    def __init__(
        self, state: State, receive: Receive, handler: asyncio.Task[object] | None
    ) -> None:
        self._state = state
        self._receive = receive
        self._handler = handler
        self._ahead: deque[Message] = deque()
        self._read: asyncio.Task[Message] | None = None
        self._begun = False
        self._application_reads = False
        self._gone: Message | None = None
        self.cancelled_handler = False

    async def receive(self) -> Message:
        """What the application calls."""
        while not self._ahead:
            if self._gone is not None:
                return self._gone
            if self._read is None:
                return await self._receive_now()
            await asyncio.wait([self._read])
        message = self._ahead.popleft()
        self._look()
        return message

    async def _receive_now(self) -> Message:
        self._application_reads = True
        try:
            message = await self._receive()
        finally:
            self._application_reads = False
        self._note(message)
        self._look()
        return message

    def begin(self) -> None:
        """Read ahead from now on."""
        self._begun = True
        self._look()

    def end(self) -> None:
        """Stop reading ahead: the request is over."""
        self._begun = False
        if self._read is not None:
            self._read.cancel()

    def _look(self) -> None:
        if (
            self._begun
            and self._read is None
            and self._gone is None
            and not self._application_reads
            and not self._state.complete
        ):
            self._read = asyncio.ensure_future(self._receive())
            self._read.add_done_callback(self._arrived)

    def _arrived(self, read: asyncio.Task[Message]) -> None:
        self._read = None
        if read.cancelled() or read.exception() is not None:
            return
        message = read.result()
        self._note(message)
        if self._gone is None:
            self._ahead.append(message)
            if not message.get("more_body", False):
                self._look()

    def _note(self, message: Message) -> None:
        if message["type"] != "http.disconnect" or self._gone is not None:
            return
        self._gone = message
        if self._state.complete:
            return
        if not self._state.status:
            self._state.disconnected = True
        _logger.warning("client disconnected before the response was finished")
        if self._handler is not None:
            self.cancelled_handler = True
            self._handler.cancel()
