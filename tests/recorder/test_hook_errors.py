"""What goes wrong within a hook: the program goes on, the error is counted."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import threading
from collections import Counter
from typing import Any

import pytest
from tests.recorder.programs import CALLBACK, STEP, Clock, record, steps, take, what

from tachograph.recorder.core import core

# The twin's hooks are Python, so any of them can be made to fail.
HEAD = """
import asyncio, os, sys, threading
os.environ["TACHO_PURE"] = "1"
from pathlib import Path
from tachograph import recorder
from tachograph._core.loop_pure import hooks
from tachograph.recorder.core import core, is_native
assert not is_native

class Fails:
    "Stands in for a function of the hooks, and fails on threads whose name begins with `bad`."
    def __init__(self, name):
        self.stock, self.calls = getattr(hooks, name), 0
        setattr(hooks, name, self)
    def __call__(self, *args):
        if threading.current_thread().name.startswith("bad"):
            self.calls += 1
            raise ZeroDivisionError("on purpose")
        return self.stock(*args)

ran = {}
async def main(turns):
    for _ in range(turns):
        await asyncio.create_task(asyncio.sleep(0))
    ran[threading.current_thread().name] = turns

def thread(name, turns):
    made = threading.Thread(target=asyncio.run, args=(main(turns),), name=name)
    made.start()
    made.join()

it = recorder.start(recorder.RecorderConfig(directory=Path(sys.argv[1])))
"""


def run(source: str, *arguments: str) -> list[str]:
    """Run a program with the twin; return the words that it prints."""
    done = subprocess.run(
        [sys.executable, "-c", HEAD + source, *arguments],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert (0, "") == (done.returncode, done.stderr)
    return done.stdout.split()


@pytest.mark.parametrize("name", ["begin", "end", "note_spawn", "who_is"])
def test_an_error_in_a_hook_is_swallowed_and_counted(name: str, tmp_path: Any) -> None:
    """Whichever hook it is: every step of the program runs (recorder.md row 28)."""
    source = (
        f"fails = Fails({name!r})\nthread('bad', 10)\n"
        "print(ran['bad'], fails.calls > 9, it.statistics()['hook_errors'] == fails.calls)\n"
        "it.close()\n"
    )

    assert ["10", "True", "True"] == run(source, str(tmp_path))


def test_a_thread_of_many_errors_records_no_more(tmp_path: Any) -> None:
    """After a hundred errors that thread is left alone, others go on (recorder.md row 10)."""
    source = """
fails = Fails("begin")
thread("bad", 500)
before = it.statistics()
thread("good", 500)
after = it.statistics()
print(ran["bad"], ran["good"], before["hook_errors"], after["hook_errors"], fails.calls)
print(after["events_recorded"] - before["events_recorded"] >= 1500, it.is_enabled)
it.close()
"""

    assert ["500", "500", "100", "100", "100", "True", "True"] == run(source, str(tmp_path))


def test_a_step_whose_end_fails_is_lost_alone(tmp_path: Any) -> None:
    """It is not left open, so that the steps after it would be taken for inner ones."""
    source = """
from tachograph._core.loop_pure.lane import here
stock, calls = hooks.end, []
def end(*args):
    calls.append(1)
    if len(calls) == 3:
        raise ZeroDivisionError("on purpose")
    stock(*args)
hooks.end = end
def bad():
    asyncio.run(main(10))
    print(len(calls) > 20, *here.lane.open_step)
thread = threading.Thread(target=bad)
thread.start()
thread.join()
print(it.statistics()["hook_errors"])
it.close()
"""

    assert ["True", "0", "0", "0", "1"] == run(source, str(tmp_path))


def test_a_thread_of_many_errors_records_again_in_the_next_recording(tmp_path: Any) -> None:
    """It rests for the one in which its hooks failed."""
    source = """
stock = hooks.begin
fails = Fails("begin")
def both():
    thread = threading.current_thread()
    thread.name = "bad"
    asyncio.run(main(200))
    ends.wait()
    asyncio.run(main(200))
    print(fails.calls, recorder.statistics()["hook_errors"])
ends = threading.Barrier(2)
thread = threading.Thread(target=both)
thread.start()
while it.statistics()["hook_errors"] < 100:
    it.flush()
it.close()
hooks.begin = stock
it = recorder.start(recorder.RecorderConfig(directory=Path(sys.argv[1])))
ends.wait()
thread.join()
print(it.statistics()["events_recorded"] >= 600)
it.close()
"""

    assert ["100", "0", "True"] == run(source, str(tmp_path))


def test_a_clock_that_goes_back_is_no_error() -> None:
    """The step is told as the longest there is, and the next ones as they are."""

    async def main() -> None:
        clock = Clock()
        await asyncio.sleep(0)
        core.set_clock(clock.ns - 5_000)
        await asyncio.sleep(0)
        core.set_clock(clock.ns + 8)
        await asyncio.sleep(0)

    events = record(main)

    assert 0 == sum(lane.errors for lane in core.lanes())
    found = [s for s in steps(events) if not s.flags & CALLBACK and what(events, s.task) == "main"]
    assert 4 == len(found)
    assert [2**32 - 1] == [s.duration for s in found if s.t0 == 1_000_000_000]


@pytest.mark.parametrize("eager", [False, True])
def test_a_task_that_failed_goes_at_once(eager: bool) -> None:
    """No frame of a hook that its traceback keeps has it, so that no collector is needed."""
    if eager and sys.version_info < (3, 14):
        pytest.skip("no eager tasks, or asyncio's own `create_task` keeps those that failed")
    told: list[Any] = []

    async def fails() -> None:
        raise LookupError

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: told.append(context["exception"]))
        if eager:
            loop.set_task_factory(asyncio.eager_task_factory)  # type: ignore[attr-defined]
        asyncio.create_task(fails())  # noqa: RUF006 -- nobody has it
        for _ in range(3):
            await asyncio.sleep(0)
        told.append("end")

    gc.disable()
    try:
        record(main)
    finally:
        gc.enable()

    assert [LookupError, str] == [type(each) for each in told]


class Secret(asyncio.Task[Any]):
    """A task that does not tell its coroutine."""

    def get_coro(self) -> Any:
        raise ZeroDivisionError("asked for a coroutine")


def test_a_task_that_refuses_to_tell_its_coroutine() -> None:
    """What a task's own class answers is never asked for (recorder.md row 28)."""

    async def quiet() -> int:
        await asyncio.sleep(0)
        return 5

    async def main() -> int:
        loop = asyncio.get_running_loop()
        loop.set_task_factory(lambda loop, coro, **named: Secret(coro, loop=loop, **named))
        return await asyncio.create_task(quiet())

    found: list[int] = []

    def run_it(coroutine: Any) -> None:
        found.append(asyncio.run(coroutine))

    events = record(main, run=run_it)

    assert [5] == found
    assert 2 == [what(events, s.task) for s in steps(events) if not s.flags & 4].count("quiet")
    assert 0 == sum(lane.errors for lane in core.lanes())


class Odd:
    """A callback that raises whatever it is asked for."""

    def __getattr__(self, name: str) -> Any:
        raise ZeroDivisionError(name)

    def __call__(self) -> None:
        called.append(1)


called: list[int] = []


def test_a_callback_that_raises_when_it_is_looked_at() -> None:
    """It is called all the same, once (recorder.md row 28)."""

    async def main() -> None:
        asyncio.get_running_loop().call_soon(Odd())
        await asyncio.sleep(0)

    called.clear()
    record(main)

    assert [1] == called


def test_the_drain_never_waits_for_a_ring_nor_a_ring_for_the_drain() -> None:
    """What is recorded while the rings are read comes with the next look (recorder.md row 9).

    No lock is between the two: events that come in between are neither lost nor there twice.
    """
    seen: Counter[int] = Counter()
    turns, looks, own = 5_000, 0, 0

    def look() -> None:
        nonlocal looks
        while reading:
            seen.update(e.task for e in take() if e.type == STEP and not e.flags & CALLBACK)
            looks += 1

    async def main() -> None:
        nonlocal own
        own = core.task_id(asyncio.current_task()) or 0
        reader.start()
        for _ in range(turns):
            await asyncio.sleep(0)
        reading.clear()

    reading = [True]
    reader = threading.Thread(target=look)
    before = sum(lane.drops for lane in core.lanes())
    left = record(main)
    reader.join()
    seen.update(e.task for e in left + take() if e.type == STEP and not e.flags & CALLBACK)

    assert looks > 1
    assert before == sum(lane.drops for lane in core.lanes())
    assert turns + 1 == seen[own]
