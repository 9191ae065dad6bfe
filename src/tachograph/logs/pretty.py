"""A `LogRecord` for a person at a terminal.

    10:00:00.123 INFO  orders.api  stored  key=k size=5
"""

from __future__ import annotations

import logging
import traceback

from tachograph._base.clock import clock
from tachograph.formats.text import rfc3339, scalar
from tachograph.logs.context import in_force
from tachograph.logs.line import fields_of, message_of

__all__ = ["PrettyLine"]

_DIM, _BOLD, _RESET = "\033[2m", "\033[1m", "\033[0m"
_COLOURS = {"DEBUG": "\033[34m", "INFO": "\033[32m", "WARNING": "\033[33m"}
_RED = "\033[31m"
_MAX_VALUE = 200


class PrettyLine:
    """Makes lines with the exception's traceback below them.

    Args:
        colour: Use ANSI colours.
    """

    def __init__(self, *, colour: bool) -> None:
        self._colour = colour

    def __call__(self, record: logging.LogRecord) -> bytes:
        """Return the text of *record*, newline included."""
        level = self._paint(_COLOURS.get(record.levelname, _RED), f"{record.levelname:<8}")
        time = self._paint(_DIM, rfc3339(clock.time_ns())[11:23])
        parts = [f"{time} {level} {self._paint(_DIM, record.name)}  {self._paint(_BOLD, message_of(record))} "]
        for key, value in {**in_force(), **fields_of(record)}.items():
            text = value if isinstance(value, str) and value and " " not in value else scalar(value)
            parts.append(f"{self._paint(_DIM, f'{key}=')}{text[:_MAX_VALUE]}")
        lines = [" ".join(parts).rstrip()]
        if record.exc_info and record.exc_info[1] is not None:
            lines += [f"  {row}" for row in "".join(traceback.format_exception(record.exc_info[1])).splitlines()]
        return ("\n".join(lines) + "\n").encode(errors="replace")

    def _paint(self, colour: str, text: str) -> str:
        return f"{colour}{text}{_RESET}" if self._colour else text
