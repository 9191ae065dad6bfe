"""One wide event per request and a flight recorder of the event loop.

General layout, data flowing one way:

    metrics    records: WideEvent, fields, instruments       formats   record -> bytes
    logs       structured logs over stdlib logging           sinks     bytes -> files, streams
    telemetry  starts and closes all of it                   asgi      middlewares, one order
    testing    for your tests and ours                       cli, scaffold, fleet: the tools
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

if TYPE_CHECKING:
    from tachograph import asgi

__all__ = [
    "ConfigError",
    "Counter",
    "DeclarationError",
    "EmfConfig",
    "Outcome",
    "Quantity",
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


def __getattr__(name: str) -> Any:
    """Load `tachograph.asgi` when it is first used: a tool or a batch job does without."""
    if name == "asgi":
        import tachograph.asgi  # noqa: PLC0415

        return tachograph.asgi
    msg = f"module 'tachograph' has no attribute {name!r}"
    raise AttributeError(msg)
