"""A synthetic service on one loop: what the recorder will see, made without a recorder.

A request takes ten steps and two spawns: a reader callback, a handler task, a child that calls
downstream, a timer, a result from another thread. The ready queue is first in, first out, as
asyncio's is; the loop parks when it is empty.
"""

from __future__ import annotations

import heapq
import random
from collections import deque
from dataclasses import dataclass, field

from tachograph.trace.compact import LANE, raw_checkpoint, raw_park, raw_step, write_raw
from tachograph.trace.encode import Encoder
from tachograph.trace.model import Checkpoint, Park, Step, StepFlag, Waker

from .blocks import Born, write_born

START_NS = 1_000_000_000_000
READER, TIMER, THREAD = 1024, 1025, 1026
CALLBACKS = {
    READER: "callback:asyncio.selector_events._SelectorSocketTransport._read_ready",
    TIMER: "callback:asyncio.futures._set_result_unless_cancelled",
    THREAD: "callback:asyncio.futures._call_set_state",
}
HANDLER, CHILD = "app/views.py:41 handle", "app/downstream.py:12 fetch"


@dataclass
class Load:
    """What happened, in order of time."""

    steps: list[Step] = field(default_factory=list)
    parks: list[Park] = field(default_factory=list)
    spawns: list[Born] = field(default_factory=list)
    checkpoints: list[Checkpoint] = field(default_factory=list)


@dataclass(order=True)
class _Due:
    at: int
    order: int
    task: int = field(compare=False)
    phase: str = field(compare=False)
    request: int = field(compare=False)


class _Service:
    def __init__(self, requests: int, utilisation: float, seed: int) -> None:
        self.random = random.Random(seed)
        self.load = Load()
        self.now = START_NS
        self.cpu = 5_000_000_000
        self.waited = 0
        self.next_task = 1100
        self.ready: deque[tuple[int, int, int, str, int]] = deque()
        self.due: list[_Due] = []
        self.order = 0
        self.known: set[int] = set()
        self.between = int(460_000 / utilisation)  # a request's ten steps take about 460 µs
        at = START_NS
        for request in range(requests):
            at += int(self.random.expovariate(1 / self.between))
            self.later(at, READER, "accept", request)

    def later(self, at: int, task: int, phase: str, request: int) -> None:
        self.order += 1
        heapq.heappush(self.due, _Due(at, self.order, task, phase, request))

    def spread(self, median: int) -> int:
        return min(200_000, max(5_000, int(self.random.lognormvariate(0, 0.5) * median)))

    def soon(self, at: int, task: int, waker: int, phase: str, request: int) -> None:
        self.ready.append((at, task, waker, phase, request))

    def collect(self) -> int:
        count = 0
        while self.due and self.due[0].at <= self.now:
            due = heapq.heappop(self.due)
            count += 1
            wakers = {TIMER: Waker.TIMER.of(), THREAD: Waker.THREAD.of(4400)}
            self.now += self.random.randrange(400, 1500)
            waker = wakers.get(due.task, Waker.IO.of())
            self.soon(self.now, due.task, waker, due.phase, due.request)
        return count

    def run(self) -> Load:
        while self.ready or self.due:
            if not self.ready:
                self.now += self.random.randrange(800, 3000)
                self.park()
            else:
                self.now += self.random.randrange(500, 2500)
                self.collect()
            for _ in range(len(self.ready)):
                self.step()
        return self.load

    def park(self) -> None:
        start = self.now
        wake = max(start, self.due[0].at) + self.random.randrange(3_000, 60_000)
        self.now = wake
        waited = self.random.randrange(200, 900)
        self.now += waited
        events = self.collect()
        self.load.parks.append(
            Park(
                lane=0,
                start_ns=start,
                duration_ns=wake - start,
                gil_wait_ns=waited,
                events=events,
            )
        )
        if len(self.load.parks) % 10 == 0:
            self.waited += self.random.randrange(100, 20_000)
            self.load.checkpoints.append(Checkpoint(0, wake + waited, self.cpu, self.waited))
        self.cpu += self.random.randrange(2_000, 9_000)

    def step(self) -> None:
        enqueued, task, waker, phase, request = self.ready.popleft()
        self.now += self.random.randrange(150, 700)
        start = self.now
        depth = len(self.ready)
        flags, duration = getattr(self, phase)(start, task, request)
        if task < 1100:
            flags |= StepFlag.CALLBACK
            if task not in self.known:
                self.known.add(task)
                first = Born(0, start, task, 0, CALLBACKS[task], StepFlag.CALLBACK)
                self.load.spawns.append(first)
        self.now = start + duration
        self.cpu += duration
        self.load.steps.append(
            Step(0, start, duration, start - enqueued, task, waker, depth, flags)
        )

    def spawn(self, at: int, location: str, phase: str, parent: int, request: int) -> None:
        task, self.next_task = self.next_task, self.next_task + 1
        waker = Waker.CALLBACK.of(parent) if parent < 1100 else parent
        self.load.spawns.append(Born(0, at, task, waker, location))
        self.soon(at + 300, task, waker, phase, request)

    # Each phase takes (start, task, request) and gives (flags, duration).

    def accept(self, start: int, task: int, request: int) -> tuple[int, int]:
        duration = self.spread(30_000)
        self.spawn(start + duration * 3 // 4, HANDLER, "handle", task, request)
        return 0, duration

    def handle(self, start: int, task: int, request: int) -> tuple[int, int]:
        duration = self.spread(80_000)
        self.spawn(start + duration // 2, CHILD, "fetch", task, task)
        return 0, duration

    def fetch(self, start: int, task: int, request: int) -> tuple[int, int]:
        duration = self.spread(60_000)
        at = start + duration + int(self.random.lognormvariate(0, 0.7) * 2_000_000)
        self.later(at, READER, "answer", task * 1_000_000 + request)
        return 0, duration

    def answer(self, start: int, task: int, request: int) -> tuple[int, int]:
        duration = self.spread(20_000)
        child = request // 1_000_000
        at = start + duration // 2
        self.soon(at, child, Waker.CALLBACK.of(task), "fetched", request % 1_000_000)
        return 0, duration

    def fetched(self, start: int, task: int, request: int) -> tuple[int, int]:
        duration = self.spread(40_000)
        self.soon(start + duration - 2_000, request, task, "pause", request)
        return StepFlag.RETURNED, duration

    def pause(self, start: int, task: int, request: int) -> tuple[int, int]:
        duration = self.spread(50_000)
        self.later(start + 1_000_000, TIMER, "fire", task)
        return 0, duration

    def fire(self, start: int, task: int, request: int) -> tuple[int, int]:
        self.soon(start + 1_000, request, Waker.CALLBACK.of(task), "offload", request)
        return StepFlag.TIMER, self.spread(6_000)

    def offload(self, start: int, task: int, request: int) -> tuple[int, int]:
        duration = self.spread(50_000)
        self.later(start + duration + 400_000, THREAD, "result", task)
        return 0, duration

    def result(self, start: int, task: int, request: int) -> tuple[int, int]:
        self.soon(start + 2_000, request, Waker.CALLBACK.of(task), "finish", request)
        return 0, self.spread(9_000)

    def finish(self, start: int, task: int, request: int) -> tuple[int, int]:
        outcome = StepFlag.RAISED if self.random.random() < 0.01 else StepFlag.RETURNED
        return outcome, self.spread(60_000)


def service_load(requests: int, *, utilisation: float = 0.6, seed: int = 1) -> Load:
    """Return what a loop does while it serves *requests* at that part of its capacity."""
    return _Service(requests, utilisation, seed).run()


def write_load(load: Load, *, shift: int = 0, rows: int = 1000) -> bytes:
    """Return *load* in the compact profile, a batch for each *rows* steps."""
    encoder = Encoder()
    encoder.event(LANE, START_NS, 0, 4321, "main")
    pieces: list[bytes] = []
    parks, spawns, points = list(load.parks), list(load.spawns), list(load.checkpoints)
    for n in range(0, len(load.steps), rows):
        steps = load.steps[n : n + rows]
        last = steps[-1].start_ns + steps[-1].duration_ns
        early = [spawn for spawn in spawns if spawn.time_ns <= last]
        slept = [park for park in parks if park.start_ns <= last]
        read = [point for point in points if point.time_ns <= last]
        spawns, parks, points = spawns[len(early) :], parks[len(slept) :], points[len(read) :]
        write_born(encoder, early, shift=shift)
        raw = [*map(raw_step, steps), *map(raw_park, slept), *map(raw_checkpoint, read)]
        write_raw(encoder, 0, raw, shift=shift)
        pieces.append(encoder.cut())
    return b"".join(pieces)
