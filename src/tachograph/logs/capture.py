"""Observers of log lines, for tests: they see what passes the levels, from every task and thread."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from typing import Any

from tachograph.logs.line import JsonLine

__all__ = ["add_capture", "remove_capture"]

Observer = Callable[[dict[str, Any]], None]


class _CaptureHandler(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.observers: list[Observer] = []
        self.level_before: int | None = None
        self._line = JsonLine({})

    def emit(self, record: logging.LogRecord) -> None:
        line = json.loads(self._line(record))
        for observe in list(self.observers):
            observe(line)


_handler = _CaptureHandler()


def add_capture(observe: Observer) -> None:
    """Give every log line from now on to *observe*, as a dictionary.

    If no logging was set up in this process, the root level becomes INFO for as long.
    """
    root = logging.getLogger()
    if not _handler.observers:
        if not root.handlers and root.level == logging.WARNING:
            _handler.level_before = root.level
            root.setLevel(logging.INFO)
        root.addHandler(_handler)
    _handler.observers.append(observe)


def remove_capture(observe: Observer) -> None:
    """End what `add_capture` began."""
    _handler.observers.remove(observe)
    if not _handler.observers:
        root = logging.getLogger()
        root.removeHandler(_handler)
        if _handler.level_before is not None:
            root.setLevel(_handler.level_before)
            _handler.level_before = None
