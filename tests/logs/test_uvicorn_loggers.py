"""Uvicorn's lines in the common stream."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from tachograph.logs import LogPipeline

if TYPE_CHECKING:
    from tests.logs.conftest import Lines

uvicorn = pytest.importorskip("uvicorn")
NAMES = ("uvicorn", "uvicorn.error", "uvicorn.access")


async def app(scope: Any, receive: Any, send: Any) -> None:
    """An application that answers nothing."""


def access(status: int) -> None:
    """Log as uvicorn does for one request."""
    args = ("127.0.0.1:5", "GET", "/items/k?a=1", "1.1", status)
    logging.getLogger("uvicorn.access").info('%s - "%s %s HTTP/%s" %d', *args)


def configured() -> list[tuple[int, int, bool]]:
    """Level, number of handlers and propagation of uvicorn's loggers."""
    loggers = map(logging.getLogger, NAMES)
    return [(logger.level, len(logger.handlers), logger.propagate) for logger in loggers]


UVICORNS = [(20, 1, False), (20, 0, True), (20, 1, False)]


@pytest.mark.parametrize("order", ["uvicorn first", "setup first"])
def test_lines_arrive_once_whoever_comes_first(
    start: Callable[..., LogPipeline],
    lines: Lines,
    capsys: pytest.CaptureFixture[str],
    order: str,
) -> None:
    """Uvicorn's lines arrive once and nowhere else, whether its `Config` comes before or after."""
    if order == "uvicorn first":
        uvicorn.Config(app)
        start()
    else:
        start()
        uvicorn.Config(app)
    logging.getLogger("uvicorn.error").info("Started", extra={"color_message": "\x1b[1mStarted"})
    access(200)

    assert ["Started", '127.0.0.1:5 - "GET /items/k?a=1 HTTP/1.1" 200'] == lines.messages
    assert {"timestamp", "level", "logger", "message"} == set(lines.all[0])
    assert ("", "") == capsys.readouterr()


@pytest.mark.parametrize("order", ["uvicorn first", "setup first"])
def test_the_filter_decides(start: Callable[..., LogPipeline], lines: Lines, order: str) -> None:
    """The level INFO that uvicorn sets for itself does not beat the filter."""
    if order == "uvicorn first":
        uvicorn.Config(app)
    start("warning,uvicorn.access=info")
    if order == "setup first":
        uvicorn.Config(app)
    logging.getLogger("uvicorn.error").info("no")
    logging.getLogger("uvicorn.error").warning("yes")
    access(200)

    assert ["yes", '127.0.0.1:5 - "GET /items/k?a=1 HTTP/1.1" 200'] == lines.messages


def test_access_lines_can_be_off(start: Callable[..., LogPipeline], lines: Lines) -> None:
    """`uvicorn.access=off` holds also when uvicorn configures itself afterwards."""
    start("info,uvicorn.access=off")
    uvicorn.Config(app)
    access(500)

    assert [] == lines.raw


@pytest.mark.parametrize("order", ["uvicorn first", "setup first"])
def test_close_gives_back_what_uvicorn_had(start: Callable[..., LogPipeline], order: str) -> None:
    """After closing, uvicorn's loggers are as uvicorn configured them last."""
    if order == "uvicorn first":
        uvicorn.Config(app)
    pipeline = start("debug,uvicorn.access=off")
    if order == "setup first":
        uvicorn.Config(app)
    pipeline.close()

    assert UVICORNS == configured()


def test_handlers_of_the_application_stay(start: Callable[..., LogPipeline]) -> None:
    """A handler or level that the application put on uvicorn's logger is not touched."""
    mine = logging.NullHandler()
    logger = logging.getLogger("uvicorn.access")
    logger.addHandler(mine)
    logger.setLevel(logging.WARNING)
    start()

    assert ([mine], logging.WARNING) == (logger.handlers, logger.level)


def test_no_configuration_of_uvicorn_is_fine(
    start: Callable[..., LogPipeline], lines: Lines
) -> None:
    """With `log_config=None` uvicorn leaves its loggers alone and lines arrive."""
    start()
    uvicorn.Config(app, log_config=None)
    access(204)

    assert 1 == len(lines.raw)


def test_a_real_server_logs_into_the_stream(
    start: Callable[..., LogPipeline], lines: Lines, capfd: pytest.CaptureFixture[str]
) -> None:
    """A server that serves one request writes its start, access and end lines into the stream."""

    async def answer(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})

    class Server(uvicorn.Server):  # type: ignore[name-defined,misc]
        async def startup(self, sockets: Any = None) -> None:
            await super().startup(sockets)
            self.started_event.set()

    async def main() -> None:
        config = uvicorn.Config(answer, host="127.0.0.1", port=0, lifespan="off")
        server = Server(config)
        server.started_event = asyncio.Event()
        serving = asyncio.create_task(server.serve())
        async with asyncio.timeout(10):
            await server.started_event.wait()
            port = server.servers[0].sockets[0].getsockname()[1]
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            await reader.read()
            writer.close()
            server.should_exit = True
            await serving

    start()
    asyncio.run(main())
    found = [line for line in lines.all if line["logger"].startswith("uvicorn")]

    assert 1 == sum('"GET /x HTTP/1.1" 204' in line["message"] for line in found)
    assert any(line["message"].startswith("Uvicorn running on") for line in found)
    assert ("", "") == capfd.readouterr()
