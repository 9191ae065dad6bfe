"""Log lines for a person at a terminal: time, level, logger, message, then fields.

    10:00:00.123 INFO  orders.api       listening                        addr=127.0.0.1:3000
    10:00:01.007 ERROR orders.store     write failed                     key=a request_id=6f1c
        Traceback (most recent call last):
          ...

What tells a line from its neighbour is bright, what repeats is dim. Control characters are shown
escaped, so that logged data cannot move the cursor. Globals are left out.
"""

from __future__ import annotations

import logging
import os
import re
import sys
import traceback
from typing import Any, TextIO

from tachograph.formats.text import quote, scalar
from tachograph.logs.context import in_force
from tachograph.logs.line import time_of
from tachograph.logs.record import exception_of, fields_of, message_of, printable, unprintable
from tachograph.logs.tally import Tally

__all__ = ["PrettyLine", "is_colour_wanted"]

MAX_MESSAGE = 4_096
MAX_VALUE = 200
MAX_TRACEBACK_LINES = 120
_LOGGER_WIDTH = 16
_MESSAGE_WIDTH = 32
_INDENT = "    "

_DIM, _BOLD, _RED, _CYAN = "\033[2m", "\033[1m", "\033[31m", "\033[36m"
_RESET = "\033[0m"
_LEVELS: tuple[tuple[int, str, str], ...] = (
    (logging.CRITICAL, "CRIT ", "\033[1;97;41m"),
    (logging.ERROR, "ERROR", "\033[1;31m"),
    (logging.WARNING, "WARN ", "\033[1;33m"),
    (logging.INFO, "INFO ", "\033[32m"),
    (logging.DEBUG, "DEBUG", "\033[34m"),
)
_LOWEST = ("TRACE", _DIM)
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_GROUP_BARS = re.compile(r"^ *[|+] (?!-)")
_PLAIN = re.compile(r"[^\s\"=]+")


def is_colour_wanted(stream: TextIO | None = None) -> bool:
    """Tell whether *stream* (default stderr) is a terminal and nobody asked for no colour.

    `NO_COLOR` set to anything (https://no-color.org) or `TERM=dumb` ask for none.
    """
    stream = sys.stderr if stream is None else stream
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return False
    if stream is None:  # a process without standard error
        return False
    try:
        return stream.isatty()
    except ValueError:  # a closed one
        return False


class PrettyLine:
    """Writes lines for a terminal.

    Args:
        tally: Where what goes wrong is counted.
        colour: Write ANSI colours.
    """

    def __init__(self, tally: Tally, *, colour: bool = False) -> None:
        self._tally = tally
        self._colour = colour

    def encode(self, record: logging.LogRecord) -> bytes:
        """Return the line of *record*; further lines of it and its exception follow, indented."""
        message, problem = message_of(record)
        if problem is not None:
            self._tally.message_errors += 1
        if len(message) > MAX_MESSAGE:
            self._tally.truncated += 1
            message = f"{message[:MAX_MESSAGE]}…"
        first, *further = _visible(message).split("\n")
        fields = fields_of(record)
        stack = fields.pop("stack_info", None) if record.stack_info else None
        shown = [self._field(name, value) for name, value in fields.items()]
        context = in_force()
        shown += [
            self._paint(_DIM, f"{_visible(name)}={self._text(value)}")
            for name, value in context.items()
            if name not in fields
        ]
        lines = [self._first(record, first, " ".join(shown))]
        lines += [f"{_INDENT}{line}" for line in further]
        if problem is not None:
            lines.append(_INDENT + self._paint(_RED, _visible(problem)))
        if stack:
            lines += [_INDENT + self._paint(_DIM, line) for line in _visible(stack).split("\n")]
        lines += self._traceback(record)
        return ("\n".join(lines) + "\n").encode(errors="replace")

    def least(self, record: logging.LogRecord, error: Exception) -> bytes:
        """Return a line that says only that *record* could not be written, and why."""
        what = f"{printable(getattr(record, 'name', None))}: a line that could not be written"
        text = f"{what} ({type(error).__name__}: {printable(error)})"
        return f"{_visible(text[:MAX_MESSAGE])}\n".encode(errors="replace")

    def _first(self, record: logging.LogRecord, message: str, fields: str) -> str:
        name, colour = _level(record.levelno)
        logger = _visible(printable(record.name))
        if len(logger) > _LOGGER_WIDTH:
            logger = f"…{logger[1 - _LOGGER_WIDTH :]}"
        parts = (
            self._paint(_DIM, time_of(record)[11:23]),
            self._paint(colour, name),
            self._paint(_DIM, logger.ljust(_LOGGER_WIDTH)),
            self._paint(_BOLD, message.ljust(_MESSAGE_WIDTH) if fields else message),
        )
        return f"{' '.join(parts)} {fields}" if fields else " ".join(parts)

    def _field(self, name: object, value: Any) -> str:
        label = self._paint(_DIM, f"{_visible(printable(name))}=")
        text = self._text(value)
        return label + (self._paint(_CYAN, text) if isinstance(value, int | float) else text)

    def _text(self, value: object) -> str:
        if isinstance(value, BaseException):
            value = f"{type(value).__qualname__}: {printable(value)}"
        if isinstance(value, str):
            text = str.__str__(value)
        else:
            literal = scalar(value)
            if literal == quote(unprintable(value)):
                self._tally.field_errors += 1
            text = literal[1:-1] if literal.startswith('"') else literal
        if len(text) > MAX_VALUE:
            text = f"{text[:MAX_VALUE]}…"
        if isinstance(value, str) and not _PLAIN.fullmatch(text):
            text = quote(text)
        return _visible(text).replace("\n", "\\n")

    def _traceback(self, record: logging.LogRecord) -> list[str]:
        error = exception_of(record)
        if error is None:
            return []
        text = "".join(traceback.TracebackException.from_exception(error).format())
        lines = _visible(text.rstrip("\n")).split("\n")
        if len(lines) > MAX_TRACEBACK_LINES:
            half = MAX_TRACEBACK_LINES // 2
            left_out = f"... {len(lines) - 2 * half} lines left out ..."
            lines = [*lines[:half], left_out, *lines[-half:]]
        return [_INDENT + self._paint(_line_colour(line), line) if line else "" for line in lines]

    def _paint(self, colour: str, text: str) -> str:
        return f"{colour}{text}{_RESET}" if self._colour and colour else text


def _level(number: int) -> tuple[str, str]:
    for lowest, name, colour in _LEVELS:
        if number >= lowest:
            return name, colour
    return _LOWEST


def _line_colour(line: str) -> str:
    """Return the colour of a line of a traceback: places dim, code plain, exceptions red."""
    text = _GROUP_BARS.sub("", line)
    bare = text.lstrip()
    if not bare or bare.startswith(
        ("File ", "Traceback (", "Exception Group Traceback", "+-", "...")
    ):
        return _DIM
    return "" if text.startswith("  ") else _RED


def _visible(text: str) -> str:
    """Return *text* with control characters escaped; tabs and newlines stay."""
    return _CONTROL.sub(lambda found: ascii(found.group())[1:-1], text)
