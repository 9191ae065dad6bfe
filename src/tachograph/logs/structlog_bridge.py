"""structlog as the front end of the same path: same levels, same line, same sink.

    structlog.configure(**tachograph.logs.structlog_config())

Needs the extra `structlog`; nothing else imports it.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, MutableMapping
from typing import Any, NoReturn

from tachograph.logs.levels import LEVELS
from tachograph.logs.record import hand_over

__all__ = ["structlog_config"]

_METHODS = {**LEVELS, "exception": logging.ERROR, "fatal": logging.CRITICAL, "msg": logging.INFO}


def structlog_config() -> dict[str, Any]:
    """Return the arguments for `structlog.configure`.

    Lines of `structlog.get_logger(name)` go through `logging.getLogger(name)`, with
    `structlog.contextvars` merged in and exceptions structured. Put processors of your own before
    the last one, which hands the line over.

    Raises:
        ImportError: structlog is not installed.
    """
    try:
        import structlog  # noqa: PLC0415 -- optional
    except ImportError as error:
        msg = "structlog is not installed. Run `pip install 'tachograph[structlog]'`."
        raise ImportError(msg) from error

    return {
        "processors": [
            structlog.stdlib.filter_by_level,
            structlog.contextvars.merge_contextvars,
            _Handover(),
        ],
        "context_class": dict,
        "wrapper_class": structlog.stdlib.BoundLogger,
        # Not structlog's own factory: making one replaces the logger class of the whole process.
        "logger_factory": _stdlib_logger,
        "cache_logger_on_first_use": True,
    }


def _stdlib_logger(*args: Any) -> logging.Logger:
    """Return the logger of the given name, else of the module that first logs with it."""
    if args:
        return logging.getLogger(args[0])
    frame = sys._getframe(1)  # noqa: SLF001 -- the only way to the caller
    while frame.f_back is not None and str(frame.f_globals.get("__name__")).startswith("structlog"):
        frame = frame.f_back
    return logging.getLogger(frame.f_globals.get("__name__"))


class _Handover:
    """The last processor: gives the event to stdlib logging and ends structlog's part."""

    def __init__(self) -> None:
        from structlog import DropEvent  # noqa: PLC0415 -- optional
        from structlog.processors import CallsiteParameter as Place  # noqa: PLC0415
        from structlog.processors import (  # noqa: PLC0415
            CallsiteParameterAdder,
            StackInfoRenderer,
        )

        self._done = DropEvent
        self._find_place: Callable[..., Any] = CallsiteParameterAdder(
            [Place.PATHNAME, Place.LINENO, Place.FUNC_NAME], additional_ignores=[__name__]
        )
        self._find_stack: Callable[..., Any] = StackInfoRenderer(additional_ignores=[__name__])

    def __call__(
        self, logger: logging.Logger, method: str, event: MutableMapping[str, Any]
    ) -> NoReturn:
        place = self._find_place(None, "", {})
        stack = self._find_stack(None, "", {"stack_info": event.pop("stack_info", False)})
        hand_over(
            logger,
            _METHODS.get(method, logging.INFO),
            event.pop("event", None),
            tuple(event.pop("positional_args", ())),
            event,
            place=(place["pathname"], place["lineno"], place["func_name"]),
            exc_info=event.pop("exc_info", None),
            stack_info=stack.get("stack"),
        )
        raise self._done
