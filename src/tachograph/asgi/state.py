"""What the middlewares of one request tell each other."""

from __future__ import annotations

import enum
from collections.abc import Sequence

from tachograph.asgi.types import Scope, Send

__all__ = ["KEY", "ErrorKind", "State", "request_id", "respond", "set_error_kind"]

KEY = "tachograph"
"""Where a request's state is in its scope."""


class ErrorKind(enum.Enum):
    """Who is to blame for a response that is no success; emitted by the member's name."""

    Timeout = "Timeout"
    Downstream = "Downstream"
    InvalidRequest = "InvalidRequest"
    Internal = "Internal"
    RateLimited = "RateLimited"
    Overloaded = "Overloaded"


class State:
    """One request's state.

    Attributes:
        request_id: Taken from the request or made.
        status: Of the response; 0 until its head was sent.
        complete: Whether the last byte of the response was handed to the server.
        answered: Whether a middleware answered in the application's place; what the application
            still sends is left out.
        disconnected: Whether the client went away before the response started.
        error_kind: Set by a layer or a handler; else derived from the status.
        error: The exception that became a response.
        task_id: The recorder's id of the request's task; None where nothing is recorded.
        trace_segment: The process and number of the segment in which the request began.
    """

    __slots__ = (
        "answered",
        "complete",
        "disconnected",
        "error",
        "error_kind",
        "request_id",
        "status",
        "task_id",
        "trace_segment",
    )

    def __init__(self, request_id: str) -> None:
        self.request_id = request_id
        self.status = 0
        self.complete = False
        self.answered = False
        self.disconnected = False
        self.error_kind: ErrorKind | None = None
        self.error: BaseException | None = None
        self.task_id: int | None = None
        self.trace_segment: str | None = None


def set_error_kind(scope: Scope, kind: ErrorKind) -> None:
    """Say what kind of error the response of this request is; wins over what its status tells.

    Does nothing where no stack is around the application.
    """
    state: State | None = scope.get(KEY)
    if state is not None:
        state.error_kind = kind


def request_id(scope: Scope) -> str | None:
    """Return the id of this request, None where no stack is around the application."""
    state: State | None = scope.get(KEY)
    return None if state is None else state.request_id


async def respond(
    state: State,
    send: Send,
    status: int,
    kind: ErrorKind | None = None,
    headers: Sequence[tuple[bytes, bytes]] = (),
) -> None:
    """Answer with an empty body in the application's place. The response must not have started."""
    state.error_kind = state.error_kind or kind
    await send(
        {
            "type": "http.response.start",
            "status": status,
            "headers": [(b"content-length", b"0"), *headers],
        }
    )
    await send({"type": "http.response.body", "body": b"", "more_body": False})
    state.answered = True
