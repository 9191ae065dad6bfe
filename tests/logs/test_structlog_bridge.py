"""structlog on the same path."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from tachograph.logs import LogPipeline, context, get_logger, structlog_config

if TYPE_CHECKING:
    from tests.logs.conftest import Lines

structlog = pytest.importorskip("structlog")


@pytest.fixture(autouse=True)
def configured() -> Iterator[None]:
    """Structlog configured by ours, and as it was afterwards."""
    structlog.configure(**structlog_config())
    yield
    structlog.contextvars.clear_contextvars()
    structlog.reset_defaults()


def without_time(line: dict[str, Any]) -> dict[str, Any]:
    """A line without what differs between two calls."""
    return {name: value for name, value in line.items() if name != "timestamp"}


def test_same_line_as_ours(pipeline: LogPipeline, lines: Lines) -> None:
    """Structlog and our logger write the same line for the same call."""
    for log in (structlog.get_logger("orders"), get_logger("orders")):
        with context(request_id="6f1c"):
            log.bind(a=1).warning("paid %d", 3, order_id=17, name="bob", level="x")
    one, two = map(without_time, lines.all)

    assert list(two.items()) == list(one.items())
    assert 2 == pipeline.statistics().lines


@pytest.mark.usefixtures("pipeline")
class TestLines:
    @pytest.mark.parametrize(
        ("method", "level"),
        [
            ("debug", "DEBUG"),
            ("info", "INFO"),
            ("warning", "WARNING"),
            ("error", "ERROR"),
            ("critical", "CRITICAL"),
            ("fatal", "CRITICAL"),
            ("exception", "ERROR"),
        ],
    )
    def test_levels(self, lines: Lines, method: str, level: str) -> None:
        """A method of structlog logs at the level it stands for."""
        getattr(structlog.get_logger("orders"), method)("x")

        assert level == lines.last["level"]

    def test_both_contexts_are_merged(self, lines: Lines) -> None:
        """A line has structlog's context variables and ours."""
        structlog.contextvars.bind_contextvars(theirs=1)
        with context(ours=2):
            structlog.get_logger("orders").info("x")

        assert (1, 2) == (lines.last["theirs"], lines.last["ours"])

    def test_exceptions_are_structured(self, lines: Lines) -> None:
        """`exception` and `exc_info` give the exception as data, not as text."""
        try:
            raise KeyError("k")
        except KeyError:
            structlog.get_logger("orders").exception("failed")
            structlog.get_logger("orders").info("other", exc_info=ValueError("v"))

        assert ["KeyError", "ValueError"] == [line["exception"]["type"] for line in lines.all]

    def test_name_defaults_to_the_module(self, lines: Lines) -> None:
        """A logger without a name is called like the module that logs."""
        structlog.get_logger().info("x")

        assert __name__ == lines.last["logger"]

    def test_async_methods_arrive(self, lines: Lines) -> None:
        """`ainfo` writes the same line, with the context of the task."""

        async def main() -> None:
            with context(request_id="6f1c"):
                await structlog.get_logger("orders").ainfo("x", a=1)

        asyncio.run(main())
        found = [line for line in lines.all if line["logger"] == "orders"]

        assert [("x", 1, "6f1c")] == [(f["message"], f["a"], f["request_id"]) for f in found]

    def test_stack_on_request(self, lines: Lines) -> None:
        """`stack_info=True` adds the stack of the caller, without structlog's frames."""
        structlog.get_logger("orders").info("x", stack_info=True)

        assert "test_stack_on_request" in lines.last["stack_info"]
        assert "structlog/" not in lines.last["stack_info"]

    def test_own_processors_fit_before_the_last(self, lines: Lines) -> None:
        """A processor of the application, put before the last one, changes the line."""
        config = structlog_config()

        def shout(_logger: Any, _method: str, event: Any) -> Any:
            return {**event, "event": event["event"].upper()}

        config["processors"].insert(-1, shout)
        structlog.configure(**config)
        structlog.get_logger("orders").info("x")

        assert "X" == lines.last["message"]


def test_levels_of_stdlib_apply(start: Callable[..., LogPipeline], lines: Lines) -> None:
    """The filter decides for structlog's lines as well."""
    start("info,orders=error")
    log = structlog.get_logger("orders")
    log.warning("no")
    log.error("yes")

    assert ["yes"] == lines.messages


def test_place_is_the_callers(caplog: pytest.LogCaptureFixture) -> None:
    """Other handlers find the line of the user's call, also for loggers that existed before."""
    logging.getLogger("orders")
    structlog.get_logger("orders").warning("x")

    assert (__file__, "test_place_is_the_callers") == (
        caplog.records[0].pathname,
        caplog.records[0].funcName,
    )


def test_logger_class_of_the_process_stays() -> None:
    """Configuring structlog does not replace the class of stdlib loggers."""
    before = logging.getLoggerClass()
    structlog.configure(**structlog_config())
    structlog.get_logger("orders").info("x")

    assert before is logging.getLoggerClass()


def test_without_structlog_the_error_says_how_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without structlog the error names the extra to install."""
    monkeypatch.setitem(sys.modules, "structlog", None)

    with pytest.raises(ImportError, match=r"pip install 'tachograph\[structlog\]'"):
        structlog_config()
