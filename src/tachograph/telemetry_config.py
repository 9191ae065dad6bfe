"""What telemetry does in this process: told by the program, or by the environment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from tachograph import logs, metrics
from tachograph._base.env import collected, read_bool, read_text
from tachograph.errors import ConfigError
from tachograph.formats.cloudwatch import EmfConfig
from tachograph.metrics.bridge import RuntimeConfig, own_from_env, problems_of, runtime_from_env

if TYPE_CHECKING:
    from tachograph.recorder.config import RecorderConfig

__all__ = ["RecorderMetricsConfig", "TelemetryConfig"]

_FORMATS = ("flat", "nested", "emf")


@dataclass(frozen=True, slots=True, kw_only=True)
class RecorderMetricsConfig:
    """How the flight recorder's own work is told, as `TelemetryConfig.recorder_metrics`.

    Attributes:
        interval: Seconds between two records of a kind; what happened in between is summed up.
        rename: The style of the records' names: `preserve`, `PascalCase` and so on.

    Raises:
        ConfigError: A value is invalid; the message lists every problem.
    """

    interval: float = 60.0
    rename: str = "preserve"

    def __post_init__(self) -> None:
        if problems := problems_of(self.interval, self.rename):
            raise ConfigError("\n".join(problems))


@dataclass(frozen=True, slots=True, kw_only=True)
class TelemetryConfig:
    """What telemetry does in this process.

    Attributes:
        service: Name of the service, written on every line as `service_name`.
        telemetry_dir: Directory for rolling files; None for stderr and stdout.
        log_filter: Level, then `logger=level` pairs: `info,orders=debug,uvicorn.access=off`.
        globals: Further properties of every record and log line, in this order.
        metrics_format: `flat`, `nested` or `emf`.
        emf: For `emf`: namespaces, dimensions and the like; None for the service's name as the
            namespace and no dimensions.
        sampling: Which records are written; None for all.
        destinations: Where records go besides, each with its own format, sink and sampler; the
            guard closes their sinks.
        runtime: How event loops and the process are measured, in records of their own; None for
            not at all.
        recorder: What the flight recorder of the event loop does; None for not at all. One that
            cannot start is told in the log, and the service starts without it.
        recorder_metrics: How often records tell what the recorder does, if it runs; None for not at
            all.
        per_process: Put the process id into file names, for several processes in one directory that
            are read apart. Without it they share the files, line by line.
        announce_schema: On a stream, a line with a class's units before its first record; beside
            files there is `metrics.schema.json`, and a person at a terminal needs neither.
        pretty: Lines for a person instead of JSON, only without a directory; None: when the stream
            is a terminal.

    Raises:
        ConfigError: A value is invalid; the message lists every problem.
    """

    service: str
    telemetry_dir: Path | str | None = None
    log_filter: str = "info"
    globals: Mapping[str, str] = field(default_factory=dict)
    metrics_format: str = "flat"
    emf: EmfConfig | None = None
    sampling: metrics.Sampling | None = None
    destinations: Sequence[metrics.Destination] = ()
    runtime: RuntimeConfig | None = None
    recorder: RecorderConfig | None = None
    recorder_metrics: RecorderMetricsConfig | None = None
    per_process: bool = False
    announce_schema: bool = False
    pretty: bool | None = None

    def __post_init__(self) -> None:
        problems = []
        if not self.service.strip():
            problems.append("service: expected a name, got an empty text.")
        if self.metrics_format not in _FORMATS:
            expected = ", ".join(_FORMATS)
            problems.append(f"metrics_format: expected {expected}, got {self.metrics_format!r}.")
        if self.emf is not None and self.metrics_format != "emf":
            problems.append(f"emf: of no effect with metrics_format={self.metrics_format!r}.")
        try:
            logs.Directives.parse(self.log_filter)
        except ConfigError as error:
            problems.append(f"log_filter: {error}")
        if problems:
            raise ConfigError("\n".join(problems))
        if self.telemetry_dir is not None:
            object.__setattr__(self, "telemetry_dir", Path(self.telemetry_dir))

    @classmethod
    def from_env(
        cls, *, service: str, environ: Mapping[str, str] | None = None, **settings: Any
    ) -> Self:
        """Return a configuration from the environment; an empty variable counts as unset.

        Reads `SERVICE_NAME`, `TELEMETRY_DIR`, `LOG_FILTER`, `METRICS_FORMAT`,
        `TELEMETRY_PER_PROCESS`, `METRICS_SAMPLE_RATE` (errors are kept), `RUNTIME_METRICS` (on or
        off) with `RUNTIME_METRICS_INTERVAL` and `RUNTIME_METRICS_RENAME`, `RECORDER_METRICS` (on or
        off) with the same two, `TACHO_ENABLED` with the other `TACHO_*` variables of the recorder,
        and for EMF `METRICS_NAMESPACE` (several by commas), `METRICS_DIMENSIONS` (names by commas,
        sets by semicolons: `Operation,Status;Operation;`, where the empty set is no dimensions) and
        `METRICS_LOG_GROUP`.

        Args:
            service: Used when `SERVICE_NAME` is unset.
            environ: Read instead of the process's environment.
            settings: Fields that win over the environment.

        Raises:
            ConfigError: Values are invalid; the message lists every problem, by its variable.
        """
        found: dict[str, Any] = {"service": read_text("SERVICE_NAME", environ) or service}
        problems: list[str] = []
        if directory := read_text("TELEMETRY_DIR", environ):
            found["telemetry_dir"] = Path(directory)
        if log_filter := read_text("LOG_FILTER", environ):
            found["log_filter"] = log_filter
        if metrics_format := read_text("METRICS_FORMAT", environ):
            found["metrics_format"] = metrics_format
        if rate := read_text("METRICS_SAMPLE_RATE", environ):
            with collected(problems):
                found["sampling"] = _sampling(rate)
        if (settings.get("metrics_format") or metrics_format) == "emf" and "emf" not in settings:
            with collected(problems, _EMF_VARIABLES):
                found["emf"] = _emf_from_env(found["service"], environ)
        if "recorder" not in settings and read_text("TACHO_ENABLED", environ):
            found["recorder"] = _recorder_from_env(found["service"], environ)
        if "runtime" not in settings:
            with collected(problems):
                found["runtime"] = runtime_from_env(environ)
        if "recorder_metrics" not in settings:
            with collected(problems):
                found["recorder_metrics"] = own_from_env(
                    "RECORDER_METRICS", RecorderMetricsConfig, environ
                )
        with collected(problems):
            per_process = read_bool("TELEMETRY_PER_PROCESS", environ)
            if per_process is not None:
                found["per_process"] = per_process
        by_variable = {k: v for k, v in _VARIABLES.items() if k in found and k not in settings}
        config = None
        with collected(problems, by_variable):
            config = cls(**{**found, **settings})
        if config is None or problems:
            raise ConfigError("\n".join(problems))
        return config


_VARIABLES = {"log_filter": "LOG_FILTER", "metrics_format": "METRICS_FORMAT"}
_EMF_VARIABLES = {
    "namespace": "METRICS_NAMESPACE (the service's name if unset)",
    "dimensions": "METRICS_DIMENSIONS",
}


def _sampling(rate: str) -> metrics.Sampling:
    try:
        return metrics.Sampling(float(rate))
    except ValueError:
        msg = f"METRICS_SAMPLE_RATE: expected a number above 0 and at most 1, got {rate!r}."
        raise ConfigError(msg) from None


def _emf_from_env(service: str, environ: Mapping[str, str] | None) -> EmfConfig:
    return EmfConfig.from_text(
        read_text("METRICS_NAMESPACE", environ) or service,
        dimensions=read_text("METRICS_DIMENSIONS", environ) or "",
        log_group=read_text("METRICS_LOG_GROUP", environ),
    )


def _recorder_from_env(service: str, environ: Mapping[str, str] | None) -> RecorderConfig | None:
    from tachograph.recorder.config import RecorderConfig  # noqa: PLC0415 -- when it is wanted

    return RecorderConfig.from_env_if_enabled(environ, service=service)
