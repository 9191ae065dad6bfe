"""From a closed record to the destinations: configured ones, a test's capture, or a short wait.

Records that are emitted before a destination exists wait in a bounded buffer, oldest dropped, and
are written in order once there is one.
"""

from __future__ import annotations

import atexit
import contextvars
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from tachograph._base.ratelimit import warn_once
from tachograph.formats.plan import Closed, Notes, RecordPlan
from tachograph.metrics.statistics import statistics

__all__ = ["Collector", "Destination", "attach", "capture_into", "detach", "emit"]

_PENDING_LIMIT = 1_024


class Format(Protocol):
    """What a destination needs of a format."""

    def encoder(self, plan: RecordPlan) -> Callable[[int, tuple[Any, ...], Notes | None], bytes]:
        """Return the function that writes closed records of one class."""
        ...


class ByteSink(Protocol):
    """What a destination needs of a sink."""

    def write(self, line: bytes) -> None:
        """Take one line; never raise, never block."""
        ...


Route = tuple[Callable[..., bytes], Callable[[bytes], None]]


class Destination:
    """A format and the sink its lines go to.

    Args:
        format: Makes an encoder for each record class, once.
        sink: Takes the lines.
        on_first: Called with the plan when a class is first emitted here; for the schema file.
    """

    __slots__ = ("_encoders", "_format", "_on_first", "_sink", "_write")

    def __init__(
        self,
        format: Format,
        sink: ByteSink,
        *,
        on_first: Callable[[RecordPlan], None] | None = None,
    ) -> None:
        self._format = format
        self._sink = sink
        self._write = sink.write
        self._on_first = on_first
        self._encoders: dict[RecordPlan, Callable[..., bytes]] = {}

    def route(self, plan: RecordPlan) -> Route:
        """Return the encoder of a class and where its lines go; the first call announces it."""
        encode = self._encoders.get(plan)
        if encode is None:
            encode = self._encoders[plan] = self._format.encoder(plan)
            if self._on_first is not None:
                self._on_first(plan)
        return encode, self._write


class Collector(Protocol):
    """Takes closed records in place of the destinations; a test's capture."""

    def add(self, closed: Closed) -> None:
        """Take one record; called on any thread."""


_destinations: tuple[Destination, ...] = ()
# Where each class's lines go, learnt at its first record; emptied when destinations change, and
# empty while a capture is open or nothing is attached.
_routes: dict[RecordPlan, tuple[Route, ...]] = {}
_lock = threading.Lock()
_pending: deque[Closed] = deque(maxlen=_PENDING_LIMIT)
_collector: contextvars.ContextVar[Collector | None] = contextvars.ContextVar(
    "tachograph_collector", default=None
)
# For threads that were started without a context: the innermost capture of the process.
_process_collectors: list[Collector] = []


def emit(plan: RecordPlan, time_ns: int, values: tuple[Any, ...], notes: Notes | None) -> None:
    """Send a closed record on its way. Never raises."""
    try:
        statistics.emitted += 1
        for encode, write in _routes.get(plan) or _route(plan, time_ns, values, notes):
            write(encode(time_ns, values, notes))
    except Exception as error:  # noqa: BLE001 -- telemetry never raises into the application
        statistics.emit_errors += 1
        warn_once(f"emit {type(error)}", f"A record of {plan.name} was lost: {error!r}")


def attach(destinations: Sequence[Destination]) -> None:
    """Send records to *destinations* from now on, those that waited first.

    Raises:
        RuntimeError: Other destinations are attached.
    """
    global _destinations  # noqa: PLW0603 -- one per process: where records go
    with _lock:
        if _destinations:
            msg = (
                "Telemetry is already running in this process: close the first guard, or use it "
                "instead of starting another."
            )
            raise RuntimeError(msg)
        while _pending:
            plan, *closed = _pending.popleft()
            for destination in destinations:
                encode, write = destination.route(plan)
                write(encode(*closed))
        _destinations = tuple(destinations)
        _routes.clear()


def detach() -> None:
    """Send records nowhere: they wait again."""
    global _destinations  # noqa: PLW0603
    with _lock:
        _destinations = ()
        _routes.clear()


def _route(
    plan: RecordPlan, time_ns: int, values: tuple[Any, ...], notes: Notes | None
) -> tuple[Route, ...]:
    """Return where a record goes that has no route yet; captures get it from here."""
    collectors = _process_collectors
    with _lock:
        found = tuple(destination.route(plan) for destination in _destinations)
        if found and not collectors:
            _routes[plan] = found
    if collectors:
        (_collector.get() or collectors[-1]).add(Closed(plan, time_ns, values, notes))
    elif not found:
        _wait(Closed(plan, time_ns, values, notes))
    return found


def _wait(closed: Closed) -> None:
    if len(_pending) == _PENDING_LIMIT:
        statistics.pending_dropped += 1
    _pending.append(closed)


def capture_into(collector: Collector) -> Callable[[], None]:
    """Give every record of this context, and of threads without one, to *collector*.

    Returns:
        The function that ends it, to be called in the same context.
    """
    token = _collector.set(collector)
    _process_collectors.append(collector)
    _routes.clear()  # every record asks for its route while there is a capture

    def end() -> None:
        _process_collectors.remove(collector)
        _collector.reset(token)

    return end


def _warn_of_pending() -> None:
    if _pending:
        warn_once(
            "pending at exit",
            f"Records that were never written: {len(_pending) + statistics.pending_dropped}. No "
            "destination was configured; call `tachograph.init_telemetry()` at start-up.",
        )


atexit.register(_warn_of_pending)
