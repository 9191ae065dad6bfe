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
    start,
    start_from_env,
    statistics,
)
from tachograph.recorder.events import event
from tachograph.recorder.recording import Recorder
from tachograph.recorder.spans import Span, span

__all__ = [
    "Recorder",
    "RecorderConfig",
    "Span",
    "current",
    "dump",
    "event",
    "is_enabled",
    "pause",
    "recorder_or_disabled",
    "resume",
    "span",
    "start",
    "start_from_env",
    "statistics",
]
