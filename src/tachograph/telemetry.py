"""Starting and closing all of telemetry: one configuration, one guard.

    with init_telemetry(TelemetryConfig.from_env(service="orders")) as guard:
        ...                                   # serve

Without a directory logs go to stderr and records to stdout; with one both roll into files there.
The guard owns the sinks and lives as long as the process.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from tachograph import logs, metrics
from tachograph._base.document import Document
from tachograph._base.forks import ForkLock
from tachograph.errors import ConfigError
from tachograph.formats import json, pretty, schema
from tachograph.formats.cloudwatch import EmfConfig
from tachograph.formats.emf import Emf
from tachograph.formats.json import FlatJson
from tachograph.formats.nested import NestedJson
from tachograph.formats.plan import RecordPlan
from tachograph.formats.pretty import Pretty
from tachograph.metrics.bridge import LoopWatch, RuntimeConfig
from tachograph.metrics.record import emit_open_records, problems_of_classes
from tachograph.sinks import Period, QueueSink, Retention, RollingFile, StreamTarget, Target
from tachograph.telemetry_config import RecorderMetricsConfig, TelemetryConfig

if TYPE_CHECKING:
    import asyncio

    from tachograph.metrics.runtime import RuntimeBridge
    from tachograph.recorder_metrics import RecorderRecords

__all__ = ["RecorderMetricsConfig", "TelemetryConfig", "TelemetryGuard", "init_telemetry"]

_MIB = 2**20
_LOG_RETENTION = Retention(max_files=48, max_bytes=256 * _MIB)
_METRICS_RETENTION = Retention(max_files=1_500, max_bytes=768 * _MIB)
_logger = logging.getLogger("tachograph")


class _Telemetry:
    """The running parts. The guard is a handle on it, so that losing the handle loses no line."""

    def __init__(self, config: TelemetryConfig) -> None:
        self.config = config
        self.closed = False
        self._lock = ForkLock()
        self._plans: dict[RecordPlan, None] = {}
        everywhere = {"service_name": config.service, **config.globals}
        with contextlib.ExitStack() as undo:
            log_target, log_pretty = _log_target(config)
            undo.callback(log_target.close)
            metrics_target, metrics_pretty = _metrics_target(config)
            undo.callback(metrics_target.close)
            self.format = Pretty(colour=True) if metrics_pretty else _format(config, everywhere)
            self.log_sink = QueueSink(
                log_target,
                name="logs",
                mark_dropped=(pretty if log_pretty else json).mark_dropped,
            )
            self.metrics_sink = QueueSink(metrics_target, name="metrics")
            self.schema = self._schema_file()
            main = metrics.Destination(
                self.format,
                self.metrics_sink,
                on_first=self._note,
                sampler=config.sampling,
                announce_schema=(
                    config.announce_schema and config.telemetry_dir is None and not metrics_pretty
                ),
            )
            if problems := problems_of_classes([main, *config.destinations]):
                raise ConfigError("\n".join(problems))
            metrics.attach([main, *config.destinations])
            undo.callback(metrics.detach)
            self.bridge = _bridge(config.runtime)
            if self.bridge is not None:
                undo.callback(self.bridge.close)
            self.pipeline = logs.setup(
                self.log_sink, filter=config.log_filter, pretty=log_pretty, globals=everywhere
            )
            # Last, so that it can say what is wrong with it; a service starts without it too.
            self.recorder = None if config.recorder is None else _Recording(config)
            undo.pop_all()

    def _schema_file(self) -> Document | None:
        directory = self.config.telemetry_dir
        if directory is None:
            return None
        return Document(
            Path(directory) / schema.FILE_NAME,
            lambda text: schema.merged(text, self.config.service, tuple(self._plans)),
        )

    def _note(self, plan: RecordPlan) -> None:
        self._plans[plan] = None
        if self.schema is not None:
            self.schema.update()

    def flush(self, timeout: float) -> bool:
        budget = _Budget(timeout)
        parts = [self.metrics_sink.flush(budget.left()), self.log_sink.flush(budget.left())]
        parts += [other.sink.flush(budget.left()) for other in self.config.destinations]
        if self.schema is not None:
            parts.append(self.schema.flush(budget.left()))
        return all(parts)

    def close(self, timeout: float) -> bool:
        with self._lock:
            if self.closed:
                return True
            self.closed = True
        atexit.unregister(self.close_at_exit)
        budget = _Budget(timeout)
        if self.bridge is not None:
            self.bridge.close()
        parts = [self.recorder is None or self.recorder.close(budget.left())]
        # Records before logs, so that what goes wrong with them can still be logged.
        parts.append(self.metrics_sink.close(budget.left()))
        parts += [other.sink.close(budget.left()) for other in self.config.destinations]
        metrics.detach()
        if self.schema is not None:
            parts.append(self.schema.flush(budget.left()))
        lost = {name: count for name, count in _losses(self.statistics()).items() if count}
        if lost:
            _logger.warning("telemetry lost something", extra=lost)
        _logger.info("telemetry closed", extra=_totals(self.statistics()))
        parts.append(self.log_sink.close(budget.left()))
        self.pipeline.close()
        return all(parts)

    def close_at_exit(self) -> None:
        emit_open_records()
        self.close(5.0)

    def statistics(self) -> dict[str, dict[str, Any]]:
        records = metrics.statistics.counts()
        if not isinstance(self.format, Pretty):
            records |= asdict(self.format.tally)
        found = {
            "metrics": records,
            "metrics_sink": asdict(self.metrics_sink.statistics()),
            **{f"destination_{n}": d.counts() for n, d in enumerate(self.config.destinations, 1)},
            "logs": asdict(self.pipeline.statistics()),
            "logs_sink": asdict(self.log_sink.statistics()),
        }
        if self.bridge is not None:
            found["runtime"] = self.bridge.statistics()
        if self.recorder is not None:
            found["recorder"] = self.recorder.statistics()
        return found


class _Recording:
    """The flight recorder, the lines of the log in it, and the records of what it does."""

    def __init__(self, config: TelemetryConfig) -> None:
        # Imported when it is wanted: it needs asyncio, and most jobs do without.
        from tachograph.recorder.control import recorder_or_disabled  # noqa: PLC0415
        from tachograph.recorder.log_events import LogEvents  # noqa: PLC0415

        self._records = _records(config.recorder_metrics)
        self._recorder = recorder_or_disabled(config.recorder, on_metrics=self._records)
        self._log_events = LogEvents(config.service.replace("-", "_"))
        logging.getLogger().addHandler(self._log_events)

    def statistics(self) -> dict[str, Any]:
        return self._recorder.statistics()

    def close(self, timeout: float) -> bool:
        logging.getLogger().removeHandler(self._log_events)
        in_time = self._recorder.close(timeout)
        if self._records is not None:
            self._records.close()
        return in_time


class TelemetryGuard:
    """Keeps telemetry alive; closing it flushes and detaches.

    Made by `init_telemetry`. Hold it for the life of the process, as a `with` block around
    everything else. A guard that is dropped without being closed warns; telemetry then goes on
    until the process exits.
    """

    def __init__(self, telemetry: _Telemetry) -> None:
        self._telemetry = telemetry

    @property
    def config(self) -> TelemetryConfig:
        """The configuration it was started with."""
        return self._telemetry.config

    def flush(self, timeout: float = 5.0) -> bool:
        """Wait until everything emitted so far is written; tell whether it is.

        Args:
            timeout: Seconds to wait at most.
        """
        return self._telemetry.flush(timeout)

    def close(self, timeout: float = 5.0) -> bool:
        """Flush, stop the writers and detach: first records, then logs. Once; then a no-op.

        Args:
            timeout: Seconds for all of it; what is not written then is counted as dropped.

        Returns:
            Whether everything was written in time.
        """
        return self._telemetry.close(timeout)

    def statistics(self) -> dict[str, dict[str, Any]]:
        """Return every counter: of `metrics`, `metrics_sink`, `logs`, `logs_sink`, `runtime`.

        Of further destinations, sink and format together, as `destination_1` and so on.
        """
        return self._telemetry.statistics()

    def watch_loop(
        self, loop: asyncio.AbstractEventLoop | None = None, *, name: str | None = None
    ) -> LoopWatch:
        """Measure an event loop in `RuntimeMetrics`, until what this returns is closed.

        Use it as `with guard.watch_loop():` around all that the loop does, so that the last record
        comes before what follows. `tachograph.asgi.stack` calls it for its loop. Does nothing
        where `TelemetryConfig.runtime` is None.

        Args:
            loop: An open loop of any thread; None for the one that runs here.
            name: `loop_name` in its records; None for `main` or the name of the thread.

        Raises:
            RuntimeError: No loop was given and none runs here, or the loop is closed.
        """
        bridge = self._telemetry.bridge
        return LoopWatch(None, loop) if bridge is None else bridge.watch(loop, name)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __del__(self) -> None:
        telemetry = self.__dict__.get("_telemetry")
        if telemetry is not None and not telemetry.closed and not sys.is_finalizing():
            _logger.warning(
                "The TelemetryGuard of %r was dropped without being closed. Keep it for the life "
                "of the process: `with init_telemetry(...) as guard:` around everything.",
                telemetry.config.service,
            )


def init_telemetry(config: TelemetryConfig) -> TelemetryGuard:
    """Start records and logs; return the guard that keeps them alive.

    Starts no thread by itself: each writer starts with its first line. With
    `TelemetryConfig.runtime` the thread that samples is started.

    Raises:
        ConfigError: The directory cannot be written, or a record class that is defined already does
            not suit a format, as where dimension sets become too large; nothing was started.
        RuntimeError: Telemetry is running already in this process.
    """
    telemetry = _Telemetry(config)
    atexit.register(telemetry.close_at_exit)
    return TelemetryGuard(telemetry)


def _bridge(config: RuntimeConfig | None) -> RuntimeBridge | None:
    if config is None:
        return None
    # Loaded when it is used: it brings asyncio and two record classes along.
    from tachograph.metrics.runtime import RuntimeBridge  # noqa: PLC0415

    return RuntimeBridge(config)


def _records(config: RecorderMetricsConfig | None) -> RecorderRecords | None:
    if config is None:
        return None
    from tachograph.recorder_metrics import RecorderRecords  # noqa: PLC0415 -- when it is wanted

    return RecorderRecords(config.interval, config.rename)


class _Budget:
    """Seconds that several steps share."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    def left(self) -> float:
        return max(0.0, self._end - time.monotonic())


def _format(config: TelemetryConfig, everywhere: dict[str, str]) -> FlatJson | NestedJson | Emf:
    match config.metrics_format:
        case "nested":
            return NestedJson(everywhere)
        case "emf":
            emf = config.emf or EmfConfig(namespaces=[config.service])
            return Emf(replace(emf, globals={**everywhere, **emf.globals}))
        case _:
            return FlatJson(everywhere)


def _log_target(config: TelemetryConfig) -> tuple[Target, bool]:
    if config.telemetry_dir is None:
        return StreamTarget(sys.stderr.buffer), _is_pretty(config, sys.stderr)
    target = RollingFile(
        config.telemetry_dir,
        prefix="application.log",
        period=Period.HOUR,
        retention=_LOG_RETENTION,
        per_process=config.per_process,
    )
    return target, False


def _metrics_target(config: TelemetryConfig) -> tuple[Target, bool]:
    if config.telemetry_dir is None:
        return StreamTarget(sys.stdout.buffer), _is_pretty(config, sys.stdout)
    target = RollingFile(
        config.telemetry_dir,
        prefix="metrics.log",
        period=Period.MINUTE,
        retention=_METRICS_RETENTION,
        per_process=config.per_process,
    )
    return target, False


def _is_pretty(config: TelemetryConfig, stream: Any) -> bool:
    if config.pretty is not None:
        return config.pretty
    return bool(stream.isatty())


_LOSSES = (
    ("metrics", ("pending_dropped", "close_errors", "emit_errors", "encode_errors", "oversize")),
    ("metrics_sink", ("dropped",)),
    ("logs", ("lost",)),
    ("logs_sink", ("dropped",)),
)
_LOST_THERE = ("dropped", "encode_errors", "oversize")


def _losses(statistics: Mapping[str, Mapping[str, Any]]) -> dict[str, int]:
    """Return each count of something lost, as `part.name`."""
    others = [(part, _LOST_THERE) for part in statistics if part.startswith("destination_")]
    return {
        f"{part}.{name}": statistics[part].get(name, 0)
        for part, names in (*_LOSSES, *others)
        for name in names
    }


def _totals(statistics: Mapping[str, Mapping[str, Any]]) -> dict[str, int]:
    """Return what the last log line tells: how much was written, how much lost."""
    lost = _losses(statistics)
    log_lines_lost = sum(count for name, count in lost.items() if name.startswith("logs"))
    return {
        "records_emitted": statistics["metrics"]["emitted"],
        "records_written": statistics["metrics_sink"]["written"],
        "records_lost": sum(lost.values()) - log_lines_lost,
        "log_lines_lost": log_lines_lost,
    }
