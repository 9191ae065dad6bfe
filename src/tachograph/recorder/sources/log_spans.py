"""Spans from a program's log lines: one line says that something starts, another that it ended.

    logging.getLogger("shop").addHandler(LogSpans())

    log.info("loading %s", key, extra={"span_start": "load", "key": key})
    log.info("loaded", extra={"span_end": "load", "rows": 7})

The lines stay what they are. The span has the extra fields of both; an error in the second is its
outcome: the exception of `exc_info`, or `Error` for a line of that level.
"""

from __future__ import annotations

import logging
from typing import Any

from tachograph.recorder.spans import Span, open_spans

__all__ = ["LogSpans"]

_MOST_OPEN = 128
_STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {
    "message",
    "asctime",
    "taskName",
    "span_start",
    "span_end",
}


class LogSpans(logging.Handler):
    """Makes spans of records that have `span_start` or `span_end`; others cost two look-ups.

    Its parent is the innermost span of the context that the first line is logged in, and so it is
    the parent of what begins there until it ends. The second line ends the innermost span of its
    name that is open there, together with what is open within that. Put it where the lines are
    logged: behind a queue the context is another.
    """

    def __init__(self, level: int | str = logging.NOTSET) -> None:
        super().__init__(level)
        self.unmatched = 0
        """Ends without a start: in another context, of another name, or before the recorder ran."""
        self.unended = 0
        """Starts without an end that were seen to be so."""

    def emit(self, record: logging.LogRecord) -> None:
        """Start or end a span. Never raises."""
        facts = record.__dict__
        name = facts.get("span_end")
        try:
            if name is not None:
                self._end(str(name), record)
            name = facts.get("span_start")
            if name is not None:
                self._start(str(name), facts)
        except Exception:  # noqa: BLE001 -- a line of the log never breaks the program
            self.handleError(record)

    def _start(self, name: str, facts: dict[str, Any]) -> None:
        open_ = _open()
        if len(open_) >= _MOST_OPEN:  # in a context that does not end, nobody will end them
            self._give_up(open_)
        _Logged(name, _extra(facts)).__enter__()

    def _end(self, name: str, record: logging.LogRecord) -> None:
        open_ = _open()
        for place, each in enumerate(open_):
            if each.name == name:
                self._give_up(open_[:place])
                each.fields.update(_extra(record.__dict__))
                each.end(_outcome(record))
                return
        self.unmatched += 1

    def _give_up(self, spans: list[_Logged]) -> None:
        self.unended += len(spans)
        for each in spans:
            each.end("Unended")


class _Logged(Span):
    """A span that lines of the log start and end; those of `with` blocks are not theirs to end."""

    __slots__ = ()


def _open() -> list[_Logged]:
    return [each for each in open_spans() if isinstance(each, _Logged)]


def _extra(facts: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in facts.items() if name not in _STANDARD}


def _outcome(record: logging.LogRecord) -> str:
    info = record.exc_info
    if isinstance(info, tuple) and info[0] is not None:
        return info[0].__name__
    return "Error" if record.levelno >= logging.ERROR else "Ok"
