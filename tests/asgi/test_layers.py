"""What each layer answers; every status is recorded and carries the request's id [MW-1]."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tachograph.asgi import ErrorKind, Options, RateLimit, set_error_kind, stack
from tachograph.errors import ConfigError
from tachograph.testing import CapturedEvent, FakeClock, capture_events, capture_logs

from .conftest import Answer, Operation, Request, exchange, ok


def run(
    app: Any, request: dict[str, Any] | None = None, **options: Any
) -> tuple[Answer, CapturedEvent]:
    """Send one request through a stack; return the answer and its record."""
    layers = stack(
        app, record=Request, options=Options(classify=lambda _: Operation.Get, **options)
    )
    with capture_events() as events:
        answer = asyncio.run(exchange(layers, **(request or {})))
    return answer, events.one(Request)


def part(size: int, *, more: bool) -> dict[str, Any]:
    """One part of a body."""
    return {"type": "http.request", "body": b"x" * size, "more_body": more}


async def hang(scope: Any, receive: Any, send: Any) -> None:
    """Never answer."""
    await asyncio.Event().wait()


async def untouched(scope: Any, receive: Any, send: Any) -> None:
    """Must not be called."""
    raise AssertionError


def recorded(answer: Answer, record: CapturedEvent, status: int, kind: str | None) -> bool:
    """Whether client and record agree."""
    return (
        answer.status == status
        and record.status_code == str(status)
        and record.error_kind == kind
        and answer.headers["x-request-id"] == record.request_id
    )


def test_an_exception_becomes_a_recorded_500() -> None:
    """Empty body; the server does not see it; one log line with the exception [RQ-11]."""

    async def boom(scope: Any, receive: Any, send: Any) -> None:
        raise ValueError("boom")

    with capture_logs() as logs:
        answer, record = run(boom)

    assert recorded(answer, record, 500, "Internal")
    assert answer.error is None
    assert answer.body == b""
    assert (record.outcome, record.error_type) == ("Error", "ValueError")
    assert [line["exception"]["message"] for line in logs] == ["boom"]
    assert logs[0]["request_id"] == record.request_id


def test_an_exception_after_the_head_goes_on_to_the_server() -> None:
    """The status stays as sent, the outcome is Error, the connection gets closed [MW-5]."""

    async def late(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise ValueError("late")

    answer, record = run(late)

    assert isinstance(answer.error, ValueError)
    assert record.status_code == "200"
    assert record.outcome == "Error"


def test_without_the_layer_the_exception_goes_on() -> None:
    """`catch_errors=False` leaves it to the server; the record says Error."""

    async def boom(scope: Any, receive: Any, send: Any) -> None:
        raise ValueError("boom")

    answer, record = run(boom, catch_errors=False)

    assert isinstance(answer.error, ValueError)
    assert (record.status_code, record.outcome) == ("0", "Error")


def test_a_request_that_takes_too_long_is_cut() -> None:
    """408; the record's duration counts until the cut [RQ-10]."""
    answer, record = run(hang, request_timeout=0.02)

    assert recorded(answer, record, 408, "Timeout")
    assert record.duration >= 20


def test_a_timeout_after_the_head_closes_the_connection() -> None:
    """Nothing can be answered any more."""

    async def stream(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await asyncio.Event().wait()

    answer, record = run(stream, request_timeout=0.02)

    assert isinstance(answer.error, TimeoutError)
    assert record.status_code == "200"
    assert record.error_kind == "Timeout"


def test_a_timeout_of_the_applications_own_is_its_error() -> None:
    """Only the layer's own time-out is a 408."""

    async def own(scope: Any, receive: Any, send: Any) -> None:
        raise TimeoutError("mine")

    answer, record = run(own)

    assert recorded(answer, record, 500, "Internal")


def test_a_body_that_drips_ends() -> None:
    """All waiting together is bounded, not each pause [MW-2]."""
    body = [item for _ in range(50) for item in (0.01, part(1, more=True))]
    answer, record = run(ok, {"body": body}, body_timeout=0.05)

    assert recorded(answer, record, 408, "Timeout")
    assert record.size is None


def test_a_slow_application_does_not_use_up_the_bodys_time() -> None:
    """Only waiting for the client counts."""

    async def slow(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await asyncio.sleep(0.05)
        await ok(scope, receive, send)

    body = [part(1, more=True), part(1, more=False)]
    answer, record = run(slow, {"body": body}, body_timeout=0.03)

    assert recorded(answer, record, 200, None)


def test_a_large_content_length_is_refused_before_reading() -> None:
    """413 without a call of the application [MW-3, RQ-14]."""
    answer, record = run(untouched, {"headers": [(b"content-length", b"2000000")]})

    assert recorded(answer, record, 413, "InvalidRequest")


def test_a_body_is_counted_while_it_comes() -> None:
    """413 as soon as it crosses the limit [MW-4]."""
    body = [part(6, more=True), part(5, more=True), part(1, more=False)]
    answer, record = run(ok, {"body": body}, body_limit=10)

    assert recorded(answer, record, 413, "InvalidRequest")
    assert answer.error is None


def test_a_body_at_the_limit_passes() -> None:
    """The limit itself is allowed."""
    body = [part(6, more=True), part(4, more=False)]
    answer, record = run(ok, {"body": body}, body_limit=10)

    assert answer.body == b"10"
    assert record.size == 10


def test_the_bucket_empties_and_refills() -> None:
    """The burst passes, then as many as refill; the rest get 429 with Retry-After [OP-1]."""

    async def many(layers: Any, count: int) -> list[int]:
        return [(await exchange(layers)).status for _ in range(count)]

    with FakeClock() as time, capture_events() as events:
        limit = RateLimit(burst=20, per_second=10)
        options = Options(rate_limit=limit, classify=lambda _: Operation.Get)
        layers = stack(ok, record=Request, options=options)
        first = asyncio.run(many(layers, 25))
        time.advance(1)
        second = asyncio.run(many(layers, 15))
        refused = asyncio.run(exchange(layers))

    assert first == [200] * 20 + [429] * 5
    assert second == [200] * 10 + [429] * 5
    assert refused.headers["retry-after"] == "1"
    assert events.last.error_kind == "RateLimited"


def test_a_bucket_must_hold_something() -> None:
    """Numbers above 0."""
    with pytest.raises(ConfigError):
        RateLimit(burst=0)
    with pytest.raises(ConfigError):
        RateLimit(per_second=0)


def disconnecting(app: Any, **options: Any) -> tuple[Answer, CapturedEvent, list[dict[str, Any]]]:
    """Send a request whose client goes away while *app* runs."""

    async def main() -> Answer:
        gone = asyncio.Event()
        asyncio.get_running_loop().call_later(0.03, gone.set)
        layers = stack(
            app, record=Request, options=Options(classify=lambda _: Operation.Get, **options)
        )
        return await exchange(layers, disconnect=gone)

    with capture_events() as events, capture_logs() as logs:
        answer = asyncio.run(main())
    return answer, events.one(Request), logs


async def busy(scope: Any, receive: Any, send: Any) -> None:
    """Answer late and never look at the client."""
    await asyncio.sleep(0.08)
    await ok(scope, receive, send)


def test_a_client_that_goes_away_is_noticed() -> None:
    """One record, Cancelled, status 0, though the handler runs to its end [RQ-12]."""
    _, record, logs = disconnecting(busy)

    assert (record.outcome, record.status_code, record.success) == ("Cancelled", "0", False)
    assert [line["message"] for line in logs] == [
        "client disconnected before the response was finished"
    ]


def test_the_handler_can_be_cancelled_then() -> None:
    """By option; the server sees no error."""
    ended: list[str] = []

    async def watched(scope: Any, receive: Any, send: Any) -> None:
        try:
            await asyncio.sleep(5)
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise

    answer, record, _ = disconnecting(watched, cancel_on_disconnect=True)

    assert ended == ["cancelled"]
    assert answer.error is None
    assert record.outcome == "Cancelled"


def test_an_application_that_waits_for_the_client_still_hears_of_it() -> None:
    """Reading ahead takes nothing away from it."""
    seen: list[str] = []

    async def waits(scope: Any, receive: Any, send: Any) -> None:
        for _ in range(3):
            seen.append((await receive())["type"])

    disconnecting(waits)

    assert seen == ["http.request", "http.disconnect", "http.disconnect"]


def test_a_handler_says_what_kind_of_error_it_is() -> None:
    """What was said wins over what the status tells."""

    async def overloaded(scope: Any, receive: Any, send: Any) -> None:
        set_error_kind(scope, ErrorKind.Overloaded)
        await send({"type": "http.response.start", "status": 503, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    answer, record = run(overloaded)

    assert recorded(answer, record, 503, "Overloaded")
