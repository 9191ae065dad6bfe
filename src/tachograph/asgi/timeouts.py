"""Layers 8 and 9: how long a request may take, and how long its body."""

from __future__ import annotations

import asyncio

from tachograph.asgi.state import KEY, ErrorKind, State, respond
from tachograph.asgi.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["BodyTimeout", "RequestTimeout"]


class RequestTimeout:
    """Cancels the application after *seconds* and answers 408.

    Inside the record, which counts until the cut. After the head was sent nothing can be answered:
    `TimeoutError` goes on and the server closes the connection.
    """

    def __init__(self, app: ASGIApp, seconds: float) -> None:
        self._app = app
        self._seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        limit = asyncio.timeout(self._seconds)
        try:
            async with limit:
                await self._app(scope, receive, send)
        except TimeoutError as error:
            if not limit.expired():
                raise
            state: State = scope[KEY]
            state.error_kind = ErrorKind.Timeout
            state.error = error
            if state.status:
                raise
            await respond(state, send, 408)


class BodyTimeout:
    """Answers 408 when the body was waited for longer than *seconds*, all its parts together.

    Only waiting counts, so an application may take its time between two parts, and a sender that
    drips one byte at a time gains nothing. Inside the total time-out, which bounds the rest.
    """

    def __init__(self, app: ASGIApp, seconds: float) -> None:
        self._app = app
        self._seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        state: State = scope[KEY]
        left = self._seconds
        whole = False

        async def receive_in_time() -> Message:
            nonlocal left, whole
            if whole:
                return await receive()
            if state.answered:
                return {"type": "http.disconnect"}
            loop = asyncio.get_running_loop()
            start = loop.time()
            try:
                async with asyncio.timeout(left):
                    message = await receive()
            except TimeoutError as error:
                if not state.status:
                    state.error = error
                    await respond(state, send, 408, ErrorKind.Timeout)
                return {"type": "http.disconnect"}
            left -= loop.time() - start
            whole = not message.get("more_body", False)
            return message

        await self._app(scope, receive_in_time, send)
