"""Lines of the log as events in the trace: the service's own all, of others what is an error."""

from __future__ import annotations

import logging

from tachograph.recorder.requests import note_log

__all__ = ["LogEvents"]

_LONGEST = 1_024


class LogEvents(logging.Handler):
    """A handler for the root logger; what reaches it has passed the levels in force.

    Args:
        own: Name of the logger whose lines, and those below it, are all recorded.
    """

    def __init__(self, own: str) -> None:
        super().__init__()
        self._own = own
        self._below = f"{own}."

    def emit(self, record: logging.LogRecord) -> None:
        """Record a line. Never raises."""
        name = record.name
        is_own = name == self._own or name.startswith(self._below)
        if not is_own and record.levelno < logging.ERROR:
            return
        try:
            note_log(record.levelname, name, record.getMessage()[:_LONGEST])
        except Exception:  # noqa: BLE001 -- a line that cannot be formatted is the logger's to tell
            self.handleError(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 -- logging's name
        """Say nothing: the line's own handler does."""
