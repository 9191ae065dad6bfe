"""A logger with fields, in structlog's style, over stdlib logging."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Self

from tachograph.logs.directives import LEVELS

__all__ = ["FIELDS", "BoundLogger", "get_logger"]

FIELDS = "tachograph_fields"
"""Attribute of a `LogRecord` that holds the fields of a line."""

# From `_log` up to the caller: logger._log, this class's _log, the level's method.
_STACK_LEVEL = 3


class BoundLogger:
    """Logs an event with fields: `log.info("stored", key=key, size=5)`.

    Immutable: `bind` returns a new one. Positional arguments are stdlib's `%` arguments; the fields
    `exc_info`, `stack_info` and `stacklevel` mean what they mean there.
    """

    __slots__ = ("_fields", "_logger")

    def __init__(self, logger: logging.Logger, fields: Mapping[str, Any] | None = None) -> None:
        self._logger = logger
        self._fields = dict(fields or {})

    @property
    def name(self) -> str:
        """The name of the stdlib logger behind it."""
        return self._logger.name

    def bind(self, **fields: Any) -> Self:
        """Return a logger that adds *fields* to each of its lines."""
        return type(self)(self._logger, {**self._fields, **fields})

    def unbind(self, *names: str) -> Self:
        """Return a logger without the fields *names*.

        Raises:
            KeyError: One of them is not bound.
        """
        for name in names:
            if name not in self._fields:
                msg = f"{name!r} is not bound; bound are {', '.join(self._fields) or 'none'}"
                raise KeyError(msg)
        return self.try_unbind(*names)

    def try_unbind(self, *names: str) -> Self:
        """Return a logger without the fields *names*, whether bound or not."""
        kept = {name: value for name, value in self._fields.items() if name not in names}
        return type(self)(self._logger, kept)

    def new(self, **fields: Any) -> Self:
        """Return a logger with *fields* only."""
        return type(self)(self._logger, fields)

    def debug(self, event: str, *args: Any, **fields: Any) -> None:
        """Log at level DEBUG."""
        if self._logger.isEnabledFor(logging.DEBUG):
            self._log(logging.DEBUG, event, args, fields)

    def info(self, event: str, *args: Any, **fields: Any) -> None:
        """Log at level INFO."""
        if self._logger.isEnabledFor(logging.INFO):
            self._log(logging.INFO, event, args, fields)

    def warning(self, event: str, *args: Any, **fields: Any) -> None:
        """Log at level WARNING."""
        if self._logger.isEnabledFor(logging.WARNING):
            self._log(logging.WARNING, event, args, fields)

    def error(self, event: str, *args: Any, **fields: Any) -> None:
        """Log at level ERROR."""
        if self._logger.isEnabledFor(logging.ERROR):
            self._log(logging.ERROR, event, args, fields)

    def exception(self, event: str, *args: Any, **fields: Any) -> None:
        """Log at level ERROR with the exception being handled."""
        if self._logger.isEnabledFor(logging.ERROR):
            fields.setdefault("exc_info", True)
            self._log(logging.ERROR, event, args, fields)

    def critical(self, event: str, *args: Any, **fields: Any) -> None:
        """Log at level CRITICAL."""
        if self._logger.isEnabledFor(logging.CRITICAL):
            self._log(logging.CRITICAL, event, args, fields)

    def log(self, level: int | str, event: str, *args: Any, **fields: Any) -> None:
        """Log at *level*: stdlib's number or a name.

        Raises:
            ValueError: There is no level of that name.
        """
        if isinstance(level, str):
            if level.lower() not in LEVELS:
                msg = f"expected a level of {', '.join(LEVELS)}, got {level!r}"
                raise ValueError(msg)
            level = LEVELS[level.lower()]
        if self._logger.isEnabledFor(level):
            self._log(level, event, args, fields)

    def _log(self, level: int, event: str, args: tuple[Any, ...], fields: dict[str, Any]) -> None:
        exc_info = fields.pop("exc_info", None)
        stack_info = fields.pop("stack_info", False)
        stacklevel = _STACK_LEVEL + fields.pop("stacklevel", 1) - 1
        if self._fields:
            fields = {**self._fields, **fields}
        self._logger.log(
            level,
            event,
            *args,
            exc_info=exc_info,
            stack_info=stack_info,
            stacklevel=stacklevel,
            extra={FIELDS: fields},
        )

    def __repr__(self) -> str:
        return f"<BoundLogger {self._logger.name} {self._fields}>"


def get_logger(name: str | None = None, **fields: Any) -> BoundLogger:
    """Return a logger with fields over `logging.getLogger(name)`.

    Args:
        name: As for stdlib; usually `__name__`.
        fields: Bound to each of its lines.
    """
    return BoundLogger(logging.getLogger(name), fields)
