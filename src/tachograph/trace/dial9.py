"""A trace as dial9's viewer and toolkit read it: one event per start, end, wake, park and unpark.

Strategy: the intervals of a lane are put one behind the other (dial9 loses a step that another one
begins within), the sources are merged by time as they are read, so that only the model is in
memory, and the batches are written under the rules of the dial9 profile in `docs/format.md`. Each
rule is there because a reader breaks without it. What dial9 has no place for is left out; what
breaks a rule is bent or dropped, and counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from heapq import merge
from itertools import chain
from operator import itemgetter
from typing import Any

from tachograph.errors import TraceFormatError
from tachograph.trace.encode import Encoder
from tachograph.trace.events import DIAL9
from tachograph.trace.idle import IdleSampler
from tachograph.trace.intervals import Clocks, Interval, in_a_row
from tachograph.trace.model import JOB_PREFIX, NO_LANE, UNKNOWN, StepFlag, Trace
from tachograph.trace.plain import location_text, negative_fields, plain_event
from tachograph.trace.schema import Event, Schema
from tachograph.trace.spans import Spans

__all__ = ["Conversion"]

MAX_LANE = 63  # what dial9's integrity check takes for a worker
MAX_U8 = 255
MAX_U32 = 0xFFFF_FFFF
FIRST_TASK = 1024  # dial9's viewer takes a small waker id for a worker's own
LIFT = 1 << 52  # where ids below the first go: exact as a double, far from real ones
MAX_TASK = 1 << 53  # above, JavaScript's numbers lose the last digits
BATCH_BYTES = 1 << 20
CALLBACK = int(StepFlag.CALLBACK)  # an enum in a loop over steps costs more than the loop
CONTINUED = int(StepFlag.CONTINUED)
FLAGS = ((CALLBACK, 1), (int(StepFlag.TIMER), 2), (int(StepFlag.EAGER), 4), (CONTINUED, 16))
OF_A_JOB = 8
LEADING = ("ClockSyncEvent", "SegmentMetadataEvent")
TRAILING = "SymbolTableEntry"

POLL_START = DIAL9["PollStartEvent"]
POLL_END = DIAL9["PollEndEvent"]
PARK = DIAL9["WorkerParkEvent"]
UNPARK = DIAL9["WorkerUnparkEvent"]
WAKE = DIAL9["WakeEventEvent"]
SPAWN = DIAL9["TaskSpawnEvent"]
TERMINATE = DIAL9["TaskTerminateEvent"]
DUMP = DIAL9["TaskDumpEvent"]
METADATA = DIAL9["SegmentMetadataEvent"]

Item = tuple[int, Schema, tuple[Any, ...]]


class Conversion:
    """Write a trace in the dial9 profile.

    Args:
        trace: Of the compact profile; what it holds of dial9's own events is written again.
        batch_bytes: How large a batch may get before the next one begins.
        idle_mean_ns: Of which waits of tasks is told where: long ones nearly always, see
            `IdleSampler`; 0 for all.
    """

    def __init__(
        self, trace: Trace, *, batch_bytes: int = BATCH_BYTES, idle_mean_ns: int = 10_000_000
    ) -> None:
        self.trace = trace
        self.batch_bytes = batch_bytes
        self._idle = IdleSampler(idle_mean_ns)
        self.bent: Counter[str] = Counter()
        """How often what was changed or dropped to keep a rule."""

    def batches(self) -> Iterator[bytes]:
        """Yield the pieces of the file, each to be written with one call.

        Raises:
            TraceFormatError: There is no step, park or wake, and dial9 shows nothing without.
        """
        trace = self.trace
        shown = len(trace.steps) + len(trace.parks) + len(trace.wakes) + len(trace.open_steps)
        if not shown:
            raise TraceFormatError(
                "Expected at least one step, park or wake, which is what dial9 shows, got none."
            )
        encoder = Encoder(reserve_empty=True)
        leading = [event for event in trace.events if event.name in LEADING]
        for event in sorted(leading, key=lambda e: e.name != LEADING[0])[:1]:
            self._put(encoder, plain_event(event))  # the file's time of creation stands first
            yield encoder.take()
        items = self._timeline()
        first = next(items, None)
        if first is None:  # all lanes were dropped
            raise TraceFormatError("Expected a step, park or wake on a lane up to 63, got none.")
        yield from self._head(encoder, leading, first[0])
        for item in chain((first,), items):
            yield from self._put_in_batch(encoder, item)
        for event in trace.events:
            if event.name == TRAILING:
                _, schema, values = plain_event(event)
                yield from self._put_in_batch(encoder, (0, schema, values))
        if encoder.events:
            yield encoder.take()

    def _head(self, encoder: Encoder, leading: list[Event], first: int) -> Iterator[bytes]:
        entries = dict(self.trace.metadata)
        entries["tachograph.profile"] = "dial9"
        loops: dict[str, list[str]] = {}
        for number, lane in sorted(self.trace.lanes.items()):
            if lane.loop and number <= MAX_LANE:
                loops.setdefault(f"runtime.{lane.loop}", []).append(str(number))
        entries.update({loop: ",".join(numbers) for loop, numbers in loops.items()})
        self._put(encoder, (first, METADATA, (list(entries.items()),)))
        for event in leading:
            if event.name == LEADING[0]:
                self._put(encoder, plain_event(event))
        yield encoder.take()

    def _put_in_batch(self, encoder: Encoder, item: Item) -> Iterator[bytes]:
        if len(encoder) > self.batch_bytes or encoder.is_other(item[1]):
            yield encoder.take()
        self._put(encoder, item)

    def _put(self, encoder: Encoder, item: Item) -> None:
        time, schema, values = item
        try:
            encoder.event(schema, time, *values)
        except TraceFormatError:
            self.bent["unwritable_events"] += 1

    def _timeline(self) -> Iterator[Item]:
        """Yield everything in order of time.

        What is at one moment comes in the order of the sources: a wake before the start that it
        causes, an end before the start that follows, a step's start before what is within.
        """
        trace = self.trace
        lanes = {*trace.steps.lane, *trace.parks.lane, *(step.lane for step in trace.open_steps)}
        kept = [lane for lane in sorted(lanes) if lane <= MAX_LANE]
        if len(kept) < len(lanes):
            self.bent["dropped_lanes"] += len(lanes) - len(kept)
        spans = Spans(trace, MAX_LANE)
        return merge(
            self._wakes(),
            *map(self._lane, kept),
            self._lives(),
            sorted(self._dumps(), key=itemgetter(0)),
            spans.items(),
            self._others(spans),
            key=itemgetter(0),
        )

    def _wakes(self) -> Iterator[Item]:
        wakes, steps = self.trace.wakes, self.trace.steps
        known = {
            task for task, lane in zip(steps.task, steps.lane, strict=True) if lane <= MAX_LANE
        }
        known |= {t.task for t in self.trace.tasks.values() if t.spawn_ns and not t.began_before}
        for lane, time, waker, woken in zip(
            wakes.lane, wakes.time_ns, wakes.waker, wakes.woken, strict=True
        ):
            if woken not in known:
                self.bent["dropped_wakes"] += 1
                continue
            issuer = lane if lane <= MAX_LANE else NO_LANE
            values = waker and self._id(waker), self._id(woken), issuer
            yield time, WAKE, values

    def _lane(self, lane: int) -> Iterator[Item]:
        clocks = Clocks(self.trace.checkpoints, lane)
        told = self.trace.lanes.get(lane)
        tid = min((told.tid if told else 0) or 0, MAX_U32)
        free = 0
        interval: Interval | None = None
        for interval in in_a_row(self.trace, lane, self.bent):
            free = interval.end
            if interval.is_step:
                yield interval.start, POLL_START, self._poll_start(lane, interval)
                yield interval.end, POLL_END, (lane,)
            else:
                yield from self._park(lane, tid, interval, clocks)
        for step in self.trace.open_steps:
            if step.lane == lane and step.start_ns >= free:
                self.bent["open_steps"] += 1
                location = self._location(step.task, step.flags)
                flags = _flags(step.flags, location)
                yield step.start_ns, POLL_START, (lane, 0, self._id(step.task), location, flags)
                return  # nothing can follow on this lane
            if step.lane == lane:
                self.bent["dropped_open_steps"] += 1
        if interval is not None and interval.is_step and self._is_of_job(interval):
            # Its thread waits for another one; until when, no later job tells.
            yield free, PARK, (lane, 0, clocks.at(free)[0], tid)

    def _is_of_job(self, step: Interval) -> bool:
        known = self.trace.tasks.get(self.trace.steps.task[step.row])
        return known is not None and (known.location or "").startswith(JOB_PREFIX)

    def _park(self, lane: int, tid: int, park: Interval, clocks: Clocks) -> Iterator[Item]:
        parks = self.trace.parks
        known = (parks.gil_wait_ns[park.row], parks.events[park.row])
        gil, events = (None if value == UNKNOWN else value for value in known)
        cpu, before = clocks.at(park.start)
        yield park.start, PARK, (lane, 0, cpu, tid)
        cpu, after = clocks.at(park.end + (gil or 0))
        sched = 0 if before == UNKNOWN else after - before
        yield park.end, UNPARK, (lane, 0, cpu, sched, tid, gil, events)

    def _poll_start(self, lane: int, step: Interval) -> tuple[Any, ...]:
        steps = self.trace.steps
        task, flags = steps.task[step.row], steps.flags[step.row]
        if step.is_rest:
            flags |= CONTINUED
        location = self._location(task, flags)
        depth = min(steps.depth[step.row], MAX_U8)
        return lane, depth, self._id(task), location, _flags(flags, location)

    def _location(self, task: int, flags: int) -> str:
        known = self.trace.tasks.get(task)
        if known is None or known.location is None:
            self.bent["unknown_locations"] += 1
        return location_text(None if known is None else known.location, flags)

    def _lives(self) -> Iterator[Item]:
        steps, tasks = self.trace.steps, self.trace.tasks
        called: dict[int, int] = {}
        for task, start, flags in zip(steps.task, steps.start_ns, steps.flags, strict=True):
            if flags & CALLBACK:
                called[task] = min(start, called.get(task, start))
        moments = [(start, False, number) for number, start in called.items()]
        for known in tasks.values():
            if known.flags & CALLBACK or known.task in called:
                continue
            if known.spawn_ns is not None and not known.began_before:
                moments.append((known.spawn_ns, False, known.task))
            if known.end_ns is not None:
                moments.append((max(known.end_ns, known.spawn_ns or 0), True, known.task))
        moments.sort()
        for time, ends, number in moments:
            if ends:
                yield time, TERMINATE, (self._id(number), tasks[number].outcome or 0)
            elif number in called:  # at its end at once, else all callbacks would count as alive
                group = tasks.get(number)
                location = location_text(None if group is None else group.location, CALLBACK)
                yield time, SPAWN, (self._id(number), location, True, None, None, None)
                yield time, TERMINATE, (self._id(number), 0)
            else:
                known = tasks[number]
                parent = None if known.parent is None else self._id(known.parent)
                location = location_text(known.location, known.flags)
                values = self._id(number), location, True, known.lane, parent, known.name
                yield time, SPAWN, values

    def _dumps(self) -> Iterator[Item]:
        """Yield where tasks were suspended, at the end of the step after which they were."""
        steps = self.trace.steps
        ended: dict[int, int] = {}
        for n in sorted(range(len(steps)), key=steps.start_ns.__getitem__):
            task, start = steps.task[n], steps.start_ns[n]
            if steps.stack[n] and self.trace.stacks[steps.stack[n]]:
                woken = start - max(0, steps.delay_ns[n])
                frames = self.trace.stacks[steps.stack[n]]
                since = ended.get(task, woken)
                if not self._idle.takes(task, woken - since):
                    ended[task] = start + steps.duration_ns[n]
                    continue
                yield since, DUMP, (self._id(task), frames, None, None)
            ended[task] = start + steps.duration_ns[n]

    def _others(self, spans: Spans) -> Iterator[Item]:
        others = [
            event
            for event in self.trace.events
            if event.name not in LEADING and event.name != TRAILING and not spans.has(event)
        ]
        negative = negative_fields(others)
        others.sort(key=lambda event: event.timestamp_ns or 0)
        for event in others:
            yield plain_event(event, self._id, negative.get(event.schema, frozenset()))

    def _id(self, task: int) -> int:
        """Return the id that dial9 gets: real ids as they are, others where they do no harm."""
        if FIRST_TASK <= task < MAX_TASK:
            return task
        self.bent["moved_ids"] += 1
        return LIFT + task % LIFT


def _flags(flags: int, location: str) -> int:
    found = sum(theirs for ours, theirs in FLAGS if flags & ours)
    return found | OF_A_JOB if location.startswith(JOB_PREFIX) else found
