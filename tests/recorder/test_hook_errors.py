"""What goes wrong within a hook: the program goes on, the error is counted."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections import Counter
from typing import Any

import pytest
from tests.recorder.programs import CALLBACK, STEP, record, steps, take, what

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
