"""Loggers with fields: structlog's manners over stdlib's transport.

    log = get_logger(__name__)
    log = log.bind(order_id=17)
    log.info("paid", amount_cents=1250)

Every call goes through `logging.getLogger(name)`: its level, filters and handlers apply. A call
never waits for a disk, so there is no second set of methods to await.
"""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import Mapping
from types import FrameType
from typing import Any, Self

from tachograph.logs.levels import LEVELS, level_number
from tachograph.logs.record import ExcInfo, hand_over, place_of

__all__ = ["BoundLogger", "get_logger"]

_DEBUG, _INFO, _WARNING = logging.DEBUG, logging.INFO, logging.WARNING
_ERROR, _CRITICAL = logging.ERROR, logging.CRITICAL
_SPECIAL = frozenset(("exc_info", "stack_info", "stacklevel", "extra"))


def get_logger(name: str, /, **fields: Any) -> BoundLogger:
    """Return a logger over `logging.getLogger(name)` that puts *fields* on each of its lines."""
    return BoundLogger(logging.getLogger(name), fields)


class BoundLogger:
    """A stdlib logger with fields; immutable, share it between tasks and threads.

    Calls take the message, arguments for its `%` formats, and fields by name. Every field name is
    allowed but four, which mean what they mean to stdlib: `exc_info`, `stack_info`, `stacklevel`,
    and `extra`, whose items become fields.
    """

    __slots__ = ("_fields", "_logger")

    def __init__(self, logger: logging.Logger, fields: Mapping[str, Any]) -> None:
        self._logger = logger
        self._fields = fields

    @property
    def name(self) -> str:
        """The name of the stdlib logger."""
        return self._logger.name

    def bind(self, /, **fields: Any) -> Self:
        """Return a logger with *fields* added; a name bound already gets the new value."""
        return type(self)(self._logger, {**self._fields, **fields})

    def unbind(self, /, *names: str) -> Self:
        """Return a logger without the fields *names*.

        Raises:
            KeyError: One of them is not bound.
        """
        for name in names:
            if name not in self._fields:
                msg = f"{name!r} is not bound; bound are {', '.join(self._fields) or 'none'}"
                raise KeyError(msg)
        return self.try_unbind(*names)

    def try_unbind(self, /, *names: str) -> Self:
        """Return a logger without the fields *names*, bound or not."""
        kept = {name: value for name, value in self._fields.items() if name not in names}
        return type(self)(self._logger, kept)

    def new(self, /, **fields: Any) -> Self:
        """Return a logger with *fields* and no others."""
        return type(self)(self._logger, fields)

    def is_enabled_for(self, level: int) -> bool:
        """Tell whether a line of *level* would be logged: ask before work done for a line only."""
        return self._logger.isEnabledFor(level)

    def debug(self, event: str, /, *args: object, **fields: Any) -> None:
        """Log at DEBUG."""
        if self._logger.isEnabledFor(_DEBUG):
            self._log(_DEBUG, event, args, fields)

    def info(self, event: str, /, *args: object, **fields: Any) -> None:
        """Log at INFO."""
        if self._logger.isEnabledFor(_INFO):
            self._log(_INFO, event, args, fields)

    def warning(self, event: str, /, *args: object, **fields: Any) -> None:
        """Log at WARNING."""
        if self._logger.isEnabledFor(_WARNING):
            self._log(_WARNING, event, args, fields)

    def error(self, event: str, /, *args: object, **fields: Any) -> None:
        """Log at ERROR."""
        if self._logger.isEnabledFor(_ERROR):
            self._log(_ERROR, event, args, fields)

    def exception(self, event: str, /, *args: object, **fields: Any) -> None:
        """Log at ERROR with the exception that is being handled."""
        if self._logger.isEnabledFor(_ERROR):
            fields.setdefault("exc_info", True)
            self._log(_ERROR, event, args, fields)

    def critical(self, event: str, /, *args: object, **fields: Any) -> None:
        """Log at CRITICAL."""
        if self._logger.isEnabledFor(_CRITICAL):
            self._log(_CRITICAL, event, args, fields)

    def log(self, level: int | str, event: str, /, *args: object, **fields: Any) -> None:
        """Log at *level*: a number, or a name in any case.

        An unknown level never raises: the line is logged at WARNING and its `level_error` says so.
        """
        number = level_number(level) if isinstance(level, str) else level
        if not isinstance(number, int):
            expected = ", ".join(LEVELS)
            fields["level_error"] = f"expected a number or one of {expected}, got {level!r}"
            number = _WARNING
        if self._logger.isEnabledFor(number):
            self._log(number, event, args, fields)

    def _log(
        self, level: int, event: object, args: tuple[object, ...], fields: dict[str, Any]
    ) -> None:
        """Hand over a line for the caller of the caller."""
        frame = sys._getframe(2)  # noqa: SLF001 -- stdlib's own way to find who logs
        exc_info: ExcInfo = None
        stack_info: str | None = None
        if not _SPECIAL.isdisjoint(fields):
            exc_info = fields.pop("exc_info", None)
            frame = _outward(frame, fields.pop("stacklevel", 1))
            if fields.pop("stack_info", False):
                stack_info = _stack_text(frame)
            extra = fields.pop("extra", None)
            if isinstance(extra, Mapping):
                fields = {**extra, **fields}
        if self._fields:
            fields = {**self._fields, **fields}
        hand_over(
            self._logger,
            level,
            event,
            args,
            fields,
            place=place_of(frame),
            exc_info=exc_info,
            stack_info=stack_info,
        )

    def __repr__(self) -> str:
        return f"<BoundLogger {self._logger.name!r} with {', '.join(self._fields) or 'no fields'}>"


def _outward(frame: FrameType, stacklevel: object) -> FrameType:
    steps = stacklevel - 1 if isinstance(stacklevel, int) else 0
    while steps > 0 and frame.f_back is not None:
        frame = frame.f_back
        steps -= 1
    return frame


def _stack_text(frame: FrameType) -> str:
    """Return the stack down to *frame* as stdlib writes it."""
    lines = "".join(traceback.format_stack(frame)).rstrip("\n")
    return f"Stack (most recent call last):\n{lines}"
