"""The handlers that stdlib logging calls: they write a line and hand it on, and never raise.

They take no lock: a line is made by its own thread and a sink takes lines from any thread, so a log
call in a signal handler cannot wait for the one it interrupted.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Protocol

from tachograph.logs.tally import Tally

__all__ = ["Bridge", "Writer"]

MAX_NESTING = 4
"""Lines that a line may cause while it is written, one inside the other."""


class Writer(Protocol):
    """From a record to the bytes of its line."""

    def encode(self, record: logging.LogRecord) -> bytes:
        """Return the line; may raise for records that are no records."""
        ...

    def least(self, record: logging.LogRecord, error: Exception) -> bytes:
        """Return a line about a record that `encode` failed on."""
        ...


class _Nesting(threading.local):
    depth = 0


class Bridge(logging.Handler):
    """A stdlib handler without lock, formatter or file.

    Args:
        writer: Makes the lines.
        write: Takes them; must not block.
        tally: Where losses are counted.
    """

    def __init__(self, writer: Writer, write: Callable[[bytes], None], tally: Tally) -> None:
        super().__init__()
        self._writer = writer
        self._write = write
        self._tally = tally
        self._nesting = _Nesting()

    def createLock(self) -> None:  # noqa: N802 -- stdlib's name
        """Have no lock."""
        self.lock = None

    def handle(self, record: logging.LogRecord) -> bool | logging.LogRecord:  # type: ignore[override]
        """Emit *record* unless a filter of this handler refuses it."""
        passed = self.filter(record) if self.filters else record
        if passed:
            self.emit(passed if isinstance(passed, logging.LogRecord) else record)
        return passed

    def emit(self, record: logging.LogRecord) -> None:
        """Write the line of *record*; what cannot be written is counted."""
        nesting, tally = self._nesting, self._tally
        if nesting.depth >= MAX_NESTING:
            tally.recursive += 1
            return
        nesting.depth += 1
        try:
            self._write(self._writer.encode(record))
            tally.lines += 1
        except Exception as error:  # noqa: BLE001 -- logging never raises into the application
            self._give_up(record, error)
        finally:
            nesting.depth -= 1

    def _give_up(self, record: logging.LogRecord, error: Exception) -> None:
        self._tally.lost += 1
        try:
            self._write(self._writer.least(record, error))
        except Exception:  # noqa: BLE001 -- the sink itself fails; it was counted above
            return
        self._tally.lines += 1
