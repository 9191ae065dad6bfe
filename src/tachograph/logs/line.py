"""A `LogRecord` as one line of flat JSON.

    {"timestamp":T,"level":"INFO","logger":…,"message":…, globals, context, fields, "exception":{…}}

No key appears twice: a field wins over the context, the context over the globals. A field that is
named like one of the five fixed keys gets `_` appended.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from typing import Any

from tachograph._base.clock import clock
from tachograph.formats.text import quote, rfc3339, scalar
from tachograph.logs.context import in_force
from tachograph.logs.exceptions import described
from tachograph.logs.logger import FIELDS

__all__ = ["JsonLine", "fields_of", "message_of"]

_FIXED = frozenset(("timestamp", "level", "logger", "message", "exception"))
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", FIELDS}
_MAX_MESSAGE = 32_768
_MAX_LINE = 262_144
_DEPTH = 24


class JsonLine:
    """Makes lines; called on the logging thread.

    Args:
        globals: Properties of every line, in this order.
    """

    def __init__(self, globals: Mapping[str, object]) -> None:
        self._globals = {key: scalar(value) for key, value in globals.items()}

    def __call__(self, record: logging.LogRecord) -> bytes:
        """Return the line of *record*, newline included."""
        message = message_of(record)
        cut = len(message) > _MAX_MESSAGE
        members = {
            "timestamp": f'"{rfc3339(clock.time_ns())}"',
            "level": quote(record.levelname),
            "logger": quote(record.name),
            "message": quote(message[:_MAX_MESSAGE]),
        }
        head = dict(members)
        rest = dict(self._globals)
        for source in (in_force(), fields_of(record)):
            for key, value in source.items():
                name = f"{key}_" if key in _FIXED else str(key)
                rest.pop(name, None)  # the later one, in the later place
                rest[name] = scalar(value)
        members |= rest
        if record.exc_info and record.exc_info[1] is not None:
            members["exception"] = scalar(described(record.exc_info[1]), depth=_DEPTH)
        if record.stack_info:
            members["stack"] = scalar(record.stack_info)
        if cut:
            members["_truncated"] = '["message"]'
        line = _joined(members)
        if len(line) > _MAX_LINE:
            line = _joined({**head, "_truncated": '["fields"]'})
        return line


def _joined(members: Mapping[str, str]) -> bytes:
    text = ",".join(f"{quote(key)}:{value}" for key, value in members.items())
    return f"{{{text}}}\n".encode()


def message_of(record: logging.LogRecord) -> str:
    """Return the message with its arguments; the bare one, with the reason, if they do not fit."""
    try:
        return record.getMessage()
    except Exception as error:  # noqa: BLE001 -- a wrong format string costs its arguments only
        return f"{record.msg} [arguments {record.args!r:.200} do not fit: {error}]"


def fields_of(record: logging.LogRecord) -> dict[str, Any]:
    """Return the fields of a line: those of our logger, or stdlib's `extra`."""
    fields = dict(_extra(record))
    fields.update(getattr(record, FIELDS, None) or {})
    return fields


def _extra(record: logging.LogRecord) -> Iterator[tuple[str, Any]]:
    for key, value in vars(record).items():
        # uvicorn repeats its message with colours for terminals.
        if key not in _STANDARD and key != "color_message":
            yield key, value
