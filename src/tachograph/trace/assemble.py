"""Events to one `Trace`: blocks of the compact profile and dial9's single events alike.

Strategy: what is already a step, a park or a spawn goes straight into its table. dial9's starts and
ends are collected by lane and paired once all are there, since batches of several threads come in
any order. An event that cannot be used is counted in `Trace.forgiven`, never guessed at.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterable
from typing import Any

from tachograph.errors import TraceFormatError
from tachograph.trace.compact import (
    CALLBACK_NAME,
    SPAWN_NAME,
    Spawn,
    read_checkpoints,
    read_living,
    read_parks,
    read_spawns,
    read_steps,
)
from tachograph.trace.decode import Decoder
from tachograph.trace.fit import fits
from tachograph.trace.model import (
    JOB_PREFIX,
    NO_LANE,
    UNKNOWN,
    WAKER_NUMBER,
    WAKER_SHIFT,
    Anchor,
    Dump,
    Lane,
    OpenStep,
    Outcome,
    Sample,
    StepFlag,
    Steps,
    Symbol,
    Task,
    Trace,
    Waker,
)
from tachograph.trace.requests import REQUEST, unpack_requests
from tachograph.trace.schema import Event, Schema

__all__ = ["assemble"]

CALLBACK = int(StepFlag.CALLBACK)  # an enum in a loop over steps costs more than the loop
EAGER, CONTINUED = int(StepFlag.EAGER), int(StepFlag.CONTINUED)
ENDED = int(StepFlag.CANCELLED)  # all ends have a bit of it
NOT_QUEUED = EAGER | CONTINUED
NOT_WOKEN = CALLBACK | NOT_QUEUED
BY_CALLBACK = int(Waker.CALLBACK)
BY_THREAD = Waker.THREAD.of()
DIAL9_FLAGS = {1: CALLBACK, 2: int(StepFlag.TIMER), 4: EAGER, 16: CONTINUED}
CALLBACK_PREFIX = "callback:"
NO_LOCATION = "unknown"


def assemble(events: Iterable[Event], decoder: Decoder | None = None) -> Trace:
    """Return the trace that *events* tell, in the order of their files.

    Args:
        events: What `Decoder.read` returned, of one file or of several.
        decoder: Whose findings about damage the trace takes over.
    """
    assembly = _Assembly()
    for event in events:
        assembly.add(event)
    trace = assembly.finish()
    if decoder is not None:
        trace.truncated, trace.corrupt = decoder.truncated, decoder.corrupt
        if decoder.problem is not None:
            trace.problems.append(decoder.problem)
        trace.forgiven.update(decoder.forgiven)
        trace.annotations = dict(decoder.annotations)
    return trace


class _Assembly:
    def __init__(self) -> None:
        self.trace = Trace()
        self.places: dict[int, str] = {}  # where tasks are made, by number
        self.unplaced: list[Spawn] = []
        self.stacks: dict[int, int] = {}  # places in the trace's, by number
        self.known_stacks: dict[tuple[int, ...], int] = {(): 0}
        self.known: dict[Schema, bool] = {}
        self.told_wakes = False
        self.polls: dict[int, list[tuple[int, Event]]] = {}
        self.park_events: dict[int, list[tuple[int, Event]]] = {}
        self.readers: dict[str, Callable[[Event], None]] = {
            "tacho:Steps": self.steps,
            "tacho:Parks": self.parks,
            "tacho:Spawns": self.spawns,
            "tacho:Checkpoints": self.checkpoints,
            "tacho:Living": self.living,
            "tacho:Name": self.name,
            "tacho:Stack": self.stack,
            "tacho:Requests": self.requests,
            "tacho:Lane": self.lane,
            "tacho:OpenStep": self.open_step,
            "PollStartEvent": self.poll,
            "PollEndEvent": self.poll,
            "WorkerParkEvent": self.park,
            "WorkerUnparkEvent": self.park,
            "WakeEventEvent": self.wake,
            "TaskSpawnEvent": self.spawn,
            "TaskTerminateEvent": self.terminate,
            "CpuSampleEvent": self.sample,
            "TaskDumpEvent": self.dump,
            "ClockSyncEvent": self.anchor,
            "SegmentMetadataEvent": self.metadata,
            "SymbolTableEntry": self.symbol,
        }

    def add(self, event: Event) -> None:
        reader = self.readers.get(event.name)
        if reader is None or not self.fits(event.schema):
            self.trace.events.append(event)
            return
        try:
            reader(event)
        except TraceFormatError as error:
            self.trace.forgiven["unreadable_blocks"] += 1
            self.trace.problems.append(error)
        except (TypeError, OverflowError):
            # A value that should be there is not, or one is larger than any time or id.
            self.trace.forgiven["odd_events"] += 1
            self.trace.events.append(event)

    def fits(self, schema: Schema) -> bool:
        """Say whether a built-in event has the fields that its name promises."""
        known = self.known.get(schema)
        if known is None:
            known = self.known[schema] = fits(schema)
        if not known:
            self.trace.forgiven["odd_events"] += 1
        return known

    def task(self, task: int) -> Task:
        known = self.trace.tasks.get(task)
        if known is None:
            known = self.trace.tasks[task] = Task(task)
        return known

    # The compact profile.

    def steps(self, event: Event) -> None:
        block = read_steps(event)
        if any(block.stack):
            places = self.stacks
            block.stack = array("q", [places.get(n, 0) for n in block.stack])
        self.trace.steps.extend(getattr(block, name) for name in block.columns)
        for task, start, duration, flags in zip(
            block.task, block.start_ns, block.duration_ns, block.flags, strict=True
        ):
            if flags & ENDED:
                known = self.task(task)
                known.end_ns, known.outcome = start + duration, _outcome(flags)
        self.block_wakes(block)

    def block_wakes(self, block: Steps) -> None:
        lane = block.lane[0]
        rows = [
            (
                # Who is unknown or another thread woke the task from no lane.
                NO_LANE if not waker or waker >= BY_THREAD else lane,
                start - delay,
                waker & WAKER_NUMBER if waker >> WAKER_SHIFT <= BY_CALLBACK else 0,
                task,
            )
            for start, delay, task, waker, flags in zip(
                block.start_ns, block.delay_ns, block.task, block.waker, block.flags, strict=True
            )
            if not flags & NOT_WOKEN and delay != UNKNOWN
        ]
        if rows:
            self.trace.wakes.extend(zip(*rows, strict=True))

    def parks(self, event: Event) -> None:
        block = read_parks(event)
        self.trace.parks.extend(getattr(block, name) for name in block.columns)

    def checkpoints(self, event: Event) -> None:
        block = read_checkpoints(event)
        self.trace.checkpoints.extend(getattr(block, name) for name in block.columns)

    def spawns(self, event: Event) -> None:
        lane = _number(event, "lane")
        for spawn in read_spawns(event):
            known = self.task(spawn.task)
            known.began_before = False
            self.begin(known, lane, spawn)

    def living(self, event: Event) -> None:
        lane = _number(event, "lane")
        for spawn in read_living(event):
            known = self.task(spawn.task)
            if known.spawn_ns is None:  # else the spawn itself is in another file that was read
                known.began_before = True
                self.begin(known, lane, spawn)

    def begin(self, known: Task, lane: int, spawn: Spawn) -> None:
        if not spawn.flags & CONTINUED:
            by = spawn.waker if spawn.waker >> WAKER_SHIFT <= BY_CALLBACK else 0
            known.parent = by & WAKER_NUMBER or None
            known.lane, known.spawn_ns, known.flags = lane, spawn.time_ns, spawn.flags
        if spawn.name in self.places:
            known.location = self.places[spawn.name]
        else:
            self.unplaced.append(spawn)

    def name(self, event: Event) -> None:
        number, text = _number(event, "number"), event["text"]
        if text is None:
            return  # a string that is not there, which the decoder has counted
        if event["kind"] == CALLBACK_NAME:
            known = self.task(number)
            known.location, known.flags = text, CALLBACK
        elif event["kind"] == SPAWN_NAME:
            self.places[number] = text

    def stack(self, event: Event) -> None:
        frames = event["frames"]
        index = self.known_stacks.get(frames)
        if index is None:
            index = self.known_stacks[frames] = len(self.trace.stacks)
            self.trace.stacks.append(frames)
        self.stacks[_number(event, "number")] = index

    def requests(self, event: Event) -> None:
        for request in unpack_requests(event):
            self.trace.events.append(Event(REQUEST, request.end_ns, tuple(request), event.pools))

    def lane(self, event: Event) -> None:
        self.trace.lanes[_number(event, "lane")] = Lane(_number(event, "tid"), event["loop"])

    def open_step(self, event: Event) -> None:
        names = ("lane", "task", "start_ns", "flags")
        self.trace.open_steps.append(OpenStep._make(_number(event, name) for name in names))

    # dial9's events.

    def poll(self, event: Event) -> None:
        if event.name == "PollStartEvent":
            _number(event, "task_id")
        self.polls.setdefault(_number(event, "worker_id"), []).append((_time(event), event))

    def park(self, event: Event) -> None:
        self.park_events.setdefault(_number(event, "worker_id"), []).append((_time(event), event))

    def wake(self, event: Event) -> None:
        row = (
            event["target_worker"],
            _time(event),
            _number(event, "waker_task_id"),
            _number(event, "woken_task_id"),
        )
        self.trace.wakes.append(row)  # type: ignore[arg-type]
        self.told_wakes = True

    def spawn(self, event: Event) -> None:
        known = self.task(_number(event, "task_id"))
        known.location = event.get("spawn_loc") or None
        known.flags = _flags_of(known.location)
        if known.flags & CALLBACK:
            return  # a group of callbacks is told as a task that is at its end at once
        known.spawn_ns, known.lane = _time(event), event.get("worker_id")
        known.parent, known.name = event.get("parent_task_id"), event.get("task_name")

    def terminate(self, event: Event) -> None:
        known = self.task(_number(event, "task_id"))
        if not known.flags & CALLBACK:
            known.end_ns, known.outcome = _time(event), event.get("outcome")

    # What both share stays among the events, too: it is written again as it was.

    def sample(self, event: Event) -> None:
        sample = Sample(
            _time(event),
            _number(event, "worker_id"),
            event["tid"],
            event["source"],
            event["callchain"],
            event.get("thread_name"),
            event.get("task_id"),
        )
        self.trace.samples.append(sample)
        self.trace.events.append(event)

    def dump(self, event: Event) -> None:
        self.trace.dumps.append(Dump(_time(event), _number(event, "task_id"), event["callchain"]))
        self.trace.events.append(event)

    def anchor(self, event: Event) -> None:
        self.trace.anchors.append(Anchor(_time(event), _number(event, "realtime_ns")))
        self.trace.events.append(event)

    def metadata(self, event: Event) -> None:
        self.trace.metadata.update(event["entries"])
        self.trace.events.append(event)

    def symbol(self, event: Event) -> None:
        symbol = Symbol(
            event["symbol_name"] or "",
            event.get("source_file") or "",
            event.get("source_line"),
            event.get("inline_depth", 0),
        )
        symbols = self.trace.symbols.setdefault(event["addr"], [])
        if symbol not in symbols:
            symbols.append(symbol)
        self.trace.events.append(event)

    def finish(self) -> Trace:
        trace = self.trace
        for lane, polls in self.polls.items():
            self.pair_polls(lane, polls)
        for lane, parks in self.park_events.items():
            self.pair_parks(lane, parks)
        for spawn in self.unplaced:  # a name may stand behind, in the batch of another lane
            place = self.places.get(spawn.name)
            if place is None:
                trace.forgiven["unknown_locations"] += 1
            else:
                self.task(spawn.task).location = place
        trace.checkpoints.sort("lane", "time_ns")
        trace.steps.sort("lane", "start_ns")
        trace.parks.sort("lane", "start_ns")
        self.place_wakes_of_jobs()
        trace.wakes.sort("time_ns")
        trace.anchors.sort()
        if self.told_wakes:
            self.match_wakes()
        return trace

    def place_wakes_of_jobs(self) -> None:
        """Say that a job was woken where it was made: its own lane is that of its thread."""
        jobs = {
            known.task: known.lane
            for known in self.trace.tasks.values()
            if (known.location or "").startswith(JOB_PREFIX)
        }
        wakes = self.trace.wakes
        for n, woken in enumerate(wakes.woken) if jobs else ():
            lane = jobs.get(woken)
            if lane is not None:
                wakes.lane[n] = lane
            elif woken in jobs and not self.told_wakes:
                wakes.lane[n] = NO_LANE

    def pair_polls(self, lane: int, polls: list[tuple[int, Event]]) -> None:
        polls.sort(key=lambda poll: poll[0])
        opened: tuple[int, Event] | None = None
        for time, event in polls:
            if event.name == "PollStartEvent":
                if opened is not None:
                    self.trace.forgiven["steps_without_end"] += 1
                opened = time, event
            elif opened is None:
                self.trace.forgiven["ends_without_step"] += 1
            else:
                self.step(lane, *opened, time)
                opened = None
        if opened is not None:
            time, event = opened
            flags = self.step_flags(event)
            self.trace.open_steps.append(OpenStep(lane, event["task_id"], time, flags))

    def step(self, lane: int, start: int, event: Event, end: int) -> None:
        row = (lane, start, end - start, UNKNOWN, event["task_id"], 0, event["local_queue"] or 0)
        flags = self.step_flags(event)
        try:
            self.trace.steps.extend([value] for value in (*row, flags, 0))
        except TraceFormatError:
            self.trace.forgiven["odd_events"] += 1

    def step_flags(self, event: Event) -> int:
        location = event.get("spawn_loc")
        known = self.task(event["task_id"])
        if known.location is None and location != NO_LOCATION:
            known.location, known.flags = location, _flags_of(location)
        told = event.get("flags") or 0
        flags = sum(ours for theirs, ours in DIAL9_FLAGS.items() if told & theirs)
        return flags | _flags_of(location)

    def pair_parks(self, lane: int, parks: list[tuple[int, Event]]) -> None:
        parks.sort(key=lambda park: park[0])
        opened: int | None = None
        waited = 0
        for time, event in parks:
            try:
                if event.name == "WorkerUnparkEvent":
                    sched = event["sched_wait_ns"]
                    waited += sched or 0
                    known = UNKNOWN if sched is None else waited
                else:
                    known = waited
                if event["cpu_time_ns"] is not None:
                    point = (lane, time, event["cpu_time_ns"], known)
                    self.trace.checkpoints.extend([value] for value in point)
                if event.get("tid"):
                    self.trace.lanes[lane] = Lane(event["tid"])
                if event.name == "WorkerParkEvent":
                    if opened is not None:
                        self.trace.forgiven["parks_without_end"] += 1
                    opened = time
                elif opened is None:
                    self.trace.forgiven["ends_without_park"] += 1
                else:
                    more = (event.get("gil_wait_ns"), event.get("ready_events"))
                    row = (lane, opened, time - opened, *more)
                    opened = None
                    self.trace.parks.extend([UNKNOWN if v is None else v] for v in row)
            except TraceFormatError:
                self.trace.forgiven["odd_events"] += 1
        if opened is not None:
            self.trace.forgiven["parks_without_end"] += 1

    def match_wakes(self) -> None:
        """Give each step the last wake of its task that no earlier step has had."""
        trace = self.trace
        times: dict[int, list[int]] = {}
        wakers: dict[int, list[int]] = {}
        for time, waker, woken in zip(
            trace.wakes.time_ns, trace.wakes.waker, trace.wakes.woken, strict=True
        ):
            times.setdefault(woken, []).append(time)
            wakers.setdefault(woken, []).append(waker)
        used: dict[int, int] = {}
        steps = trace.steps
        for n in sorted(range(len(steps)), key=steps.start_ns.__getitem__):
            task = steps.task[n]
            if steps.delay_ns[n] != UNKNOWN or task not in times or steps.flags[n] & NOT_QUEUED:
                continue
            at = bisect_right(times[task], steps.start_ns[n])
            if at <= used.get(task, 0):
                continue
            used[task] = at
            steps.delay_ns[n] = steps.start_ns[n] - times[task][at - 1]
            waker = wakers[task][at - 1]
            if waker <= WAKER_NUMBER:
                steps.waker[n] = self.waker(waker)

    def waker(self, waker: int) -> int:
        known = self.trace.tasks.get(waker)
        return Waker.CALLBACK.of(waker) if known and known.flags & CALLBACK else waker


def _outcome(flags: int) -> Outcome:
    match flags & ENDED:
        case StepFlag.CANCELLED:
            return Outcome.CANCELLED
        case StepFlag.RAISED:
            return Outcome.RAISED
        case _:
            return Outcome.RETURNED


def _flags_of(location: str | None) -> int:
    """Return what the form of a location says: dial9's events have no other place for it."""
    return CALLBACK if location is not None and location.startswith(CALLBACK_PREFIX) else 0


def _time(event: Event) -> int:
    return _below(event.timestamp_ns)


def _number(event: Event, name: str) -> int:
    return _below(event[name])


def _below(value: Any) -> int:
    if not 0 <= value < 1 << 63:
        raise OverflowError(value)
    number: int = value
    return number
