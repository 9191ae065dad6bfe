"""Level names, one table for the filter, the loggers and structlog."""

from __future__ import annotations

import logging

__all__ = ["LEVELS", "OFF", "TRACE", "level_name", "level_number"]

TRACE = 5
"""Below DEBUG; the number uvicorn uses for it too."""
OFF = 2**31 - 1
"""Above any level that is logged."""

LEVELS = {
    "trace": TRACE,
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warn": logging.WARNING,
    "warning": logging.WARNING,
    "error": logging.ERROR,
    "critical": logging.CRITICAL,
    "off": OFF,
}
_NAMES = {number: name for name, number in LEVELS.items()}


def level_number(name: str) -> int | None:
    """Return the number of a level name in any case, None if there is no such level."""
    return LEVELS.get(name.strip().lower())


def level_name(number: int) -> str:
    """Return the name a filter uses for *number*."""
    return _NAMES.get(number) or str(number)
