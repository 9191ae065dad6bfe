"""`logging.LogRecord` as the transport: putting fields into one and reading them out again.

Fields travel as attributes of the record, as stdlib's `extra` does it, so any handler of the
application finds them where it looks. A field that would overwrite an attribute of the record
itself (`name`, `args`, `module` ...) travels beside them instead and is in our line all the same.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping
from types import FrameType, TracebackType
from typing import Any, TypeAlias

__all__ = [
    "ExcInfo",
    "exception_of",
    "fields_of",
    "hand_over",
    "message_of",
    "place_of",
    "printable",
    "unprintable",
]

ExcInfo: TypeAlias = (
    bool
    | BaseException
    | tuple[type[BaseException], BaseException, TracebackType | None]
    | tuple[None, None, None]
    | None
)

_BESIDE = "tachograph_fields"
# What a record has itself; formatters add `message` and `asctime`, Python 3.12 adds `taskName`.
_OWN = frozenset(logging.LogRecord("", 0, "", 0, "", (), None).__dict__)
_NO_FIELD = _OWN | {"message", "asctime", "taskName", _BESIDE}
_NOT_AS_ATTRIBUTE = _NO_FIELD | {"getMessage", "__dict__", "__class__"}
_MAX_ARGUMENTS = 512
_MAX_STACK = 4_000


def hand_over(
    logger: logging.Logger,
    level: int,
    event: object,
    args: tuple[object, ...],
    fields: Mapping[str, Any],
    *,
    place: tuple[str, int, str],
    exc_info: ExcInfo = None,
    stack_info: str | None = None,
) -> None:
    """Give stdlib *logger* a record that it handles like any other; the level was checked before.

    Args:
        logger: Its filters, its handlers and those above it see the record.
        level: Number of the level.
        event: The message; formatted with *args* by `%` when there are any.
        args: As in stdlib's calls.
        fields: By name; every name is allowed.
        place: File, line and function of the log call.
        exc_info: As in stdlib's calls.
        stack_info: Text of the stack.
    """
    file, line, function = place
    record = logger.makeRecord(
        logger.name, level, file, line, event, args, _triple(exc_info), function, None, stack_info
    )
    if fields:
        if _NOT_AS_ATTRIBUTE.isdisjoint(fields):
            record.__dict__.update(fields)
        else:
            beside = record.__dict__[_BESIDE] = {}
            for name, value in fields.items():
                where = beside if name in _NOT_AS_ATTRIBUTE else record.__dict__
                where[name] = value
    logger.handle(record)


def fields_of(record: logging.LogRecord) -> dict[Any, Any]:
    """Return what was attached to *record*: fields, `extra`, what filters added, the stack text."""
    attributes = record.__dict__
    fields = {name: value for name, value in attributes.items() if name not in _NO_FIELD}
    beside = attributes.get(_BESIDE)
    if isinstance(beside, dict):
        fields.update(beside)
    if "color_message" in fields and record.name.startswith("uvicorn"):
        del fields["color_message"]  # the message once more, with terminal colours
    stack = record.stack_info
    if stack:
        # Its end says where the call is.
        fields.setdefault("stack_info", stack if len(stack) <= _MAX_STACK else _cut(stack))
    return fields


def message_of(record: logging.LogRecord) -> tuple[str, str | None]:
    """Return the message and, when it could not be formatted, why; never raises."""
    msg = record.msg
    if type(msg) is str and not record.args and type(record) is logging.LogRecord:
        return msg, None
    try:
        # Through the class: an attribute may be called `getMessage` by somebody's `extra`.
        return str.__str__(str(type(record).getMessage(record))), None
    except Exception as error:  # noqa: BLE001 -- a bad format string costs its message only
        problem = f"message: {type(error).__name__}: {printable(error)}"
        if record.args:
            problem = f"{problem} (arguments: {printable(record.args)[:_MAX_ARGUMENTS]})"
        return printable(msg), problem


def exception_of(record: logging.LogRecord) -> BaseException | None:
    """Return the exception that *record* carries."""
    exc_info: Any = record.exc_info
    error = exc_info[1] if isinstance(exc_info, tuple) and len(exc_info) > 1 else exc_info
    return error if isinstance(error, BaseException) else None


def printable(value: object) -> str:
    """Return `str(value)`, or a remark when it has none; never raises."""
    try:
        return str.__str__(str(value))
    except Exception:  # noqa: BLE001 -- a log line must survive any object's `__str__`
        return unprintable(value)


def unprintable(value: object) -> str:
    """Return what stands for a value that has no text, the same as `formats.text.scalar` writes."""
    return f"<unprintable {type(value).__name__}>"


def place_of(frame: FrameType) -> tuple[str, int, str]:
    """Return file, line and function of *frame*."""
    code = frame.f_code
    return code.co_filename, frame.f_lineno or 0, code.co_name


def _cut(stack: str) -> str:
    return f"...{stack[-_MAX_STACK:]}"


def _triple(exc_info: Any) -> Any:
    if not exc_info:
        return None
    if isinstance(exc_info, BaseException):
        return type(exc_info), exc_info, exc_info.__traceback__
    triple = exc_info if isinstance(exc_info, tuple) else sys.exc_info()
    return triple if len(triple) == 3 and triple[0] is not None else None
