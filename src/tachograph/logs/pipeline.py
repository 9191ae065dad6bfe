"""Installing the log path: stdlib logging -> one handler on the root logger -> lines -> sink."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING, Any, Self

from tachograph._base.forks import ForkLock
from tachograph.logs.directives import Directives, LevelChanges
from tachograph.logs.line import JsonLine
from tachograph.logs.pretty import PrettyLine, is_colour_wanted
from tachograph.logs.python_warnings import WarningLines
from tachograph.logs.stdlib_bridge import Bridge, Writer
from tachograph.logs.tally import LogStatistics, Tally
from tachograph.logs.uvicorn_loggers import UvicornLoggers

if TYPE_CHECKING:
    from tachograph.sinks import Sink

__all__ = ["LogPipeline", "setup"]

_NO_GLOBALS: Mapping[str, str] = MappingProxyType({})
_lock = ForkLock()
_active: LogPipeline | None = None


def setup(
    sink: Sink,
    *,
    filter: str = "info",
    pretty: bool = False,
    globals: Mapping[str, str] = _NO_GLOBALS,
) -> LogPipeline:
    """Send everything that goes through stdlib logging to *sink*, one line each.

    Installs one handler on the root logger, sets levels by the filter, logs Python's warnings, and
    takes uvicorn's loggers over, also when a `uvicorn.Config` is made later.

    Whose handlers: those that the application or a test runner installed stay and get every record
    too; only uvicorn's own are removed. A later `logging.config.dictConfig` does what it says, but
    this handler stays on the root logger. A later `fileConfig` is not noticed.

    Args:
        sink: Takes the lines; it stays the caller's to close, after the pipeline.
        filter: As `Directives.parse` reads it.
        pretty: Lines for a person instead of JSON; in colour when stderr is a terminal and
            `NO_COLOR` is not set.
        globals: Properties of every JSON line, after the message.

    Raises:
        ConfigError: The filter is wrong; nothing was installed.
        RuntimeError: A pipeline is installed already; close it first.
    """
    global _active  # noqa: PLW0603 -- one per process, as there is one root logger
    directives = Directives.parse(filter)
    tally = Tally()
    writer: Writer = (
        PrettyLine(tally, colour=is_colour_wanted()) if pretty else JsonLine(globals, tally)
    )
    with _lock:
        if _active is not None:
            msg = "Logs are set up already in this process. Close that pipeline first."
            raise RuntimeError(msg)
        _active = LogPipeline(Bridge(writer, sink.write, tally), directives, tally)
        return _active


class LogPipeline:
    """The installed log path, made by `setup`. Closing it restores what was there before."""

    def __init__(self, bridge: Bridge, directives: Directives, tally: Tally) -> None:
        self._bridge = bridge
        self._directives = directives
        self._tally = tally
        self._changes = LevelChanges()
        self._uvicorn = UvicornLoggers()
        self._is_closed = False
        self._uvicorn.take_over(self._changes)
        directives.apply(self._changes)
        self._warnings = WarningLines()
        self._dict_config = _DictConfigHook(self._install_again)
        logging.getLogger().addHandler(bridge)

    @property
    def directives(self) -> Directives:
        """The filter in force."""
        return self._directives

    def statistics(self) -> LogStatistics:
        """Return what was written and what was lost since `setup`."""
        return self._tally.snapshot()

    def close(self) -> None:
        """Remove the handler and give back levels, warnings and uvicorn's loggers; idempotent.

        A level that somebody changed after `setup` stays as they set it.
        """
        global _active  # noqa: PLW0603 -- see setup
        with _lock:
            if self._is_closed:
                return
            self._is_closed = True
            _active = None
        self._dict_config.give_back()
        logging.getLogger().removeHandler(self._bridge)
        self._bridge.close()
        self._warnings.give_back()
        self._changes.undo()
        self._uvicorn.give_back()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _install_again(self) -> None:
        """Undo what a `dictConfig` did to us: it drops root handlers, uvicorn's brings its own."""
        if self._is_closed:
            return
        logging.getLogger().addHandler(self._bridge)  # does nothing when it is there
        self._uvicorn.take_over(self._changes)
        for name, level in self._directives.loggers.items():
            if name == "uvicorn" or name.startswith("uvicorn."):
                self._changes.set(logging.getLogger(name), level)


class _DictConfigHook:
    """Calls back after each `dictConfig`, through `dictConfigClass`, its documented replacement."""

    def __init__(self, after: Callable[[], None]) -> None:
        self._after = after
        self._config = _logging_config()
        self._before = self._config.dictConfigClass
        self._hook = self._configurator  # one object, to recognise it by
        self._config.dictConfigClass = self._hook

    def give_back(self) -> None:
        if self._config.dictConfigClass is self._hook:
            self._config.dictConfigClass = self._before
        # Else somebody wrapped ours: it stays below theirs, and calls back to a closed pipeline.

    def _configurator(self, config: dict[str, Any]) -> _Configurator:
        return _Configurator(self._before(config), self._after)


class _Configurator:
    def __init__(self, inner: Any, after: Callable[[], None]) -> None:
        self._inner = inner
        self._after = after

    def configure(self) -> None:
        try:
            self._inner.configure()
        finally:
            self._after()


def _logging_config() -> Any:
    import logging.config  # noqa: PLC0415 -- imports a socket server; importing us must be cheap

    return logging.config
