"""The record of a request."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tachograph as tg
from tachograph.asgi import ErrorKind, Options, stack
from tachograph.errors import DeclarationError
from tachograph.testing import FakeClock, capture_events

from .conftest import IN_FLIGHT, Operation, Request, exchange, ok

OPTIONS = Options(classify=lambda _: Operation.Get)


def status(code: int) -> Any:
    """Return an application that answers with *code*."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": code, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    return app


@pytest.mark.parametrize(
    ("code", "success", "client", "server", "kind"),
    [
        (200, True, False, False, None),
        (304, True, False, False, None),
        (400, True, True, False, "InvalidRequest"),
        (404, True, True, False, "InvalidRequest"),
        (408, True, True, False, "Timeout"),
        (429, True, True, False, "RateLimited"),
        (500, False, False, True, "Internal"),
        (502, False, False, True, "Downstream"),
        (503, False, False, True, "Downstream"),
        (504, False, False, True, "Downstream"),
        (507, False, False, True, "Internal"),
    ],
)
def test_a_status_tells_success_and_kind(
    code: int, success: bool, client: bool, server: bool, kind: str | None
) -> None:
    """A 4xx is the client's doing and no failure (classification of the service reference)."""
    with capture_events() as events:
        asyncio.run(exchange(stack(status(code), record=Request, options=OPTIONS)))
    record = events.one(Request)

    assert record.status_code == str(code)
    assert (record.success, record.client_error, record.server_error) == (success, client, server)
    assert record.error_kind == kind


def test_the_duration_ends_with_the_last_byte() -> None:
    """The record itself waits for background work; `first_byte` is the head's time."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        time.advance(0.01)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        time.advance(0.02)
        await send({"type": "http.response.body", "body": b"a", "more_body": True})
        await send({"type": "http.response.body", "body": b"b"})
        time.advance(5)

    with capture_events() as events, FakeClock() as time:
        asyncio.run(exchange(stack(app, record=Request, options=OPTIONS)))
    record = events.one(Request)

    assert record.first_byte == 10
    assert record.duration == 30


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (
            b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"),
        ),
        (b"00-" + b"0" * 32 + b"-b7ad6b7169203331-01", (None, None)),
        (b"ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", (None, None)),
        (b"garbage", (None, None)),
    ],
)
def test_trace_ids_come_from_traceparent(
    header: bytes, expected: tuple[str | None, str | None]
) -> None:
    """Malformed and all-zero ids are left out (W3C Trace Context)."""
    with capture_events() as events:
        request = exchange(
            stack(ok, record=Request, options=OPTIONS), headers=[(b"traceparent", header)]
        )
        asyncio.run(request)
    record = events.one(Request)

    assert expected == (record.trace_id, record.span_id)


def test_a_class_takes_what_it_declares() -> None:
    """Every fact is optional."""

    class Small(tg.WideEvent):
        status_code: int = 0

    with capture_events() as events:
        asyncio.run(exchange(stack(ok, record=Small)))

    assert events.one(Small).status_code == 200


def test_what_nobody_would_fill_is_said_at_once() -> None:
    """One error lists every field."""

    class Bad(tg.WideEvent):
        operation: Operation
        tenant: str
        error_kind: str = ""

    with pytest.raises(DeclarationError) as caught:
        stack(ok, record=Bad)

    for expected in ("operation: nobody", "tenant: has no default", "error_kind: expected"):
        assert expected in str(caught.value)


def test_an_enum_of_ones_own_for_kinds() -> None:
    """Members are found by name; a missing one is said."""
    with pytest.raises(DeclarationError, match="its enum lacks"):
        stack(ok, record=_with_kinds(Operation))

    assert stack(ok, record=_with_kinds(ErrorKind)) is not ok


def _with_kinds(kinds: Any) -> type[tg.WideEvent]:
    class Own(tg.WideEvent):
        error_kind: kinds | None = None

    return Own


def test_a_cancelled_request_is_recorded() -> None:
    """The server cancels at the end of its drain: Cancelled, status 0 [LC-3, SD-3]."""

    async def hang(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.Event().wait()

    async def main() -> None:
        task = asyncio.create_task(exchange(stack(hang, record=Request, options=OPTIONS)))
        await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.wait([task])

    with capture_events() as events:
        asyncio.run(main())
    record = events.one(Request)

    assert (record.outcome, record.status_code) == ("Cancelled", "0")


START = {"type": "http.response.start", "status": 200, "headers": []}
BODY = {"type": "http.response.body", "body": b"x", "more_body": True}
END = {"type": "http.response.body", "body": b"x"}
ACTS = st.lists(
    st.sampled_from(["start", "body", "end", "receive", "yield", "raise", "cancel", "time out"]),
    max_size=8,
)


@settings(max_examples=3 * settings().max_examples // 2)
@given(ACTS)
def test_whatever_an_application_does_there_is_one_record(acts: list[str]) -> None:
    """Exactly one, emitted once; the gauge comes back to 0 [RQ-15]."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        for act in acts:
            match act:
                case "start":
                    await send(dict(START))
                case "body":
                    await send(dict(BODY))
                case "end":
                    await send(dict(END))
                case "receive":
                    await receive()
                case "yield":
                    await asyncio.sleep(0)
                case "raise":
                    raise ValueError(act)
                case "cancel":
                    raise asyncio.CancelledError
                case _:
                    await asyncio.sleep(0.02)

    options = Options(classify=lambda _: Operation.Get, request_timeout=0.01, body_timeout=0.01)

    async def main() -> None:
        task = asyncio.create_task(exchange(stack(app, record=Request, options=options)))
        await asyncio.wait([task])

    with capture_events() as events:
        asyncio.run(main())

    assert len(events.all(Request)) == 1
    assert IN_FLIGHT.value == 0
