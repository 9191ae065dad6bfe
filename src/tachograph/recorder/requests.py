"""What joins a wide event with the trace: an entry for each request, and the ids both carry."""

from __future__ import annotations

from tachograph.recorder.control import current
from tachograph.recorder.events import EventKind, buffer
from tachograph.recorder.request_log import request_log
from tachograph.recorder.spans import running_task_id

__all__ = ["LOG", "note_log", "note_request", "place"]

LOG = EventKind(
    "tacho:Log",
    (
        ("level", "str", False),
        ("logger", "str", False),
        ("message", "str", False),
        ("task_id", "int", True),
    ),
    "A line of the log.",
)


def place() -> tuple[int | None, str | None]:
    """Return the id of the task that runs here, and the process and number of the segment.

    Both are None where nothing is recorded.
    """
    recorder = current()
    if not recorder.is_enabled:
        return None, None
    return running_task_id(), recorder.segment_name


note_request = request_log.add
"""Record that a request ended: the fields of `trace.requests.Request`, times of one clock.

The record of the same request id tells the rest.
"""


def note_log(level: str, logger: str, message: str) -> None:
    """Record a line of the log. Never raises."""
    if buffer.is_open:
        buffer.add(LOG, (level, logger, message, running_task_id()))
