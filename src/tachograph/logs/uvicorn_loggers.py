"""Uvicorn's loggers in the common stream.

Uvicorn configures its loggers by `dictConfig` when a `uvicorn.Config` is made: own handlers, no
propagation, level INFO. Taking over means: these handlers go, lines propagate, and INFO as the
logger's own level goes, so that the filter decides. What the application set there stays.
"""

from __future__ import annotations

import logging

from tachograph.logs.directives import LevelChanges

__all__ = ["UvicornLoggers"]

_NAMES = ("uvicorn", "uvicorn.error", "uvicorn.access", "uvicorn.asgi")


class UvicornLoggers:
    """Takes the loggers over, as often as needed, and gives them back once."""

    def __init__(self) -> None:
        self._handlers: dict[str, list[logging.Handler]] = {}
        self._propagate: dict[str, bool] = {}

    def take_over(self, changes: LevelChanges) -> None:
        """Let their lines reach the root logger only, noting level changes in *changes*."""
        for name in _NAMES:
            logger = logging.getLogger(name)
            own = [handler for handler in logger.handlers if _is_uvicorns(handler)]
            for handler in own:
                logger.removeHandler(handler)
            if own:
                self._handlers[name] = own
            if not logger.propagate:
                self._propagate[name] = False
                logger.propagate = True
            if logger.level == logging.INFO:
                changes.set(logger, logging.NOTSET)

    def give_back(self) -> None:
        """Restore handlers and propagation."""
        for name, handlers in self._handlers.items():
            logger = logging.getLogger(name)
            for handler in handlers:
                logger.addHandler(handler)
        for name, propagate in self._propagate.items():
            logging.getLogger(name).propagate = propagate
        self._handlers.clear()
        self._propagate.clear()


def _is_uvicorns(handler: logging.Handler) -> bool:
    return type(handler.formatter).__module__ == "uvicorn.logging"
