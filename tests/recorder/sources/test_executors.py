"""Jobs of executors: what is told of them is so, and the program does not notice."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import gc
import inspect
import threading
import time
import traceback
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest
from starlette.concurrency import run_in_threadpool
from tests.recorder.sources.pools import MS, ONLY, SLACK, UNIT, fail, nap
from tests.recorder.sources.recordings import jobs, record, told
from tests.trace.checklist import check

from tachograph.recorder import control
from tachograph.recorder.config import RecorderConfig
from tachograph.recorder.core import is_native
from tachograph.recorder.sources import SourcesConfig
from tachograph.recorder.sources.executors import waiting_jobs
from tachograph.trace.dial9 import Conversion
from tachograph.trace.files import read_bytes
from tachograph.trace.model import Outcome, StepFlag, Trace


def task_of(trace: Trace, name: str) -> int:
    """Return the id of the task whose coroutine's name ends so."""
    (found,) = (n for n, t in trace.tasks.items() if (t.location or "").endswith(name))
    return found


def test_delays_and_durations_are_true(tmp_path: Path, run: Callable[..., Any]) -> None:
    """Jobs of 20 ms queued at a pool of one wait for all before them.

    A delay is what the program measures around it, less what a thread needs from the job's
    beginning to its first line; a duration the same and more.
    """

    async def main() -> None:
        pool = ThreadPoolExecutor(1)
        inside = asyncio.get_running_loop()
        waiting = []
        for _ in range(5):
            before = time.monotonic_ns()
            waiting.append(inside.run_in_executor(pool, measured))
            given.append((before, time.monotonic_ns()))
        await asyncio.gather(*waiting)
        pool.shutdown()

    def measured() -> None:
        start = time.monotonic_ns()
        time.sleep(0.02)
        truth.append((start, time.monotonic_ns()))

    truth: list[tuple[int, int]] = []
    given: list[tuple[int, int]] = []
    found = jobs(record(tmp_path, main, run=run, **ONLY), "measured")

    assert 5 == len(found)
    assert [3, 2, 1, 0] == [job.depth for job in found][1:]
    assert (found[-1].delay_ns or 0) > 60 * MS
    for job, (start, end), (before, after) in zip(found, truth, given, strict=True):
        assert job.delay_ns is not None
        assert start - after - SLACK < job.delay_ns < start - before + UNIT
        assert end - start - UNIT < job.duration_ns < end - start + SLACK
        assert job.start_ns - UNIT < start
        assert end < job.start_ns + job.duration_ns + UNIT


def test_a_job_is_told_as_a_task(tmp_path: Path) -> None:
    """With its function, who gave it, on which lane, how it ended [events 5]."""

    async def main() -> None:
        await asyncio.to_thread(nap, 0.001)
        with pytest.raises(ValueError, match="of the job"):
            await asyncio.get_running_loop().run_in_executor(None, fail)

    trace = record(tmp_path, main, **ONLY)
    parent = task_of(trace, ".main")
    slept, failed = jobs(trace)
    lanes = {lane: known.loop for lane, known in trace.lanes.items()}

    assert {0: "main", slept.lane: "executor", failed.lane: "executor"} == lanes
    assert 16 <= slept.lane < 64
    for job, name, outcome in ((slept, "nap", Outcome.RETURNED), (failed, "fail", Outcome.RAISED)):
        task = trace.tasks[job.task]
        assert f"executor:{nap.__module__}.{name}" == task.location
        assert (parent, parent, 0, outcome) == (job.waker, task.parent, task.lane, task.outcome)
        assert task.spawn_ns is not None
        assert job.start_ns - (job.delay_ns or 0) == pytest.approx(task.spawn_ns, abs=16)
    assert [0, 0] == [w.lane for w in trace.wakes if w.woken in (slept.task, failed.task)]
    assert trace.metadata["runtime.executor"].split(",")[0] == str(slept.lane)


def test_names_are_of_what_is_called_in_the_end(tmp_path: Path) -> None:
    """Partials and contexts are looked through; objects have the name of their class."""

    class Called:
        def __call__(self) -> None: ...

        def method(self) -> None: ...

    async def main() -> None:
        loop = asyncio.get_running_loop()
        for call in (
            functools.partial(functools.partial(nap), 0),
            functools.partial(contextvars.copy_context().run, nap, 0),
            Called(),
            Called().method,
            time.time,
        ):
            await loop.run_in_executor(None, call)
        await loop.run_in_executor(None, contextvars.copy_context().run, nap, 0)

    trace = record(tmp_path, main, **ONLY)
    names = [(trace.tasks[job.task].location or "").rpartition(".")[2] for job in jobs(trace)]

    assert ["nap", "nap", "Called", "method", "time", "nap"] == names


def test_the_loop_is_woken_by_the_job(tmp_path: Path) -> None:
    """What a thread does for a job after it, as the call back into the loop, is the job's."""

    async def main() -> None:
        gate = threading.Event()  # so that the loop waits before the job ends
        asyncio.get_running_loop().call_later(0.01, gate.set)
        await asyncio.to_thread(gate.wait, 30)

    trace = record(tmp_path, main, **ONLY)
    (job,) = jobs(trace)
    woken = [step for step in trace.steps if step.waker == job.task]

    assert ["callback:asyncio.futures._chain_future._set_state"] == [
        trace.tasks[step.task].location for step in woken
    ]
    assert woken[0].start_ns - (woken[0].delay_ns or 0) >= job.start_ns + job.duration_ns - 16


def test_jobs_of_anyio(tmp_path: Path) -> None:
    """Its threads are lanes too; waiting for its limiter counts as waiting."""

    async def main() -> None:
        limiter = anyio.CapacityLimiter(1)
        async with anyio.create_task_group() as group:
            for _ in range(2):
                group.start_soon(
                    functools.partial(anyio.to_thread.run_sync, nap, 0.02, limiter=limiter)
                )
        assert 0.001 == await run_in_threadpool(nap, 0.001)

    trace = record(tmp_path, main, **ONLY)
    first, second, third = jobs(trace, ".nap")

    assert 20 * MS <= (second.delay_ns or 0) < 200 * MS
    assert StepFlag.RETURNED == first.flags == second.flags == third.flags
    assert 0 == waiting_jobs()


def test_what_the_program_sees_is_unchanged(tmp_path: Path) -> None:
    """Results, exceptions with their lines, contexts and signatures are as without a recorder."""
    variable = contextvars.ContextVar("variable", default="")
    stock = ThreadPoolExecutor.submit

    def raised(error: BaseException) -> list[str]:
        return [frame.name for frame in traceback.extract_tb(error.__traceback__)]

    async def look() -> list[Any]:
        variable.set("set")
        inside = asyncio.get_running_loop()
        found: list[Any] = [await asyncio.to_thread(variable.get)]
        found += [await inside.run_in_executor(None, variable.get)]
        for call in (
            asyncio.to_thread(fail),
            inside.run_in_executor(None, fail),
            anyio.to_thread.run_sync(fail),
        ):
            try:
                await call
            except ValueError as error:
                found.append((str(error), raised(error)))
        with ThreadPoolExecutor(1) as pool:
            future = pool.submit(pow, 2, 5, mod=7)
            found.append(future.result())
        try:
            pool.submit(nap, 0)
        except RuntimeError as error:
            found.append((str(error), raised(error)))
        found.append(str(inspect.signature(pool.submit)))
        return found

    async def main() -> None:
        during.append(await look())

    before = asyncio.run(look())
    during: list[Any] = []
    record(tmp_path, main, **ONLY)
    if not is_native:  # the twin has frames of its own
        own = {"__call__", "submit"}
        during = [
            [(e[0], [n for n in e[1] if n not in own]) if isinstance(e, tuple) else e for e in all_]
            for all_ in during
        ]
        before = [
            (e[0], [n for n in e[1] if n not in own]) if isinstance(e, tuple) else e for e in before
        ]

    assert [before] == during
    assert ThreadPoolExecutor.submit is stock


def test_jobs_cancelled_while_they_waited(tmp_path: Path) -> None:
    """A job that never ran is told with how long it had waited, and does not count as alive."""

    async def main() -> None:
        pool = ThreadPoolExecutor(1)
        loop = asyncio.get_running_loop()
        first = loop.run_in_executor(pool, nap, 0.05)
        waiting = loop.run_in_executor(pool, nap, 0)
        await asyncio.sleep(0.01)
        assert waiting.cancel()
        await first
        begun = threading.Event()
        last = pool.submit(begun.wait, 30), pool.submit(nap, 0)
        await asyncio.sleep(0.02)
        pool.shutdown(wait=False, cancel_futures=True)
        begun.set()
        last[0].result()
        assert last[1].cancelled()

    trace = record(tmp_path, main, **ONLY)
    events = told(trace, "tacho:ExecutorJob")

    assert 2 == len(jobs(trace))
    assert [(2, 0)] * 2 == [(event["outcome"], event["run_ns"]) for event in events]
    assert events[0]["queue_ns"] >= 10 * MS
    assert [f"{nap.__module__}.nap"] * 2 == [e["function"] for e in events]
    assert [Outcome.CANCELLED] * 2 == [trace.tasks[e["task_id"]].outcome for e in events]
    assert 0 == waiting_jobs()


def test_more_threads_than_lanes(tmp_path: Path) -> None:
    """48 threads have lanes; jobs of others are events with the same facts."""
    everyone = threading.Barrier(60)

    def meet() -> None:
        everyone.wait(30)

    async def main() -> None:
        with ThreadPoolExecutor(60) as pool:
            loop = asyncio.get_running_loop()
            await asyncio.gather(*(loop.run_in_executor(pool, meet) for _ in range(60)))

    trace = record(tmp_path, main, **ONLY)
    found, events = jobs(trace), told(trace, "tacho:ExecutorJob")

    assert (48, 12) == (len({job.lane for job in found}), len(events))
    assert 48 == len(found)
    assert all(event["tid"] and event["run_ns"] for event in events)
    assert {Outcome.RETURNED} == {t.outcome for t in trace.tasks.values() if t.outcome is not None}


def test_lanes_are_used_again(tmp_path: Path) -> None:
    """When a thread has ended, the next one may have its lane."""

    async def main() -> None:
        for _ in range(3):
            with ThreadPoolExecutor(1) as pool:
                await asyncio.get_running_loop().run_in_executor(pool, nap, 0)
            await asyncio.sleep(0.1)  # a thread that was joined is not quite gone yet
            control.current().flush()  # it is the drain that sees that a thread has ended

    trace = record(tmp_path, main, **ONLY)

    assert [16, 16, 16] == [job.lane for job in jobs(trace)]


def test_a_loop_within_a_job(tmp_path: Path) -> None:
    """Its steps cut the job: at each moment one thing is open on a lane."""

    async def inner() -> None:
        await asyncio.sleep(0.001)

    def outer() -> None:
        asyncio.run(inner())

    async def main() -> None:
        await asyncio.to_thread(outer)

    trace = record(tmp_path, main, **ONLY)
    lane = jobs(trace, ".outer")[0].lane
    on_it = sorted((s for s in trace.steps if s.lane == lane), key=lambda s: s.start_ns)

    assert all(a.start_ns + a.duration_ns <= b.start_ns for a, b in pairwise(on_it))
    assert any((trace.tasks[s.task].location or "").endswith(".inner") for s in on_it)
    assert StepFlag.RETURNED | StepFlag.CONTINUED == jobs(trace, ".outer")[-1].flags
    assert [] == check(b"".join(Conversion(trace).batches())).broken


def test_jobs_in_the_dial9_profile(tmp_path: Path) -> None:
    """Unpark, PollStart, PollEnd, Park, Terminate, behind a spawn and a wake; by all rules."""

    async def main() -> None:
        pool = ThreadPoolExecutor(1)
        loop = asyncio.get_running_loop()
        await asyncio.gather(*(loop.run_in_executor(pool, nap, 0.002) for _ in range(3)))
        pool.shutdown()

    config = RecorderConfig(
        directory=tmp_path, profile="dial9", sources=SourcesConfig(cpu_profile=False)
    )
    with control.start(config):
        asyncio.run(main())
    (path,) = tmp_path.rglob("trace.0.bin.gz")
    report = check(read_bytes(path))
    spawns = [
        e for e in report.named("TaskSpawnEvent") if e.values["spawn_loc"].startswith("executor:")
    ]
    ids = [e.values["task_id"] for e in spawns]
    polls = [e for e in report.named("PollStartEvent") if e.values["task_id"] in ids]
    (lane,) = {e.values["worker_id"] for e in polls}  # 16, unless another test's thread lives on
    of_lane = [e for e in report.events if e.values.get("worker_id") == lane]
    kinds = [e.name.removesuffix("Event") for e in of_lane if e.name.startswith(("Po", "Wo"))]

    assert [] == report.broken
    assert ["WorkerPark", *["WorkerUnpark", "PollStart", "PollEnd", "WorkerPark"] * 3] == kinds
    assert 3 == len(ids)
    assert ids == [e.values["task_id"] for e in of_lane if e.name == "PollStartEvent"]
    assert [8, 8, 8] == [e.values["flags"] for e in of_lane if e.name == "PollStartEvent"]
    assert [1, 0] == [e.values["local_queue"] for e in of_lane if e.name == "PollStartEvent"][1:]
    assert {0} == {e.values["sched_wait_ns"] for e in of_lane if e.name == "WorkerUnparkEvent"}
    wakes = [e for e in report.named("WakeEventEvent") if e.values["woken_task_id"] in ids]
    assert [0, 0, 0] == [e.values["target_worker"] for e in wakes]
    ends = {e.values["task_id"]: e for e in report.named("TaskTerminateEvent")}
    polled = [e for e in of_lane if e.name == "PollEndEvent"]
    assert [(e.time, 0) for e in polled] == [(ends[n].time, ends[n].values["outcome"]) for n in ids]
    metadata: dict[str, str] = {}
    for event in report.named("SegmentMetadataEvent"):
        metadata |= event.values["entries"]
    assert "0" == metadata["runtime.main"]
    assert str(lane) in metadata["runtime.executor"].split(",")


def test_jobs_of_processes(tmp_path: Path) -> None:
    """Events from when they were given until they were done: the rest is not known here."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        import multiprocessing

        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
            await loop.run_in_executor(pool, time.sleep, 0.01)
            with pytest.raises(ValueError, match="invalid literal"):
                await loop.run_in_executor(pool, int, "x")

    trace = record(tmp_path, main, **ONLY)
    slept, failed = told(trace, "tacho:ExecutorJob")

    assert (None, "processes", 0) == (slept["queue_ns"], slept["pool"], slept["outcome"])
    assert slept["run_ns"] >= 10 * MS
    assert 1 == failed["outcome"]
    assert Outcome.RAISED == trace.tasks[failed["task_id"]].outcome
    assert [] == jobs(trace)


def test_how_busy_pools_are(tmp_path: Path) -> None:
    """A pool's threads, running and waiting jobs are told when they have changed."""

    async def main() -> None:
        with ThreadPoolExecutor(2, thread_name_prefix="busy") as pool:
            loop = asyncio.get_running_loop()
            all_ = [loop.run_in_executor(pool, nap, 0.3) for _ in range(5)]
            await asyncio.sleep(0.2)
            assert 3 == waiting_jobs()
            await asyncio.gather(*all_)

    events = told(record(tmp_path, main, **ONLY), "tacho:ExecutorPool")
    mine = [(e["limit"], e["running"], e["waiting"]) for e in events if e["pool"] == "busy"]

    assert (2, 2, 3) in mine
    assert len(mine) == len({*pairwise(mine)}) + 1


def test_pools_go_with_their_executors(tmp_path: Path) -> None:
    """What is counted of an executor does not outlive it."""

    async def main() -> None:
        from tachograph.recorder.sources import executors

        before = len(executors.pools)
        for _ in range(20):
            with ThreadPoolExecutor(1) as pool:
                await asyncio.get_running_loop().run_in_executor(pool, nap, 0)
            del pool
        gc.collect()
        assert len(executors.pools) <= before + 1

    record(tmp_path, main, **ONLY)
