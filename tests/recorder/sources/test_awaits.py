"""Where tasks wait: before each step, and of all when a segment is sealed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tachograph import recorder
from tachograph.recorder.core import core, is_native
from tachograph.recorder.sources.config import SourcesConfig
from tachograph.trace import Trace
from tachograph.trace.files import read_file

pytestmark = pytest.mark.skipif(not is_native, reason="the twin reads no chains, and says so")

AWAITS_ONLY = replace(SourcesConfig.none(), task_dump=True)


def record(
    path: Path, program: Callable[[], Awaitable[Any]], sources: SourcesConfig = AWAITS_ONLY
) -> list[Trace]:
    """Run a program under the recorder; return what it wrote."""
    config = recorder.RecorderConfig(directory=path, sources=sources)
    with recorder.start(config) as recording:
        asyncio.run(program())  # type: ignore[arg-type]
        assert not recording.problems
    return [read_file(segment) for segment in sorted(path.glob("*/*.bin*"))]


def names(trace: Trace, frames: tuple[int, ...]) -> list[str]:
    """Return the functions of a stack, innermost first."""
    found = [trace.symbols[frame][0].name.rpartition("::")[2] for frame in frames]
    return [name.rpartition(".")[2] for name in found]


def chains(trace: Trace) -> list[list[str]]:
    """Return where tasks waited, in the order of the steps that followed."""
    return [names(trace, trace.stacks[stack]) for stack in trace.steps.stack if stack]


async def _numbers() -> AsyncIterator[int]:
    """Yield once, after a wait."""
    await asyncio.sleep(0.001)
    yield 1


class Custom:
    def __await__(self) -> Generator[Any, None, None]:
        yield from asyncio.sleep(0.001).__await__()


async def leaf() -> None:
    """Wait."""
    await asyncio.sleep(0.001)


async def branch() -> None:
    """Wait in another coroutine."""
    await leaf()


async def over_a_generator() -> None:
    """Wait in a generator."""
    async for _ in _numbers():
        pass


async def over_a_step_of_a_generator() -> None:
    """Wait for one step of it."""
    await anext(_numbers(), 0)


async def over_an_object() -> None:
    """Wait in an object's own generator."""
    await Custom()


async def over_a_wrapper() -> None:
    """Wait in a coroutine that an object gives away."""

    class Wraps:
        def __await__(self) -> Generator[Any, None, None]:
            return leaf().__await__()

    await Wraps()


async def over_a_queue() -> None:
    """Wait for somebody else."""
    queue: asyncio.Queue[int] = asyncio.Queue()
    asyncio.get_running_loop().call_later(0.001, queue.put_nowait, 1)
    await queue.get()


@pytest.mark.parametrize(
    ("program", "expected"),
    [
        (branch, ["sleep", "leaf", "branch"]),
        (over_a_generator, ["sleep", "_numbers", "over_a_generator"]),
        (over_a_step_of_a_generator, ["sleep", "_numbers", "over_a_step_of_a_generator"]),
        (over_an_object, ["sleep", "__await__", "over_an_object"]),
        (over_a_wrapper, ["sleep", "leaf", "over_a_wrapper"]),
        (over_a_queue, ["get", "over_a_queue"]),
    ],
)
def test_a_step_tells_where_its_task_waited(
    tmp_path: Path, program: Callable[[], Awaitable[Any]], expected: list[str]
) -> None:
    """Innermost first: through coroutines, generators of any kind and objects with `__await__`."""
    (trace,) = record(tmp_path, program)

    assert expected in chains(trace)


def test_the_line_is_that_of_the_await(tmp_path: Path) -> None:
    """Each frame has the line that it waits at."""
    (trace,) = record(tmp_path, branch)
    lines = [[trace.symbols[f][0].line for f in s] for s in trace.stacks if len(s) == 3]

    assert [leaf.__code__.co_firstlineno + 2, branch.__code__.co_firstlineno + 2] in [
        line[1:] for line in lines
    ]


def test_a_first_step_has_waited_nowhere(tmp_path: Path) -> None:
    """Neither have callbacks, nor the rest of a step."""

    async def main() -> None:
        asyncio.get_running_loop().call_soon(int)
        await asyncio.sleep(0.001)

    (trace,) = record(tmp_path, main)
    first = trace.steps.task.index(1024) if 1024 in trace.steps.task else 0

    assert 0 == trace.steps.stack[first]
    assert [["sleep", "main"]] == [chain[:2] for chain in chains(trace)][:1]


def test_each_segment_tells_its_stacks(tmp_path: Path) -> None:
    """A segment can be read without the one before: numbers and symbols are told again."""

    async def main() -> None:
        for _ in range(3):
            await branch()
            await asyncio.sleep(0)  # so that the step before is over
            recorder.dump()

    traces = record(tmp_path, main)

    assert len(traces) >= 3
    for trace in traces[:3]:
        assert ["sleep", "leaf", "branch"] in [chain[:3] for chain in chains(trace)]


def test_off_is_off(tmp_path: Path) -> None:
    """Without the setting no step has a stack, and its column takes no byte."""
    (trace,) = record(tmp_path, branch, SourcesConfig.none())

    assert {0} == set(trace.steps.stack)
    assert 1 == len(trace.stacks)


def test_tasks_that_never_go_on(tmp_path: Path) -> None:
    """A dump tells where each task waits, for what, and which task that is [core 8]."""

    async def stuck() -> None:
        await asyncio.Event().wait()

    async def waits(task: asyncio.Task[None]) -> None:
        await task

    async def gathers(*tasks: asyncio.Task[None]) -> None:
        await asyncio.gather(*tasks)

    ids: dict[str, Any] = {}

    async def main() -> None:
        a, b = asyncio.create_task(stuck()), asyncio.create_task(stuck())
        c, d = asyncio.create_task(waits(a)), asyncio.create_task(gathers(a, b))
        await asyncio.sleep(0.01)
        recorder.dump("what do they wait for?")
        ids.update(
            {name: core.task_id(task) for name, task in zip("abcd", (a, b, c, d), strict=True)}
        )
        a.cancel()
        b.cancel()
        await asyncio.wait((c, d))

    trace, *_ = record(tmp_path, main)
    dumps = [e for e in trace.events if e.name == "TaskDumpEvent"]
    edges = {(e["task_id"], e["awaited_task"]) for e in dumps}
    by_task = {e["task_id"]: names(trace, e["callchain"]) for e in dumps}

    assert {
        (ids["a"], None),
        (ids["b"], None),
        (ids["c"], ids["a"]),
        (ids["d"], ids["a"]),
        (ids["d"], ids["b"]),
    } <= edges
    assert ["wait", "stuck"] == by_task[ids["a"]][:2]
    assert ["gathers"] == by_task[ids["d"]]
    assert "_GatheringFuture" in {e["awaiting"] for e in dumps}


def test_a_task_that_began_before(tmp_path: Path) -> None:
    """It gets an id when it is looked at, and is told as a task."""

    async def stuck() -> None:
        await asyncio.Event().wait()

    async def main() -> None:
        task = asyncio.create_task(stuck(), name="old")
        await asyncio.sleep(0)
        with recorder.start(recorder.RecorderConfig(directory=tmp_path, sources=AWAITS_ONLY)):
            await asyncio.sleep(0)
            recorder.dump()
        task.cancel()

    asyncio.run(main())
    trace = read_file(min(tmp_path.glob("*/*.bin*")))
    (old,) = [task for task in trace.tasks.values() if task.name == "old"]

    assert ["wait", "stuck"] in [
        names(trace, dump.frames) for dump in trace.dumps if dump.task == old.task
    ]
