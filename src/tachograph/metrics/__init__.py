"""Wide events: typed records, compiled at definition, emitted exactly once."""

from tachograph.formats.quantities import Quantity
from tachograph.metrics.bridge import RuntimeConfig
from tachograph.metrics.distributions import Distribution, Histogram, Mean
from tachograph.metrics.fields import (
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
from tachograph.metrics.holds import Hold, Late
from tachograph.metrics.instruments import Counter, Outcome, Span, Stopwatch, Timer
from tachograph.metrics.latest import latest
from tachograph.metrics.output import Destination, attach, detach
from tachograph.metrics.record import WideEvent
from tachograph.metrics.sampling import Sampling
from tachograph.metrics.statistics import MetricsStatistics, statistics
from tachograph.metrics.units import Unit

__all__ = [
    "Counter",
    "Destination",
    "Distribution",
    "Histogram",
    "Hold",
    "Late",
    "Mean",
    "MetricsStatistics",
    "Outcome",
    "Quantity",
    "RuntimeConfig",
    "Sampling",
    "Span",
    "Stopwatch",
    "Timer",
    "Unit",
    "WideEvent",
    "attach",
    "detach",
    "distribution",
    "gauge",
    "histogram",
    "latest",
    "mean",
    "metric",
    "outcome",
    "slot",
    "statistics",
    "stopwatch",
    "timer",
    "timestamp",
]
