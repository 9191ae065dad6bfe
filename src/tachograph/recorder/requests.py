"""What joins a wide event with the trace: one event for each request, and the ids both carry."""

from __future__ import annotations

from tachograph.recorder.control import current
from tachograph.recorder.events import EventKind, buffer
from tachograph.recorder.spans import running_task_id
from tachograph.trace.requests import REQUESTS

__all__ = ["LOG", "REQUEST", "note_log", "note_request", "place"]

REQUEST = EventKind.builtin(REQUESTS)
"""A request that ended; the record of the same request id tells the rest."""

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


def note_request(
    *,
    request_id: str | None,
    record: str,
    operation: str | None,
    start_ns: int,
    duration_ns: int,
    outcome: str | None,
    status: int | None,
    task_id: int | None,
) -> None:
    """Record that a request ended; times of the monotonic clock. Never raises."""
    values = (request_id, record, operation, start_ns, duration_ns, outcome, status, task_id)
    buffer.add(REQUEST, values, start_ns + duration_ns)


def note_log(level: str, logger: str, message: str) -> None:
    """Record a line of the log. Never raises."""
    if buffer.is_open:
        buffer.add(LOG, (level, logger, message, running_task_id()))
