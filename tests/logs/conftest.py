"""A sink that keeps lines, and a pipeline that is closed again."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tachograph.logs import LogPipeline, setup


class Lines:
    """A sink in memory that shows its lines as dictionaries."""

    def __init__(self) -> None:
        self.raw: list[bytes] = []

    def write(self, line: bytes) -> None:
        """Keep the line."""
        self.raw.append(line)

    def flush(self, timeout: float = 5.0) -> bool:
        """Have nothing to do."""
        return True

    def close(self, timeout: float = 5.0) -> bool:
        """Have nothing to do."""
        return True

    def statistics(self) -> Any:
        """Have none."""
        return None

    @property
    def all(self) -> list[dict[str, Any]]:
        """Every line."""
        return [json.loads(line) for line in self.raw]

    @property
    def last(self) -> dict[str, Any]:
        """The latest line."""
        found: dict[str, Any] = json.loads(self.raw[-1])
        return found

    @property
    def messages(self) -> list[str]:
        """The message of every line."""
        return [line["message"] for line in self.all]


@pytest.fixture
def lines() -> Lines:
    """An empty sink."""
    return Lines()


@pytest.fixture
def start(lines: Lines) -> Iterator[Callable[..., LogPipeline]]:
    """Call `setup` with the sink `lines`; what was started is closed at the end."""
    started: list[LogPipeline] = []

    def start(filter: str = "info", **options: Any) -> LogPipeline:
        pipeline = setup(lines, filter=filter, **options)
        started.append(pipeline)
        return pipeline

    yield start
    for pipeline in started:
        pipeline.close()


@pytest.fixture
def pipeline(start: Callable[..., LogPipeline]) -> LogPipeline:
    """A pipeline into `lines` that logs everything from DEBUG."""
    return start("debug")


@pytest.fixture(autouse=True)
def loggers_as_before() -> Iterator[None]:
    """Forget levels, handlers and propagation that a test gave to loggers."""
    root = logging.getLogger()
    before = {logger: _state(logger) for logger in (root, *_loggers())}
    yield
    for logger in (root, *_loggers()):
        level, handlers, propagate = before.get(logger, (logging.NOTSET, [], True))
        logger.setLevel(level)
        logger.handlers[:] = handlers
        logger.propagate = propagate
        logger.disabled = False


def _loggers() -> list[logging.Logger]:
    found = list(logging.root.manager.loggerDict.values())
    return [logger for logger in found if isinstance(logger, logging.Logger)]


def _state(logger: logging.Logger) -> tuple[int, list[logging.Handler], bool]:
    return logger.level, list(logger.handlers), logger.propagate
