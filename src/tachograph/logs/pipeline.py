"""One handler on the root logger that writes every line to a sink."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Mapping
from types import MappingProxyType

from tachograph._base.ratelimit import warn_once
from tachograph.logs.directives import Directives
from tachograph.logs.line import JsonLine
from tachograph.logs.pretty import PrettyLine
from tachograph.sinks import Sink

__all__ = ["LogPipeline", "setup"]

_NOTHING: Mapping[str, str] = MappingProxyType({})
# They write to a terminal by themselves and stop their lines from going further.
_LOUD = ("uvicorn", "uvicorn.error", "uvicorn.access", "uvicorn.asgi")


class _SinkHandler(logging.Handler):
    """Encodes on the logging thread and hands the line over; takes no lock, for the sink has one."""

    def __init__(self, sink: Sink, encode: Callable[[logging.LogRecord], bytes]) -> None:
        super().__init__()
        self._sink = sink
        self._encode = encode
        self.lines = 0
        self.errors = 0

    def createLock(self) -> None:  # noqa: N802 -- stdlib's name
        self.lock = None

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self.lines += 1
            self._sink.write(self._encode(record))
        except Exception as error:  # noqa: BLE001 -- logging never raises into the application
            self.errors += 1
            warn_once(f"log {type(error)}", f"A log line could not be written: {error!r}")


class LogPipeline:
    """The logging that `setup` installed; `close` takes it away."""

    def __init__(self, handler: _SinkHandler, restore: list[Callable[[], None]]) -> None:
        self._handler = handler
        self._restore = restore
        self._lock = threading.Lock()

    def close(self) -> None:
        """Put handlers, levels and warnings back as they were. The sink stays open. Once."""
        with self._lock:
            steps, self._restore = self._restore, []
        for step in reversed(steps):
            step()

    def statistics(self) -> dict[str, int]:
        """Return `lines` given to the sink and `errors`: lines lost because they could not be made."""
        return {"lines": self._handler.lines, "errors": self._handler.errors}


def setup(
    sink: Sink,
    *,
    filter: str = "info",
    pretty: bool = False,
    globals: Mapping[str, str] = _NOTHING,
) -> LogPipeline:
    """Send everything that goes through stdlib logging to *sink*.

    Handlers that are on the root logger already stay. Warnings are captured; uvicorn's loggers lose
    handlers of their own and propagate (start uvicorn with `log_config=None`, or it adds them again).

    Args:
        sink: Takes the lines.
        filter: Directives, see `Directives.parse`.
        pretty: Text for a person instead of JSON.
        globals: Properties of every JSON line.

    Raises:
        ConfigError: *filter* is malformed; nothing was changed.
    """
    directives = Directives.parse(filter)
    encode = PrettyLine(colour="NO_COLOR" not in os.environ) if pretty else JsonLine(globals)
    handler = _SinkHandler(sink, encode)
    root = logging.getLogger()
    root.addHandler(handler)
    logging.captureWarnings(True)
    restore: list[Callable[[], None]] = [
        lambda: root.removeHandler(handler),
        lambda: logging.captureWarnings(False),
        directives.apply(),
    ]
    restore += [_quieten(name) for name in _LOUD]
    return LogPipeline(handler, restore)


def _quieten(name: str) -> Callable[[], None]:
    logger = logging.getLogger(name)
    handlers, propagate = list(logger.handlers), logger.propagate
    logger.handlers.clear()
    logger.propagate = True

    def restore() -> None:
        logger.handlers[:] = handlers
        logger.propagate = propagate

    return restore
