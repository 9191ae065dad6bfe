"""The stack as a whole: order, what goes around it, and frameworks inside it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest

import tachograph as tg
from tachograph import asgi
from tachograph.asgi import ORDER, Options, stack
from tachograph.errors import ConfigError
from tachograph.testing import capture_events

from .conftest import Handler, Operation, Request, exchange, ok

OPTIONS = Options(classify=lambda _: Operation.Get)


def test_the_layers_stand_in_the_one_right_order() -> None:
    """Id and context outside the record, everything that makes a status inside [service 5]."""
    options = Options(classify=lambda _: Operation.Get, rate_limit=asgi.RateLimit())
    layer: Any = stack(ok, record=Request, options=options)._layers  # type: ignore[attr-defined]
    found = []
    while layer is not ok:
        found.append(type(layer))
        layer = layer._app

    assert tuple(found) == ORDER
    assert [cls.__name__ for cls in ORDER] == [
        "RequestId",
        "LogContext",
        "Recorder",
        "RateLimiter",
        "CatchErrors",
        "EarlyDisconnect",
        "RequestTimeout",
        "BodyTimeout",
        "BodyLimit",
    ]
    assert all(cls.__doc__ for cls in ORDER)


def test_layers_that_are_off_are_not_there() -> None:
    """None and False leave a layer out."""
    options = Options(
        request_timeout=None,
        body_timeout=None,
        body_limit=None,
        catch_errors=False,
        early_disconnect=False,
    )
    layers: Any = stack(ok, record=None, options=options)

    assert layers._layers._app._app is ok


def test_health_is_outside_all_of_it() -> None:
    """No record, no id, no limit [RQ-6]."""
    with capture_events() as events:
        answer = asyncio.run(exchange(stack(ok, record=Request, options=OPTIONS), path="/health"))

    assert answer.status == 200
    assert "x-request-id" not in answer.headers
    assert len(events) == 0


@pytest.mark.parametrize("kind", ["websocket", "lifespan"])
def test_other_scopes_go_straight_on(kind: str) -> None:
    """Websockets and lifespan are untouched and leave no record."""
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append((scope, receive, send))

    scope = {"type": kind, "path": "/ws"}
    with capture_events() as events:
        asyncio.run(stack(app, record=Request, options=OPTIONS)(scope, ok, ok))  # type: ignore[arg-type]

    assert seen == [({"type": kind, "path": "/ws"}, ok, ok)]
    assert len(events) == 0


def test_bad_options_are_all_said() -> None:
    """One error lists them."""
    with pytest.raises(ConfigError) as caught:
        Options(
            request_timeout=0,
            body_timeout=-1,
            body_limit=-1,
            early_disconnect=False,
            cancel_on_disconnect=True,
            health_paths=("health",),
        )

    for name in (
        "request_timeout",
        "body_timeout",
        "body_limit",
        "cancel_on_disconnect",
        "health_paths",
    ):
        assert name in str(caught.value)


def starlette_app() -> Any:
    """An application of Starlette."""
    from starlette.applications import Starlette
    from starlette.background import BackgroundTask
    from starlette.requests import Request as Incoming
    from starlette.responses import PlainTextResponse, StreamingResponse
    from starlette.routing import Route

    async def echo(request: Incoming) -> PlainTextResponse:
        body = await request.body()
        Handler.current().size = len(body)
        return PlainTextResponse(body, background=BackgroundTask(asyncio.sleep, 0))

    async def stream(request: Incoming) -> StreamingResponse:
        async def parts() -> Any:
            for part in ("a", "b", "c"):
                yield part

        return StreamingResponse(parts())

    async def boom(request: Incoming) -> PlainTextResponse:
        raise ValueError("boom")

    return Starlette(
        routes=[
            Route("/echo", echo, methods=["POST"]),
            Route("/stream", stream),
            Route("/boom", boom),
        ]
    )


def fastapi_app() -> Any:
    """The same of FastAPI."""
    from fastapi import FastAPI
    from fastapi import Request as Incoming
    from fastapi.responses import PlainTextResponse, StreamingResponse

    app = FastAPI()

    async def echo(request: Incoming) -> PlainTextResponse:
        body = await request.body()
        Handler.current().size = len(body)
        return PlainTextResponse(body)

    async def stream() -> StreamingResponse:
        return StreamingResponse(iter(["a", "b", "c"]))

    async def boom() -> None:
        raise ValueError("boom")

    echo.__annotations__["request"] = Incoming
    app.post("/echo", response_model=None)(echo)
    app.get("/stream", response_model=None)(stream)
    app.get("/boom")(boom)
    return app


def litestar_app() -> Any:
    """The same of Litestar."""
    import litestar
    from litestar.response import Stream

    async def echo(request: litestar.Request) -> str:  # type: ignore[type-arg]
        body = await request.body()
        Handler.current().size = len(body)
        return body.decode()

    async def stream() -> Stream:
        return Stream(iter(["a", "b", "c"]))

    async def boom() -> None:
        raise ValueError("boom")

    echo.__annotations__ = {"request": litestar.Request, "return": str}
    stream.__annotations__ = {"return": Stream}
    boom.__annotations__ = {"return": None}
    return litestar.Litestar(
        [
            litestar.post("/echo", status_code=200, media_type="text/plain")(echo),
            litestar.get("/stream")(stream),
            litestar.get("/boom")(boom),
        ],
        openapi_config=None,
        logging_config=None,
    )


@pytest.mark.parametrize("make", [starlette_app, fastapi_app, litestar_app])
def test_frameworks(make: Any) -> None:
    """Bodies, streams, errors and limits are the same in each."""
    layers = stack(
        make(), record=Request, options=Options(classify=lambda _: Operation.Get, body_limit=100)
    )

    async def main() -> list[httpx.Response]:
        transport = httpx.ASGITransport(layers, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://t") as client:

            async def chunks() -> Any:
                for _ in range(3):
                    yield b"x" * 50

            return [
                await client.post("/echo", content=b"hello"),
                await client.get("/stream"),
                await client.get("/boom"),
                await client.get("/nowhere"),
                await client.post("/echo", content=b"x" * 101),
                await client.post("/echo", content=chunks()),
            ]

    with capture_events() as events:
        answers = asyncio.run(main())
    records = events.all(Request)

    assert [answer.status_code for answer in answers] == [200, 200, 500, 404, 413, 413]
    assert [record.status_code for record in records] == ["200", "200", "500", "404", "413", "413"]
    assert [answer.headers["x-request-id"] for answer in answers] == [
        record.request_id for record in records
    ]
    assert answers[0].text == "hello"
    assert answers[1].text == "abc"
    assert records[0].size == 5


def test_the_loop_of_the_first_connection_is_watched(tmp_path: Path) -> None:
    """Where the runtime is measured, the lifespan or the first request brings its loop along."""

    async def lifespan(scope: Any, receive: Any, send: Any) -> None:
        return None

    async def main(guard: tg.TelemetryGuard) -> list[int]:
        app = stack(lifespan, record=Request, options=OPTIONS)
        counts = [guard.statistics()["runtime"]["loops"]]
        for _ in range(2):
            await app({"type": "lifespan"}, None, None)  # type: ignore[arg-type]
            counts.append(guard.statistics()["runtime"]["loops"])
        return counts

    config = tg.TelemetryConfig(service="x", telemetry_dir=tmp_path, runtime=tg.RuntimeConfig())
    with tg.init_telemetry(config) as guard:
        assert [0, 1, 1] == asyncio.run(main(guard))
