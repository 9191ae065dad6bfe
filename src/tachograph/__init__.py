"""One wide event per request and a flight recorder of the event loop.

General layout, data flowing one way:

    metrics    records: WideEvent, fields, instruments       formats   record -> bytes
    logs       structured logs over stdlib logging           sinks     bytes -> files, streams
    telemetry  starts and closes all of it                   asgi      middlewares, one order
    testing    for your tests and ours                       trace     the recorder's files
    cli, scaffold, fleet: the tools
"""

from typing import TYPE_CHECKING, Any

from tachograph._version import __version__
from tachograph.errors import ConfigError, DeclarationError, TachographError
from tachograph.formats.cloudwatch import EmfConfig
from tachograph.logs import get_logger
from tachograph.metrics import (
    Counter,
    Outcome,
    Quantity,
    RuntimeConfig,
    Sampling,
    Unit,
    WideEvent,
    distribution,
    gauge,
    histogram,
    latest,
    mean,
    metric,
    outcome,
    slot,
    stopwatch,
    timer,
    timestamp,
)
from tachograph.telemetry import (
    RecorderMetricsConfig,
    TelemetryConfig,
    TelemetryGuard,
    init_telemetry,
)

if TYPE_CHECKING:
    from tachograph import asgi
    from tachograph.metrics.process import ProcessMetrics
    from tachograph.metrics.runtime import RuntimeMetrics

__all__ = [
    "ConfigError",
    "Counter",
    "DeclarationError",
    "EmfConfig",
    "Outcome",
    "ProcessMetrics",
    "Quantity",
    "RecorderMetricsConfig",
    "RuntimeConfig",
    "RuntimeMetrics",
    "Sampling",
    "TachographError",
    "TelemetryConfig",
    "TelemetryGuard",
    "Unit",
    "WideEvent",
    "__version__",
    "asgi",
    "distribution",
    "gauge",
    "get_logger",
    "histogram",
    "init_telemetry",
    "latest",
    "mean",
    "metric",
    "outcome",
    "slot",
    "stopwatch",
    "timer",
    "timestamp",
]


def __getattr__(name: str) -> Any:
    """Load what a tool or a batch job does without when it is first used."""
    if name == "asgi":
        import tachograph.asgi  # noqa: PLC0415

        return tachograph.asgi
    if name == "RuntimeMetrics":
        from tachograph.metrics.runtime import RuntimeMetrics  # noqa: PLC0415

        return RuntimeMetrics
    if name == "ProcessMetrics":
        from tachograph.metrics.process import ProcessMetrics  # noqa: PLC0415

        return ProcessMetrics
    msg = f"module 'tachograph' has no attribute {name!r}"
    raise AttributeError(msg)
