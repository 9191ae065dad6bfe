"""A segment against an oracle: a loop in plain Python that writes down itself what happens."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from tests.recorder import oracle as plain
from tests.recorder.programs import Clock
from tests.recorder.reading import Told, segments, tell
from tests.recorder.test_recording import start

from tachograph.recorder.batches import SHIFT

oracle = plain.load()
NUMBER = (1 << 60) - 1
Program = Callable[[Clock], Coroutine[Any, Any, Any]]


class ThreadClock(Clock):
    """A clock of one thread's loop, which moves in whole units of the blocks."""

    def __init__(self) -> None:
        super().__init__()
        self.loop_thread = threading.get_ident()

    def advance(self, ns: int) -> None:
        super().advance((-(-ns >> SHIFT)) << SHIFT)


def run(directory: Path, program: Program) -> tuple[plain.Notes, Told]:
    """Run a program on the oracle's loop under the recorder; return what both tell."""
    notes = oracle.Notes()
    it, home = start(directory)
    clock = ThreadClock()
    try:
        with (
            oracle.watched_handles(),
            asyncio.Runner(loop_factory=lambda: oracle.OracleLoop(clock, notes)) as runner,
            contextlib.suppress(ZeroDivisionError),
        ):
            runner.run(program(clock))
    finally:
        clock.stop()
    it.close()
    assert 0 == it.statistics()["events_dropped"] == it.statistics()["hook_errors"]
    return notes, tell(segments(home))


class Ids:
    """Which number stands for which object: each for one, and one for each."""

    def __init__(self, told: Told) -> None:
        self.told = told
        self.of: dict[Any, int] = {}
        self.taken: dict[int, Any] = {}

    def task(self, task: Any, number: int) -> None:
        assert number == self.of.setdefault(task, number), task
        assert task is self.taken.setdefault(number, task), task

    def who(self, who: plain.Who, number: int) -> None:
        """Check that a step is of whom the oracle saw."""
        if who.kind == oracle.TASK:
            self.task(who.what, number)
        else:
            name = self.told.names[0, number]
            assert name.endswith(name_of(who.what)), (name, who.what)

    def waker(self, who: plain.Who, waker: int) -> None:
        """Check who woke."""
        if who == oracle.NOBODY:
            assert 0 == waker
            return
        assert who.kind == waker >> 60, (who, waker)
        if who.kind == oracle.THREAD:
            assert who.what == waker & NUMBER
        elif who.kind in (oracle.TASK, oracle.CALLBACK):
            self.who(who, waker & NUMBER)


def name_of(callback: Any) -> str:
    """The last part of the name of whatever is called."""
    while hasattr(callback, "func"):
        callback = callback.func
    found = getattr(callback, "__qualname__", type(callback).__qualname__)
    return str(found).rpartition(".")[2].replace("<lambda>", "lambda")


def compare(notes: plain.Notes, told: Told, *, parks: bool = True) -> None:
    """Each step, spawn and park, one after the other, with everything that is known of it."""
    ids = Ids(told)
    (lane,) = told.steps
    assert len(notes.spawns) == len(told.spawns[lane])
    for mine, spawn in zip(notes.spawns, told.spawns[lane], strict=True):
        ids.task(mine.task, spawn.task)
        assert mine.time_ns == spawn.time_ns
        file, name = told.names[1, spawn.name].split(" ")
        place, coroutine = mine.place.split(" ")
        assert place == file.rpartition("/")[2]
        assert name.endswith(coroutine.replace(".<locals>", ""))
        ids.waker(mine.waker, spawn.waker)
    assert len(notes.steps) == len(told.steps[lane])
    for number, (step, seen) in enumerate(zip(notes.steps, told.steps[lane], strict=True)):
        where = f"step {number}: {step}, {seen}"
        assert (step.start_ns, step.end_ns) == (seen.start_ns, seen.end_ns), where
        assert (step.depth, step.flags) == (seen.queue, seen.flags), where
        ids.who(step.who, seen.task)
        if seen.queued_ns is not None:
            assert step.queued_ns >> SHIFT == seen.queued_ns >> SHIFT, where
            ids.waker(step.waker, seen.waker)
        else:
            assert step.waker == oracle.NOBODY, where
    if parks:
        assert [(p.start_ns, p.end_ns, p.files) for p in notes.parks] == [
            (p.start_ns, p.woke_ns, p.files) for p in told.parks.get(lane, [])
        ]


async def trees(clock: Clock) -> None:
    """Tasks that make tasks, gathered and in groups."""

    async def leaf(n: int) -> int:
        clock.advance(8 * n)
        await asyncio.sleep(0)
        clock.advance(800)
        return n

    async def branch(depth: int) -> int:
        if depth == 0:
            return await leaf(depth)
        clock.advance(64)
        async with asyncio.TaskGroup() as group:
            one = group.create_task(branch(depth - 1))
            two = group.create_task(leaf(depth))
        return one.result() + two.result()

    assert 6 == sum(await asyncio.gather(*(leaf(n) for n in range(4))))
    await asyncio.gather(branch(3), branch(2), asyncio.shield(leaf(1)))
    await asyncio.wait([asyncio.ensure_future(leaf(5)), asyncio.create_task(leaf(6))])
    for each in asyncio.as_completed([leaf(1), leaf(2)]):
        await each


async def times(clock: Clock) -> None:
    """Timers, time-outs, cancellation of all kinds."""
    loop = asyncio.get_running_loop()

    async def slow() -> None:
        try:
            await asyncio.sleep(10)
        finally:
            clock.advance(8_000)

    async def stubborn() -> str:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(10)
        return "stayed"

    loop.call_later(0.002, clock.advance, 80)
    loop.call_later(0.001, clock.advance, 160)
    loop.call_later(0.003, clock.advance, 8).cancel()
    loop.call_at(loop.time() - 1, clock.advance, 8)
    await asyncio.sleep(0.005)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(0.01):
            await slow()
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(slow(), 0.01)
    tasks: list[asyncio.Task[Any]] = [asyncio.create_task(slow()), asyncio.create_task(stubborn())]
    unbegun = asyncio.create_task(slow())
    unbegun.cancel()
    await asyncio.sleep(0)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, unbegun, return_exceptions=True)


async def hand_overs(clock: Clock) -> None:
    """Queues, locks, conditions, events, semaphores, barriers, futures."""
    queue: asyncio.Queue[int] = asyncio.Queue(2)
    lock, event, semaphore = asyncio.Lock(), asyncio.Event(), asyncio.Semaphore(2)
    condition, barrier = asyncio.Condition(), asyncio.Barrier(3)
    future = asyncio.get_running_loop().create_future()

    async def produce() -> None:
        for n in range(6):
            clock.advance(80)
            await queue.put(n)

    async def consume() -> None:
        for _ in range(6):
            await queue.get()
            clock.advance(240)
            queue.task_done()

    async def guarded(n: int) -> None:
        async with lock, semaphore:
            clock.advance(8 * n)
            await asyncio.sleep(0)
        await event.wait()
        async with condition:
            await condition.wait()
        await barrier.wait()
        await future

    tasks = [asyncio.create_task(guarded(n)) for n in range(3)]
    await asyncio.gather(produce(), consume(), queue.join())
    event.set()
    for _ in range(6):
        await asyncio.sleep(0)
    async with condition:
        condition.notify_all()
    for _ in range(8):
        await asyncio.sleep(0)
    future.set_result(None)
    await asyncio.gather(*tasks)


async def failures(clock: Clock) -> None:
    """What raises: tasks, callbacks, a group, generators that are not used up."""
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda *_: clock.advance(8))

    async def bad() -> None:
        clock.advance(16)
        raise ValueError

    async def numbers() -> AsyncIterator[int]:
        for n in range(5):
            yield n
            await asyncio.sleep(0)

    def fails() -> None:
        clock.advance(24)
        raise KeyError

    loop.call_soon(fails)
    task = asyncio.create_task(bad())
    task.add_done_callback(lambda _: clock.advance(40))
    await asyncio.sleep(0)
    await asyncio.gather(bad(), bad(), return_exceptions=True)
    with contextlib.suppress(ExceptionGroup):
        async with asyncio.TaskGroup() as group:
            group.create_task(bad())
            group.create_task(asyncio.sleep(10))
    async for n in numbers():
        if n == 2:
            break
    assert isinstance(task.exception(), ValueError)
    raise ZeroDivisionError  # out of the program itself


async def files(clock: Clock) -> None:
    """What the selector calls: sockets, streams, readers and writers."""
    loop = asyncio.get_running_loop()
    left, right = socket.socketpair()
    for each in (left, right):
        each.setblocking(False)
    with left, right:
        for n in range(4):
            received = asyncio.create_task(loop.sock_recv(left, 10))
            await asyncio.sleep(0)
            clock.advance(32)
            await loop.sock_sendall(right, bytes(n + 1))
            assert n + 1 == len(await received)
        seen = asyncio.Event()
        loop.add_reader(left, seen.set)
        right.send(b"x")
        await seen.wait()
        loop.remove_reader(left)


PROGRAMS: list[Program] = [trees, times, hand_overs, failures, files]


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.__name__)
def test_every_event_is_as_the_oracle_saw_it(program: Program, tmp_path: Path) -> None:
    """Order, counts, ids, wakers, places, durations, delays, queue lengths, outcomes, parks."""
    notes, told = run(tmp_path, program)

    assert len(notes.steps) > 20
    compare(notes, told)


def test_other_threads(tmp_path: Path) -> None:
    """An executor's results and calls from another thread; the loop sleeps when they come."""

    async def program(clock: Clock) -> None:
        loop = asyncio.get_running_loop()

        def job(n: int) -> int:
            time.sleep(0.05)
            return n

        def fails() -> None:
            time.sleep(0.05)
            raise OSError

        with ThreadPoolExecutor(1) as pool:
            assert 7 == await loop.run_in_executor(pool, job, 7)
            clock.advance(80)
            with contextlib.suppress(OSError):
                await loop.run_in_executor(pool, fails)
        future = loop.create_future()
        timer = threading.Timer(0.05, loop.call_soon_threadsafe, (future.set_result, None))
        timer.start()
        await future
        loop.call_soon_threadsafe(clock.advance, 8)
        await asyncio.sleep(0)
        timer.join()

    notes, told = run(tmp_path, program)

    assert 3 == sum(step.waker.kind == oracle.THREAD for step in notes.steps)
    compare(notes, told, parks=False)  # whether the loop sleeps already is the system's affair


class Scramble:
    """Tasks that do to each other whatever chance says."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.events = [asyncio.Event() for _ in range(4)]
        self.lock = asyncio.Lock()
        self.queue = asyncio.Queue[int]()
        self.tasks: list[asyncio.Task[None]] = []

    async def __call__(self, clock: Clock) -> None:
        self.clock = clock
        self.tasks.extend(asyncio.create_task(self.act(0)) for _ in range(20))
        while not all(task.done() for task in self.tasks):
            await asyncio.wait(self.tasks)
        for task in self.tasks:  # looked at, so that nobody is told of it
            if not task.cancelled():
                task.exception()

    async def act(self, depth: int) -> None:
        deeds = [self.yields, self.sleeps, self.sets, self.waits, self.locks, self.puts]
        for _ in range(self.chance.randrange(1, 6)):
            self.clock.advance(8 * self.chance.randrange(200))
            number = self.chance.randrange(10)
            if number < len(deeds):
                await deeds[number]()
            elif number < 8 and depth < 4:
                await self.makes(depth + 1, wait=number == 7)
            elif number == 8 and self.tasks and self.chance.random() < 0.3:
                self.chance.choice(self.tasks).cancel()
            elif self.chance.random() < 0.1:
                raise ValueError

    async def yields(self) -> None:
        await asyncio.sleep(0)

    async def sleeps(self) -> None:
        await asyncio.sleep(self.chance.randrange(1, 20) / 1_000)

    async def sets(self) -> None:
        self.chance.choice(self.events).set()

    async def waits(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.005):
                await self.chance.choice(self.events).wait()

    async def locks(self) -> None:
        async with self.lock:
            await asyncio.sleep(0)

    async def puts(self) -> None:
        self.queue.put_nowait(1)

    async def makes(self, depth: int, *, wait: bool) -> None:
        if wait:
            await asyncio.gather(self.act(depth), self.act(depth), return_exceptions=True)
        else:
            self.tasks.append(asyncio.create_task(self.act(depth)))


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # its generators
def test_programs_at_random(seed: int, tmp_path: Path) -> None:
    """Whatever tasks do to each other, in any order."""
    notes, told = run(tmp_path, Scramble(random.Random(seed)))

    assert len(notes.steps) > 100
    compare(notes, told)
