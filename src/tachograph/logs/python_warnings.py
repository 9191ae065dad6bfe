"""Python's warnings as log lines of the logger `py.warnings`, with category and place as fields.

The effect of `logging.captureWarnings(True)`, but the message is the warning's text alone instead
of several lines of layout.
"""

from __future__ import annotations

import logging
import warnings
from typing import Any, TextIO

from tachograph.logs.exceptions import qualified_name
from tachograph.logs.record import hand_over, printable

__all__ = ["WarningLines"]


class WarningLines:
    """Replaces `warnings.showwarning` until it is given back."""

    def __init__(self) -> None:
        self._before: Any = warnings.showwarning
        self._logger = logging.getLogger("py.warnings")
        self._show = self.show  # one object, to recognise it by
        warnings.showwarning = self._show

    def give_back(self) -> None:
        """Restore what was there, unless somebody else replaced it since."""
        if warnings.showwarning is self._show:
            warnings.showwarning = self._before

    def show(
        self,
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        """Log a warning; one that asks for a file goes where it asks."""
        if file is not None:
            self._before(message, category, filename, lineno, file, line)
            return
        if self._logger.isEnabledFor(logging.WARNING):
            fields = {"category": qualified_name(category), "file": filename, "line": lineno}
            place = (filename, lineno, "")
            hand_over(self._logger, logging.WARNING, printable(message), (), fields, place=place)
