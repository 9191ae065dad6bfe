"""Installing the log path and taking it away again."""

from __future__ import annotations

import io
import logging
import logging.config
import os
import subprocess
import sys
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from tachograph.errors import ConfigError
from tachograph.logs import LogPipeline, get_logger, setup
from tachograph.logs.tally import LogStatistics

if TYPE_CHECKING:
    from tests.logs.conftest import Lines

root = logging.getLogger()


def state() -> tuple[Any, ...]:
    """What `setup` may change in the process."""
    return (
        list(root.handlers),
        root.level,
        warnings.showwarning,
        logging.config.dictConfigClass,
        [
            (name, logger.level, list(logger.handlers), logger.propagate)
            for name, logger in sorted(logging.root.manager.loggerDict.items())
            if isinstance(logger, logging.Logger)
        ],
    )


def test_everything_arrives_in_one_stream(start: Callable[..., LogPipeline], lines: Lines) -> None:
    """Stdlib lines, our lines and warnings come in order, each with the globals."""
    start(globals={"service_name": "orders"})
    logging.getLogger("lib").info("a", extra={"n": 1})
    get_logger("mine").info("b", n=2)
    warnings.simplefilter("always")
    warnings.warn("c", stacklevel=1)
    root.warning("d")

    assert ["a", "b", "c", "d"] == lines.messages
    assert [1, 2, None, None] == [line.get("n") for line in lines.all]
    assert {"orders"} == {line["service_name"] for line in lines.all}
    assert ["lib", "mine", "py.warnings", "root"] == [line["logger"] for line in lines.all]


def test_close_restores_everything(start: Callable[..., LogPipeline]) -> None:
    """Handlers, levels, warnings and configuration hooks are as before; closing twice is fine."""
    for name in ("a.b", "a", "uvicorn", "uvicorn.error", "uvicorn.access", "uvicorn.asgi"):
        logging.getLogger(name)
    logging.getLogger("a.b").setLevel(logging.ERROR)
    logging.getLogger("py.warnings")
    before = state()
    pipeline = start("trace,a=debug,uvicorn=off")
    during = state()
    pipeline.close()
    pipeline.close()

    assert before == state()
    assert before != during


def test_closed_pipeline_writes_nothing(start: Callable[..., LogPipeline], lines: Lines) -> None:
    """After closing, lines go where they went before."""
    with start():
        root.warning("in")
    root.warning("out")

    assert ["in"] == lines.messages


def test_wrong_filter_installs_nothing(start: Callable[..., LogPipeline]) -> None:
    """A filter that is wrong raises before anything is touched."""
    before = state()

    with pytest.raises(ConfigError):
        start("loud")
    assert before == state()


def test_a_second_pipeline_is_refused(start: Callable[..., LogPipeline], lines: Lines) -> None:
    """There is one pipeline in a process; after it is closed there may be another."""
    first = start()

    with pytest.raises(RuntimeError, match="Close that pipeline first"):
        setup(lines)
    first.close()
    start()
    root.warning("x")
    assert ["x"] == lines.messages


def test_handlers_of_the_application_stay(start: Callable[..., LogPipeline], lines: Lines) -> None:
    """A handler that was there before gets every record too, and `basicConfig` adds none later."""
    stream = io.StringIO()
    theirs = logging.StreamHandler(stream)
    root.addHandler(theirs)
    pipeline = start()
    logging.basicConfig(stream=stream)
    root.warning("x")
    pipeline.close()
    root.warning("y")

    assert "x\ny\n" == stream.getvalue()
    assert ["x"] == lines.messages


def test_caplog_works_beside(
    start: Callable[..., LogPipeline], lines: Lines, caplog: pytest.LogCaptureFixture
) -> None:
    """Pytest's `caplog` sees records and may change levels for a while."""
    start()
    with caplog.at_level(logging.DEBUG):
        get_logger("orders").debug("seen", a=1)
    get_logger("orders").debug("not seen")

    assert [("orders", logging.DEBUG, "seen")] == caplog.record_tuples
    assert ["seen"] == lines.messages


def test_later_level_of_the_application_stays(start: Callable[..., LogPipeline]) -> None:
    """A level set after `setup` holds, also after closing."""
    pipeline = start("info,orders=debug")
    logging.getLogger("orders").setLevel(logging.ERROR)
    root.setLevel(logging.CRITICAL)
    pipeline.close()

    assert [logging.ERROR, logging.CRITICAL] == [logging.getLogger("orders").level, root.level]


def test_dict_config_does_not_lose_the_stream(
    start: Callable[..., LogPipeline], lines: Lines
) -> None:
    """A later `dictConfig` that replaces root handlers does what it says; our handler stays."""
    pipeline = start()
    config = {
        "version": 1,
        "disable_existing_loggers": False,
        "handlers": {"theirs": {"class": "logging.NullHandler"}},
        "root": {"level": "DEBUG", "handlers": ["theirs"]},
    }
    logging.config.dictConfig(config)
    root.debug("x")
    kinds = [type(handler) for handler in root.handlers]
    pipeline.close()
    logging.config.dictConfig(config)

    assert ["x"] == lines.messages
    assert [logging.NullHandler, type(pipeline._bridge)] == kinds
    assert [logging.NullHandler] == [type(handler) for handler in root.handlers]


def test_wrong_dict_config_raises_as_always(
    start: Callable[..., LogPipeline], lines: Lines
) -> None:
    """A `dictConfig` that fails raises its own error and the stream goes on."""
    start()

    with pytest.raises(ValueError, match="Unable to configure"):
        logging.config.dictConfig(
            {"version": 1, "disable_existing_loggers": False, "root": {"handlers": ["none"]}}
        )
    root.warning("x")
    assert ["x"] == lines.messages


def test_shutdown_of_logging_does_not_silence(
    start: Callable[..., LogPipeline], lines: Lines
) -> None:
    """`logging.shutdown`, which may run before other exit functions, does not end the stream."""
    start()
    logging.shutdown([])
    for handler in root.handlers:
        handler.flush()
    root.handlers[-1].close()
    root.warning("x")

    assert ["x"] == lines.messages


def test_pretty_lines(
    start: Callable[..., LogPipeline], lines: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`pretty` writes text for a person, without colour where stderr is no terminal."""
    monkeypatch.setattr("sys.stderr", io.StringIO())
    start(pretty=True, globals={"service_name": "orders"})
    get_logger("orders").info("stored", key="k")

    assert lines.raw[0][12:] == b" INFO  orders           stored                           key=k\n"


def test_statistics_start_at_zero(start: Callable[..., LogPipeline]) -> None:
    """A new pipeline has counted nothing and knows its filter."""
    pipeline = start("warning,orders=off")

    assert LogStatistics(0, 0, 0, 0, 0, 0) == pipeline.statistics()
    assert "warning,orders=off" == str(pipeline.directives)


PROGRAM = """
import atexit, logging, os, sys
from tachograph import logs

class Out:
    def write(self, line):
        os.write(1, line)

logs.setup(Out())
atexit.register(logging.getLogger("late").warning, "at exit")
pid = os.fork()
logging.getLogger("both").warning("pid")
if pid:
    os.waitpid(pid, 0)
"""


@pytest.mark.slow
def test_lines_after_fork_and_at_exit() -> None:
    """A forked child logs on, and so do exit functions."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PROGRAM],
        capture_output=True,
        timeout=30,
        check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )

    assert 4 == done.stdout.count(b"\n")
    assert (2, 2, b"") == (
        done.stdout.count(b'"pid"'),
        done.stdout.count(b'"at exit"'),
        done.stderr,
    )
