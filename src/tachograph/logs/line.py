"""One log record as one flat line of JSON.

    {"timestamp":..,"level":"INFO","logger":..,"message":.., globals.., context.., fields..,
     "exception":{..},"_errors":[..],"_truncated":[..]}

Which name wins: a field beats a context field of the same name and stands in its place. The line's
own names and the globals cannot be overwritten: a field called like one of them gets `_` appended
(`level_`), as often as needed. A line is at most 64 KiB; what was cut is named in `_truncated`, a
message that could not be formatted is explained in `_errors`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Mapping
from typing import Any

from tachograph._base.clock import clock
from tachograph.formats.text import double, integer, quote, rfc3339, scalar
from tachograph.logs.context import in_force
from tachograph.logs.exceptions import exception_text, qualified_name
from tachograph.logs.levels import TRACE
from tachograph.logs.record import (
    exception_of,
    fields_of,
    message_of,
    printable,
    unprintable,
)
from tachograph.logs.tally import Tally

__all__ = ["MAX_LINE", "JsonLine", "time_of"]

MAX_LINE = 65_536
"""Longest line in bytes with its newline; globals, which the service chose itself, come on top."""
MAX_MESSAGE = 16_384
"""Longest message, in characters."""
MAX_TEXT = 4_096
"""Longest text of a field, in characters; `formats.text.scalar` cuts at the same length."""
MAX_FIELD = 16_384
"""Longest JSON text of a field that is no text itself, in characters."""
MAX_ITEMS = 256
"""Elements of a list or mapping; `formats.text.scalar` cuts at the same number."""
MAX_NAME = 256
"""Longest name of a field or a logger, in characters."""
_SHORT_MESSAGE = 2_048
_NOTES_BYTES = 2_048

_OWN = ("timestamp", "level", "logger", "message", "exception", "_errors", "_truncated", "_dropped")
_CONSTANTS = {None: "null", True: "true", False: "false"}


class JsonLine:
    """Writes lines for one destination.

    Args:
        names: Properties of every line (`globals`), after the message.
        tally: Where what goes wrong is counted.
    """

    def __init__(self, names: Mapping[str, str], tally: Tally) -> None:
        self._tally = tally
        self._globals = "".join(f",{quote(k)}:{quote(str(v))}" for k, v in names.items())
        self._reserved = frozenset((*_OWN, *names))
        # Text of each name as it stands in a line, for names that need no thought.
        self._names: dict[str, str] = {}

    def encode(self, record: logging.LogRecord) -> bytes:
        """Return the line of *record*, in the context of the caller."""
        notes = _Notes()
        message, problem = message_of(record)
        if problem is not None:
            self._tally.message_errors += 1
            notes.errors.append(problem)
        if len(message) > MAX_MESSAGE:
            message = message[:MAX_MESSAGE]
            notes.truncated.append("message")
        fields = self._fields(record, notes)
        error = exception_of(record)
        exception = "" if error is None else f',"exception":{exception_text(error)}'
        members = "".join(fields.values())
        line = f"{_head(record)}{quote(message)}{self._globals}{members}{exception}"
        if notes.errors or notes.truncated:
            line += notes.text()
        encoded = (line + "}\n").encode()
        if len(encoded) > MAX_LINE + len(self._globals):
            encoded = self._shorter(record, message, fields, exception, notes)
        if notes.truncated:
            self._tally.truncated += 1
        return encoded

    def least(self, record: logging.LogRecord, error: Exception) -> bytes:
        """Return a line that says only that *record* could not be written, and why."""
        why = quote(f"{type(error).__name__}: {printable(error)[:MAX_NAME]}")
        logger = quote(printable(getattr(record, "name", None))[:MAX_NAME])
        line = (
            f'{{"timestamp":"{rfc3339(clock.time_ns())}","level":"ERROR","logger":{logger},'
            f'"message":"a line that could not be written"{self._globals},"_errors":[{why}]}}\n'
        )
        return line.encode()

    def _fields(self, record: logging.LogRecord, notes: _Notes) -> dict[str, str]:
        """Return `,"name":value` by name, context first."""
        fields: dict[Any, Any] = fields_of(record)
        context = in_force()
        if context:
            fields = {**context, **fields}
        names = self._names
        texts: dict[str, str] = {}
        for name, value in fields.items():
            start = names.get(name) if type(name) is str else None
            if start is None:
                written, start = self._name(name, fields, texts)
            else:
                written = name
            kind = type(value)
            if kind is str and len(value) <= MAX_TEXT:
                texts[written] = start + quote(value)
            elif kind is int:
                texts[written] = start + integer(value)
            else:
                texts[written] = start + self._value(written, value, notes)
        return texts

    def _name(
        self, name: object, fields: Mapping[Any, Any], texts: Mapping[str, str]
    ) -> tuple[str, str]:
        """Return under which name a field is written, and the text of that name in the line."""
        plain = name if type(name) is str else printable(name)
        written = plain[:MAX_NAME].encode(errors="replace").decode()
        changed = written is not name and written != name
        while written in self._reserved or (changed and (written in fields or written in texts)):
            written += "_"
            changed = True
        start = f",{quote(written)}:"
        if not changed and type(name) is str and len(self._names) < 1_024:
            self._names[name] = start
        return written, start

    def _value(self, name: str, value: object, notes: _Notes) -> str:
        if value is None or value is True or value is False:
            return _CONSTANTS[value]
        if type(value) is float:
            return "null" if value != value else double(value)  # noqa: PLR0124 -- NaN
        if isinstance(value, BaseException):
            value = f"{qualified_name(type(value))}: {printable(value)}"
        if type(value) is str:
            if len(value) > MAX_TEXT:
                notes.truncated.append(name)
            return quote(value[:MAX_TEXT])
        text = scalar(value)
        if isinstance(value, Mapping | list | tuple | set | frozenset):
            return self._structure(name, value, text, notes)
        if text.endswith('>"') and text == quote(unprintable(value)):
            self._tally.field_errors += 1
        elif len(text) >= MAX_TEXT + 2:
            notes.truncated.append(name)
        return text

    def _structure(self, name: str, value: Collection[object], text: str, notes: _Notes) -> str:
        # An element without text is known by what stands for it; it counts once for the field.
        if '"<unprintable ' in text:
            self._tally.field_errors += 1
        if len(text) > MAX_FIELD:
            notes.truncated.append(name)
            return quote(text[:MAX_TEXT])
        if text[0] in "[{" and len(value) > MAX_ITEMS:
            notes.truncated.append(name)
        return text

    def _shorter(
        self,
        record: logging.LogRecord,
        message: str,
        fields: Mapping[str, str],
        exception: str,
        notes: _Notes,
    ) -> bytes:
        """Return the line with a short message and the fields, first to last, that have room."""
        if len(message) > _SHORT_MESSAGE:
            message = message[:_SHORT_MESSAGE]
            notes.truncated.append("message")
        start = f"{_head(record)}{quote(message)}".encode()
        room = MAX_LINE - _NOTES_BYTES - len(start) - len(exception.encode()) - 2
        kept = []
        for name, text in fields.items():
            encoded = text.encode()
            if len(encoded) <= room:
                kept.append(encoded)
                room -= len(encoded)
            else:
                notes.truncated.append(name)
        end = f"{exception}{notes.text()}}}\n"
        return b"".join((start, self._globals.encode(), *kept, end.encode()))


class _Notes:
    """What a line says about itself."""

    __slots__ = ("errors", "truncated")

    def __init__(self) -> None:
        self.errors: list[str] = []
        self.truncated: list[str] = []

    def text(self) -> str:
        text = ""
        if self.errors:
            text = f',"_errors":[{",".join(quote(error[:MAX_NAME]) for error in self.errors)}]'
        if self.truncated:
            names = list(dict.fromkeys(self.truncated))
            shown = [name[:_SHOWN_LENGTH] for name in names[:_SHOWN_NAMES]]
            if len(names) > _SHOWN_NAMES:
                shown.append(f"and {len(names) - _SHOWN_NAMES} more")
            text += f',"_truncated":[{",".join(map(quote, shown))}]'
        return text


# Together within _NOTES_BYTES for names that people give.
_SHOWN_NAMES = 16
_SHOWN_LENGTH = 48

_levels: dict[str, str] = {}


def _head(record: logging.LogRecord) -> str:
    """Return the start of the line up to where the message follows."""
    level = record.levelname
    level_text = _levels.get(level)
    if level_text is None:
        level_text = quote("TRACE" if record.levelno == TRACE else printable(level)[:MAX_NAME])
        if len(_levels) < MAX_NAME:
            _levels[level] = level_text
    name = record.name
    logger = quote(name[:MAX_NAME] if type(name) is str else printable(name)[:MAX_NAME])
    return f'{{"timestamp":"{time_of(record)}","level":{level_text},"logger":{logger},"message":'


def time_of(record: logging.LogRecord) -> str:
    """Return when *record* was made; now, if a test moved the clock or the record does not know."""
    if clock.time_ns is time.time_ns:
        try:
            # Rounded: the float of a microsecond lies a little above or below it.
            return rfc3339(round(record.created * 1e6) * 1_000)
        except (TypeError, ValueError, OverflowError, OSError):
            pass
    return rfc3339(clock.time_ns())
