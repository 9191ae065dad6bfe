"""Wide events: typed records, compiled at definition, emitted exactly once."""

from tachograph.metrics.fields import gauge, metric, outcome, slot, stopwatch, timer, timestamp
from tachograph.metrics.holds import Hold, Late
from tachograph.metrics.instruments import Counter, Outcome, Span, Stopwatch, Timer
from tachograph.metrics.output import Destination, attach, detach
from tachograph.metrics.record import WideEvent
from tachograph.metrics.statistics import MetricsStatistics, statistics
from tachograph.metrics.units import Unit

__all__ = [
    "Counter",
    "Destination",
    "Hold",
    "Late",
    "MetricsStatistics",
    "Outcome",
    "Span",
    "Stopwatch",
    "Timer",
    "Unit",
    "WideEvent",
    "attach",
    "detach",
    "gauge",
    "metric",
    "outcome",
    "slot",
    "statistics",
    "stopwatch",
    "timer",
    "timestamp",
]
