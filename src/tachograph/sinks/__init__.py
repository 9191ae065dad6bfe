"""Where encoded lines go. Sinks know bytes only.

A `Sink` takes whole lines and never raises or blocks; a `Target` is the blocking end that a sink's
writer thread writes to.
"""

from tachograph._base.retention import Retention
from tachograph.sinks.immediate import ImmediateSink
from tachograph.sinks.memory import MemorySink
from tachograph.sinks.protocols import Sink, Target
from tachograph.sinks.queue import QueueSink
from tachograph.sinks.rolling import Period, RollingFile
from tachograph.sinks.statistics import SinkStatistics
from tachograph.sinks.stream import StreamTarget
from tachograph.sinks.tee import Tee

__all__ = [
    "ImmediateSink",
    "MemorySink",
    "Period",
    "QueueSink",
    "Retention",
    "RollingFile",
    "Sink",
    "SinkStatistics",
    "StreamTarget",
    "Target",
    "Tee",
]
