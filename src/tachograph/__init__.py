"""One wide event per request and a flight recorder of the event loop.

General layout, data flowing one way:

    metrics    records: WideEvent, fields, instruments       formats   record -> bytes
    logs       structured logs over stdlib logging           sinks     bytes -> files, streams
    telemetry  starts and closes all of it                   asgi      middlewares, one order
    testing    for your tests and ours                       cli, scaffold, fleet: the tools
"""

from tachograph._version import __version__
from tachograph.metrics import (
    Counter,
    Outcome,
    Unit,
    WideEvent,
    gauge,
    metric,
    outcome,
    slot,
    stopwatch,
    timer,
    timestamp,
)

__all__ = [
    "Counter",
    "Outcome",
    "Unit",
    "WideEvent",
    "__version__",
    "gauge",
    "metric",
    "outcome",
    "slot",
    "stopwatch",
    "timer",
    "timestamp",
]
