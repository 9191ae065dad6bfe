"""One wide event per request and a flight recorder of the event loop.

General layout, data flowing one way:

    metrics    records: WideEvent, fields, instruments       formats   record -> bytes
    logs       structured logs over stdlib logging           sinks     bytes -> files, streams
    telemetry  starts and closes all of it                   asgi      middlewares, one order
    testing    for your tests and ours                       cli, scaffold, fleet: the tools
"""

from tachograph import asgi
from tachograph._version import __version__
from tachograph.errors import ConfigError, DeclarationError, TachographError
from tachograph.formats.cloudwatch import EmfConfig
from tachograph.logs import get_logger
from tachograph.metrics import (
    Counter,
    Outcome,
    Sampling,
    Unit,
    WideEvent,
    distribution,
    gauge,
    histogram,
    mean,
    metric,
    outcome,
    slot,
    stopwatch,
    timer,
    timestamp,
)
from tachograph.telemetry import TelemetryConfig, TelemetryGuard, init_telemetry

__all__ = [
    "ConfigError",
    "Counter",
    "DeclarationError",
    "EmfConfig",
    "Outcome",
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
    "mean",
    "metric",
    "outcome",
    "slot",
    "stopwatch",
    "timer",
    "timestamp",
]
