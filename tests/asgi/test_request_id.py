"""Ids of requests and the context of their log lines."""

from __future__ import annotations

import asyncio
import logging
import uuid
from typing import Any

import pytest

from tachograph.asgi import request_id, stack
from tachograph.logs import current_context
from tachograph.testing import capture_logs

from .conftest import exchange, ok


@pytest.mark.parametrize("given", [b"mine", b"x" * 128, b"a/b:c=1"])
def test_an_id_is_taken_and_echoed(given: bytes) -> None:
    """Printable ASCII up to 128 characters."""
    answer = asyncio.run(exchange(stack(ok, record=None), headers=[(b"x-request-id", given)]))

    assert answer.headers["x-request-id"] == given.decode()


@pytest.mark.parametrize("given", [b"", b"x" * 129, b"a b", b"\xc3\xbc", b"a\tb"])
def test_an_id_that_is_none_is_replaced(given: bytes) -> None:
    """By a UUID of version 4."""
    answer = asyncio.run(exchange(stack(ok, record=None), headers=[(b"x-request-id", given)]))

    assert uuid.UUID(answer.headers["x-request-id"]).version == 4


def test_the_applications_own_header_is_replaced() -> None:
    """A response has one id."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        headers = [(b"X-Request-Id", b"other"), (b"a", b"b")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b""})

    answer = asyncio.run(exchange(stack(app, record=None), headers=[(b"x-request-id", b"mine")]))

    assert answer.headers == {"a": "b", "x-request-id": "mine"}


def test_lines_of_a_request_carry_it() -> None:
    """Id, method and raw path, also from threads; nothing is left afterwards [TL-7]."""
    seen: list[str | None] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(request_id(scope))
        logging.getLogger("x").warning("here")
        await asyncio.to_thread(logging.getLogger("x").warning, "there")
        await ok(scope, receive, send)

    async def main() -> dict[str, Any]:
        await exchange(stack(app, record=None), headers=[(b"x-request-id", b"mine")])
        return dict(current_context())

    with capture_logs() as logs:
        after = asyncio.run(main())

    assert seen == ["mine"]
    assert after == {}
    assert [(line["request_id"], line["method"], line["path"]) for line in logs] == [
        ("mine", "GET", "/items/k")
    ] * 2


def test_outside_a_stack_there_is_no_id() -> None:
    """None, never an error."""
    assert request_id({"type": "http"}) is None
