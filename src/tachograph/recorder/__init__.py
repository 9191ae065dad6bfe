"""The flight recorder of the event loop: every step, wake and park, always.

    with recorder.start(recorder.RecorderConfig(directory="traces", service="orders")):
        asyncio.run(main())

One recorder a process. What it cannot record here it leaves out, and says so in `problems`.
"""

from tachograph.recorder.config import RecorderConfig
from tachograph.recorder.control import (
    current,
    dump,
    is_enabled,
    pause,
    recorder_or_disabled,
    resume,
    smoke_test,
    start,
    start_from_env,
    statistics,
)
from tachograph.recorder.events import event
from tachograph.recorder.recording import Recorder
from tachograph.recorder.self_metrics import (
    DrainMetrics,
    FlushMetrics,
    SegmentMetrics,
    SelfMetrics,
    WorkerMetrics,
)
from tachograph.recorder.smoke import SmokeCheck, SmokeTest
from tachograph.recorder.sources.config import SourcesConfig
from tachograph.recorder.spans import Span, span

__all__ = [
    "DrainMetrics",
    "FlushMetrics",
    "Recorder",
    "RecorderConfig",
    "SegmentMetrics",
    "SelfMetrics",
    "SmokeCheck",
    "SmokeTest",
    "SourcesConfig",
    "Span",
    "WorkerMetrics",
    "current",
    "dump",
    "event",
    "is_enabled",
    "pause",
    "recorder_or_disabled",
    "resume",
    "smoke_test",
    "span",
    "start",
    "start_from_env",
    "statistics",
]
