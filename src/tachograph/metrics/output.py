"""From a closed record to the destinations: configured ones, a test's capture, or a short wait.

Records that are emitted before a destination exists wait in a bounded buffer, oldest dropped, and
are written in order once there is one.
"""

from __future__ import annotations

import atexit
import contextvars
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import fields, is_dataclass
from typing import Any, Protocol

from tachograph._base.clock import clock
from tachograph._base.forks import ForkLock
from tachograph._base.ratelimit import warn_once
from tachograph._core import native
from tachograph.formats.plan import Closed, Notes, RecordPlan
from tachograph.formats.schema import announcement
from tachograph.metrics.statistics import statistics
from tachograph.metrics.strict import complain

__all__ = [
    "SAMPLED_OUT",
    "Collector",
    "Destination",
    "Sampler",
    "attach",
    "capture_into",
    "choose",
    "detach",
    "emit",
    "set_strict",
]

_PENDING_LIMIT = 1_024


class Format(Protocol):
    """What a destination needs of a format."""

    def encoder(self, plan: RecordPlan) -> Callable[[int, tuple[Any, ...], Notes | None], bytes]:
        """Return the function that writes closed records of one class."""
        ...


class ByteSink(Protocol):
    """What a destination needs of a sink."""

    def write(self, line: bytes, /) -> None:
        """Take one line; never raise, never block."""
        ...

    def flush(self, timeout: float = 5.0) -> bool:
        """Wait until all lines taken before are written."""
        ...

    def close(self, timeout: float = 5.0) -> bool:
        """Flush and end."""
        ...


class Sampler(Protocol):
    """What a destination needs of a sampler."""

    def weigh(
        self, record: Any, *, error: BaseException | None, duration_ns: int
    ) -> tuple[float, int]:
        """Return the part of such records that it lets through, and how many this one stands for.

        0 leaves it out. Never raises.
        """
        ...


Route = tuple[Callable[..., bytes], Callable[[bytes], None]]


class Destination:
    """A format and the sink its lines go to.

    Args:
        format: Makes an encoder for each record class, once.
        sink: Takes the lines. A `QueueSink` tells of lost ones as the format does, unless it was
            given a `mark_dropped` of its own.
        on_first: Called with the plan when a class is first emitted here; for the schema file.
        sampler: Decides which records come here; None for all. Destinations that share one get the
            same records.
        announce_schema: Write a line with a class's units before its first record, for a stream
            that no schema file lies beside.
    """

    __slots__ = ("_announces", "_encoders", "_format", "_on_first", "_write", "sampler", "sink")

    def __init__(
        self,
        format: Format,
        sink: ByteSink,
        *,
        on_first: Callable[[RecordPlan], None] | None = None,
        sampler: Sampler | None = None,
        announce_schema: bool = False,
    ) -> None:
        self._announces = announce_schema
        self._format = format
        self.sink = sink
        self.sampler = sampler
        self._write = sink.write
        self._on_first = on_first
        self._encoders: dict[RecordPlan, Callable[..., bytes]] = {}
        mark = getattr(format, "mark_dropped", None)
        accept = getattr(sink, "mark_dropped_by", None)
        if mark is not None and accept is not None:
            accept(mark)

    def counts(self) -> dict[str, Any]:
        """Return what its sink and its format count, as far as they do, by name."""
        of_sink: object = getattr(self.sink, "statistics", dict)()
        parts = (of_sink, getattr(self._format, "tally", None))
        return {f.name: getattr(p, f.name) for p in parts if is_dataclass(p) for f in fields(p)}

    def problems(self, plan: RecordPlan) -> list[str]:
        """Return what its format finds wrong with a record class, as sentences."""
        find: Callable[[RecordPlan], list[str]] | None = getattr(self._format, "problems", None)
        return [] if find is None else find(plan)

    @property
    def global_names(self) -> Iterable[str]:
        """The names of what its format writes on every record."""
        return getattr(self._format, "globals", ())

    def route(self, plan: RecordPlan) -> Route:
        """Return the encoder of a class and where its lines go; the first call announces it."""
        encode = self._encoders.get(plan)
        if encode is None:
            encode = self._encoders[plan] = self._format.encoder(plan)
            if self._announces:
                self._write(announcement(plan, clock.time_ns()))
            if self._on_first is not None:
                self._on_first(plan)
        return encode, self._write


class Collector(Protocol):
    """Takes closed records in place of the destinations; a test's capture."""

    def add(self, closed: Closed) -> None:
        """Take one record; called on any thread."""


_destinations: tuple[Destination, ...] = ()
_sampled: tuple[Destination, ...] = ()  # the same, if any of them has a sampler
# Where each class's lines go, learnt at its first record; emptied when destinations change, and
# empty while a capture is open or nothing is attached.
_routes: dict[RecordPlan, tuple[Route, ...]] = {}
_lock = ForkLock()
_pending: deque[Closed] = deque(maxlen=_PENDING_LIMIT)
_collector: contextvars.ContextVar[Collector | None] = contextvars.ContextVar(
    "tachograph_collector", default=None
)
# For threads that were started without a context: the innermost capture of the process.
_process_collectors: list[Collector] = []


Weights = tuple[tuple[float, int] | None, ...]
"""For each destination the sampler's rate and the record's weight, or None without a sampler."""

SAMPLED_OUT: Weights = ()
"""No destination wants the record."""

_NOTHING = Notes()


def choose(record: Any, error: BaseException | None, duration_ns: int) -> Weights | None:
    """Return what the destinations' samplers say to a record whose scope has ended.

    None when there is no sampler; `SAMPLED_OUT`, counted, when nobody wants the record. Each
    sampler is asked once. A record that was told to be kept goes everywhere.
    """
    destinations = _sampled
    if not destinations:
        return None
    more = record._more  # noqa: SLF001 -- of the same package
    kept = more is not None and more.kept
    asked: dict[Sampler, tuple[float, int]] = {}
    weights: list[tuple[float, int] | None] = []
    for destination in destinations:
        sampler = destination.sampler
        if sampler is None:
            weights.append(None)
            continue
        if sampler not in asked:
            asked[sampler] = (
                (1.0, 1) if kept else sampler.weigh(record, error=error, duration_ns=duration_ns)
            )
        weights.append(asked[sampler])
    if all(weight is not None and not weight[1] for weight in weights):
        statistics.sampled_out += 1
        if not _process_collectors:
            return SAMPLED_OUT
    return tuple(weights)


def emit(
    plan: RecordPlan,
    time_ns: int,
    values: tuple[Any, ...],
    notes: Notes | None,
    weights: Weights | None = None,
) -> None:
    """Send a closed record on its way. Never raises, but in strict mode for what is wrong in it."""
    try:
        routes = _routes.get(plan) or _route(plan, time_ns, values, notes)
        if weights is None:
            statistics.emitted_by_python += 1
            for encode, write in routes:
                write(encode(time_ns, values, notes))
        else:
            _write_weighted(routes, (time_ns, values, notes), weights)
    except Exception as error:  # noqa: BLE001 -- telemetry never raises into the application
        statistics.emit_errors += 1
        warn_once(f"emit {type(error)}", f"A record of {plan.name} was lost: {error!r}")
    if statistics.strict:  # its line is written: salvaged, as in production
        names = {name for d in _destinations for name in d.global_names}
        complain(plan, values, notes, names)


def _write_weighted(
    routes: Sequence[Route], closed: tuple[int, tuple[Any, ...], Notes | None], weights: Weights
) -> None:
    """Write a record where samplers were asked."""
    if any(weight is None or weight[1] for weight in weights):
        statistics.emitted_by_python += 1
    time_ns, values, notes = closed
    # The destinations may have changed since the samplers were asked: then all get it.
    chosen = weights if len(weights) == len(routes) else (None,) * len(routes)
    for (encode, write), weight in zip(routes, chosen, strict=True):
        if weight is None:
            write(encode(time_ns, values, notes))
        elif weight[1]:
            told = notes or _NOTHING
            marked = Notes(told.incomplete, told.errors, told.extra, *weight)
            write(encode(time_ns, values, marked))


def attach(destinations: Sequence[Destination]) -> None:
    """Send records to *destinations* from now on, those that waited first.

    Raises:
        RuntimeError: Other destinations are attached.
    """
    global _destinations, _sampled  # noqa: PLW0603 -- one per process: where records go
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
        _sampled = _destinations if any(d.sampler for d in destinations) else ()
        _forget_routes()


def detach() -> None:
    """Send records nowhere: they wait again."""
    global _destinations, _sampled  # noqa: PLW0603
    with _lock:
        _destinations = _sampled = ()
        _forget_routes()


def _route(
    plan: RecordPlan, time_ns: int, values: tuple[Any, ...], notes: Notes | None
) -> tuple[Route, ...]:
    """Return where a record goes that has no route yet; captures get it from here."""
    collectors = _process_collectors
    with _lock:
        found = tuple(destination.route(plan) for destination in _destinations)
        if found and not collectors and not statistics.strict:
            _routes[plan] = found
            _shorten(plan, found)
    if collectors:
        own = _collector.get()  # by identity: an empty one is false
        (collectors[-1] if own is None else own).add(Closed(plan, time_ns, values, notes))
    elif not found:
        _wait(Closed(plan, time_ns, values, notes))
    return found


def _shorten(plan: RecordPlan, found: tuple[Route, ...]) -> None:
    """Let the native core write lines of this class straight into the only queue there is."""
    if native is None or plan.direct is None or len(_destinations) != 1 or _sampled:
        return
    lines = getattr(_destinations[0].sink, "lines", None)
    encoder = found[0][0]
    if isinstance(lines, native.Lines) and isinstance(encoder, native.LineEncoder):
        plan.direct.set_route(encoder, lines)


def _forget_routes() -> None:
    _routes.clear()
    if native is not None:
        native.forget_routes()


def _wait(closed: Closed) -> None:
    if len(_pending) == _PENDING_LIMIT:
        statistics.pending_dropped += 1
    _pending.append(closed)


def set_strict(strict: bool) -> bool:
    """Raise for what is wrong with a record, or count it as ever; return what was so before."""
    before, statistics.strict = statistics.strict, strict
    _forget_routes()  # every record asks for its route while this is so
    return before


def capture_into(collector: Collector) -> Callable[[], None]:
    """Give every record of this context, and of threads without one, to *collector*.

    Returns:
        The function that ends it, to be called in the same context.
    """
    token = _collector.set(collector)
    _process_collectors.append(collector)
    _forget_routes()  # every record asks for its route while there is a capture

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
