"""From the rings to the segments: one thread that looks every tenth of a second, or more often.

A ring keeps an event until it is on file, so the thread writes when there is enough to write, or
once a second. While rings fill quickly it looks up to eight times as often. Its priority is that
of the program: it holds the GIL while it works, and a thread that holds the GIL and has to wait for
a processor keeps every loop waiting.

When a segment is old enough the rings are emptied into it before it is sealed, so that the windows
of segments do not overlap.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from operator import attrgetter
from pathlib import Path

from tachograph._base.clock import clock
from tachograph._base.ids import series
from tachograph._base.ratelimit import RateLimit
from tachograph.recorder.batches import Batches
from tachograph.recorder.core import core
from tachograph.recorder.events import Recorded, buffer
from tachograph.recorder.measure import Counts, Measure
from tachograph.recorder.request_log import request_log
from tachograph.recorder.segments import Segments
from tachograph.recorder.self_metrics import Teller
from tachograph.recorder.smoke import PROBE

__all__ = ["Drain", "DrainStatistics"]

_ENOUGH = 8_192  # events of a lane that are worth a batch of their own
_MOST = 16_384  # events of one batch: below a mebibyte, whatever is in them
_MOST_REQUESTS = 4_096  # of one batch: a millisecond, in which nothing else has the GIL
_FLUSH_NS = 10**9
_QUIET_NS = 10**9
_head, _time_ns = attrgetter("head"), attrgetter("time_ns")
_logger = logging.getLogger("tachograph")


@dataclass(slots=True)
class DrainStatistics:
    """What became of events.

    Attributes:
        events_written: Events of lanes that are on file.
        events_lost: Events of lanes that could not be written.
        own_events_written: Events and spans of the program's own that are on file.
        own_events_lost: Those that could not be written.
        turns: How often the rings were looked at.
        failures: Errors that cost a batch or a turn, those of `on_turn` among them.
    """

    events_written: int = 0
    events_lost: int = 0
    own_events_written: int = 0
    own_events_lost: int = 0
    turns: int = 0
    failures: int = 0


@dataclass(slots=True)
class Probe:
    """An event that a smoke test put in.

    Attributes:
        number: It has.
        state: `waits`, `written`, or `lost`.
    """

    number: int
    state: str


class Made:
    """A batch of own events that is made when its segment has begun, once more in another one."""

    def __init__(self, batches: Batches, events: Sequence[Recorded], start: int) -> None:
        self.count, self.next = 0, len(events)
        self._batches, self._events, self._start = batches, events, start

    def __call__(self) -> bytes:
        batch, self.next, self.count = self._batches.of_events(self._events, self._start)
        return batch


class Drain:
    """Empties the rings into segments on a thread of its own.

    Args:
        segments: Takes the batches.
        batches: Makes them.
        interval_s: Seconds between two looks while there is little to see.
        ring_events: Events that a ring holds.
        ring_of: Returns the file of a lane's ring; it is deleted when the lane has ended.
        on_look: Called before each look with the time; what it emits is on file with what is seen.
        on_seal: Called before a segment is sealed that is old enough; as `on_look`.
        on_turn: Called after each turn.
        measure: Is told what turns do.
    """

    def __init__(
        self,
        segments: Segments,
        batches: Batches,
        *,
        interval_s: float,
        ring_events: int,
        ring_of: Callable[[int, int], Path],
        on_look: Callable[[int], None] | None = None,
        on_seal: Callable[[], None] | None = None,
        on_turn: Callable[[], None] | None = None,
        measure: Measure | None = None,
    ) -> None:
        self.statistics = DrainStatistics()
        self._segments = segments
        self._batches = batches
        self._interval_s = self._wait_s = interval_s
        self._ring_events = ring_events
        self._ring_of = ring_of
        self._on_look = on_look
        self._on_seal = on_seal
        self._on_turn = on_turn
        self._measure = Measure(segments, Teller(None)) if measure is None else measure
        self._lanes_ended = 0
        self._probe = Probe(0, "written")
        self._asked = False
        self._wake = threading.Event()
        self._stopping = False
        # One turn at a time: `flush` makes one on its caller's thread.
        self._lock = threading.Lock()
        self._of_ended = {"events_recorded": 0, "events_dropped": 0, "hook_errors": 0}
        self._busy_ns = 0
        self._flushed_ns = clock.monotonic_ns()
        self._says = RateLimit(60)
        self._thread = threading.Thread(target=self._run, name="tachograph-drain", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def close(self, timeout: float) -> bool:
        """Empty the rings, seal the segment, end; tell whether it was in time."""
        self._stopping = True
        self._wake.set()
        if threading.current_thread() is self._thread:  # asked for by a callback
            self._turn(everything=True, seal=True, last=True)
            return True
        if self._thread.is_alive():
            self._thread.join(timeout)
        return not self._thread.is_alive()

    def probe(self) -> Probe:
        """Put a probe event in, and have everything written at the next look.

        Raises:
            RuntimeError: Nothing is recorded, or the buffer is full.
        """
        probe = self._probe = Probe(self._probe.number + 1, "waits")
        waiting, dropped = buffer.is_open, buffer.dropped
        buffer.add(PROBE, (probe.number,))
        if not waiting or buffer.dropped != dropped:
            msg = "the buffer of events takes nothing"
            raise RuntimeError(msg)
        self._asked = True
        return probe

    def flush(self) -> None:
        """Write everything recorded so far. Never raises."""
        self._turn(everything=True)

    def rotate(self) -> Path | None:
        """Write everything recorded so far and seal the segment; return its file. Never raises."""
        return self._turn(everything=True, seal=True)

    def counts(self) -> dict[str, int]:
        """Return what was recorded and what found no room, of all lanes there ever were."""
        found = dict(self._of_ended)
        for lane in core.lanes():
            _add(found, lane)
        return found

    def _run(self) -> None:
        while not self._stopping:
            self._wake.wait(self._wait_s)
            due, asked = self._segments.is_due, self._asked
            self._asked = False
            self._turn(everything=due or asked, seal=due)
            self._measure.tell()
            if self._on_turn is not None:
                try:  # without the lock: it may ask for a dump
                    self._on_turn()
                except Exception as error:  # noqa: BLE001 -- the recorder outlives its user's code
                    self._failed(error)
        self._turn(everything=True, seal=True, last=True)

    def _turn(self, *, everything: bool, seal: bool = False, last: bool = False) -> Path | None:
        """Look at the rings once; with *seal* nothing comes between the last look and the seal."""
        with self._lock:
            self.statistics.turns += 1
            try:
                self._measure.begin()
                now = clock.monotonic_ns()
                if self._on_look is not None:
                    self._on_look(now)
                if seal and self._on_seal is not None:
                    self._on_seal()
                if now - self._flushed_ns >= _FLUSH_NS:
                    everything, self._flushed_ns = True, now
                # What comes while this runs is for the next turn: a loop can be faster than a disk.
                # All heads are read in one go, so that a rotation cuts all lanes at one moment.
                lanes = core.lanes()
                ended = [lane.ended for lane in lanes]
                heads = list(map(_head, lanes))
                full = (
                    (h - lane.tail) * self._ring_events // max(1, lane.capacity)
                    for h, lane in zip(heads, lanes, strict=True)
                )
                self._pace(max(full, default=0), now)
                for lane, is_over, head in zip(lanes, ended, heads, strict=True):
                    self._empty(lane, head, ended=is_over, everything=everything)
                if everything:
                    self._write_own()
                    self._write_requests()
                sealed = self._segments.seal(clean=True) if seal else None
                if self._measure.is_wanted:
                    counts = self._of_now()
                    self._measure.end(counts, lanes=len(lanes), emptied=everything, last=last)
                return sealed
            except Exception as error:  # noqa: BLE001 -- the recorder never breaks what it records
                self._failed(error)
                return None

    def _of_now(self) -> Counts:
        counts = self.statistics
        return Counts(
            events=counts.events_written,
            own_events=counts.own_events_written,
            events_lost=counts.events_lost,
            own_events_lost=counts.own_events_lost,
            events_dropped=self.counts()["events_dropped"],
            lanes_ended=self._lanes_ended,
        )

    def _pace(self, fullest: int, now: int) -> None:
        """Look sooner when a ring is getting full; later again after a second in which none was.

        How full the *fullest* is counts as if its ring was one of a loop.
        """
        if fullest > self._ring_events // 4:
            soon = 0.0 if fullest > self._ring_events // 2 else self._wait_s / 2
            self._wait_s = max(soon, self._interval_s / 8)
            self._busy_ns = now
        elif now - self._busy_ns > _QUIET_NS:
            self._wait_s = min(self._wait_s * 2, self._interval_s)

    def _empty(self, lane: core.Lane, head: int, *, ended: bool, everything: bool) -> None:
        enough = min(_ENOUGH, lane.capacity // 4)
        while (waiting := head - lane.tail) > 0 and (everything or ended or waiting >= enough):
            raw = lane.read(min(_MOST, waiting))
            count = len(raw) // core.EVENT_BYTES
            if count == 0:
                break
            if self._write(partial(self._batch_of, lane, raw)):
                self.statistics.events_written += count
            else:
                self.statistics.events_lost += count
            self._batches.done(lane.number, raw)
            lane.release(count)
        if ended:
            number, tid = lane.number, lane.tid
            _add(self._of_ended, lane)
            lane.close()
            self._lanes_ended += 1
            self._batches.forget_lane(number, tid)
            with contextlib.suppress(OSError):
                self._ring_of(number, tid).unlink()

    def _batch_of(self, lane: core.Lane, raw: bytes) -> bytes:
        return self._batches.of_lane(lane.number, lane.tid, lane.tail, raw)

    def _write_own(self) -> None:
        left = len(buffer)
        while left > 0 and (events := buffer.take(min(_MOST, left))):
            left -= len(events)
            events.sort(key=_time_ns)
            written = start = 0
            try:
                while start < len(events):
                    made = Made(self._batches, events, start)
                    if self._write(made):
                        written += made.count
                    self._batches.events_done()
                    start = made.next
            finally:
                self.statistics.own_events_written += written
                self.statistics.own_events_lost += len(events) - written
                probe = self._probe
                if probe.state == "waits" and any(
                    event.kind is PROBE and event.values == (probe.number,) for event in events
                ):
                    probe.state = "written" if written == len(events) else "lost"

    def _write_requests(self) -> None:
        left = len(request_log)
        while left > 0:
            count = min(left, _MOST_REQUESTS)
            left -= count
            values = request_log.take(count, series())
            if values is not None and self._write(partial(self._batches.of_requests, values)):
                self.statistics.own_events_written += count
            else:
                self.statistics.own_events_lost += count

    def _write(self, make: Callable[[], bytes]) -> bool:
        """Write a batch; one that cannot be made is lost like one that cannot be written."""
        try:
            return self._segments.append(make)
        except Exception as error:  # noqa: BLE001
            self._batches.restart()
            self._failed(error)
            return False

    def _failed(self, error: Exception) -> None:
        self.statistics.failures += 1
        if self._says.allow():
            _logger.warning("The recorder could not write: %r", error)


def _add(counts: dict[str, int], lane: core.Lane) -> None:
    counts["events_recorded"] += lane.head
    counts["events_dropped"] += lane.drops
    counts["hook_errors"] += lane.errors
