"""A recorded process forks: the child records nothing until it starts its own recorder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
from tests.recorder.reading import segments, tell

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here"),
]

HEAD = """
import asyncio, json, os, signal, sys, threading, warnings
warnings.simplefilter("ignore", DeprecationWarning)  # of forks with threads
from tachograph import recorder

@recorder.event
def hit(n: int) -> None: ...

async def work(times=20):
    for n in range(times):
        hit(n)
        await asyncio.sleep(0)

def start():
    return recorder.start(recorder.RecorderConfig(directory=sys.argv[1], drain_interval_s=0.001))

def wait(child):
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

def tell(**facts):
    print(json.dumps(facts), flush=True)
"""


def run(program: str, directory: Path) -> Any:
    """Run *program* after the common head; return what it told."""
    done = subprocess.run(
        [sys.executable, "-c", HEAD + textwrap.dedent(program), str(directory)],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert (0, "") == (done.returncode, done.stderr)
    return json.loads(done.stdout)


def hits(home: Path) -> list[int]:
    """The numbers of the program's own events in a process's segments."""
    return [event["n"] for event in tell(segments(home)).own]


def test_a_child_is_inert(tmp_path: Path) -> None:
    """It records nothing and touches nothing of its parent's (recorder.md row 26)."""
    told = run(
        """
        it = start()
        home = it.directory
        asyncio.run(work())
        child = os.fork()
        if not child:
            asyncio.run(work())
            fine = (
                not recorder.is_enabled() and recorder.dump() is None and it.directory is None
                and recorder.statistics() == {"enabled": False} and it.close()
            )
            os._exit(0 if fine else 3)
        state = wait(child)
        asyncio.run(work(10))
        it.close()
        tell(home=str(home), state=state, lanes=it.statistics()["lanes"])
        """,
        tmp_path,
    )

    assert 0 == told["state"]
    assert [Path(told["home"])] == list(tmp_path.iterdir())
    assert [*range(20), *range(10)] == hits(Path(told["home"]))


def test_a_child_may_start_its_own(tmp_path: Path) -> None:
    """In a directory of its own, with all its names; the parent goes on (recorder.md row 26)."""
    told = run(
        """
        it = start()
        homes = [str(it.directory)]
        asyncio.run(work())
        reading, writing = os.pipe()
        child = os.fork()
        if not child:
            own = start()
            os.write(writing, str(own.directory).encode())
            asyncio.run(work(5))
            os._exit(0 if own.close() else 3)
        os.close(writing)
        homes.append(os.read(reading, 4096).decode())
        state = wait(child)
        asyncio.run(work(10))
        it.close()
        tell(homes=homes, state=state)
        """,
        tmp_path,
    )
    parent, child = map(Path, told["homes"])

    assert 0 == told["state"]
    assert {parent, child} == set(tmp_path.iterdir())
    assert [*range(20), *range(10)] == hits(parent)
    assert [*range(5)] == hits(child)
    names = tell(segments(child)).names.values()
    assert any(name.endswith(".work") for name in names)


def test_a_child_within_a_step_is_inert(tmp_path: Path) -> None:
    """A fork in the middle of a task: the parent's step ends in the parent's segment only."""
    told = run(
        """
        async def main():
            await work()
            child = os.fork()
            if not child:
                if sys.version_info < (3, 14):
                    await work()
                else:  # asyncio lets no loop go on in a child; a new one it does
                    other = threading.Thread(target=asyncio.run, args=(work(),))
                    other.start()
                    other.join()
                os._exit(0 if not recorder.is_enabled() else 3)
            state = wait(child)
            await work(10)
            return state

        it = start()
        home = it.directory
        state = asyncio.run(main())
        it.close()
        tell(home=str(home), state=state)
        """,
        tmp_path,
    )

    assert 0 == told["state"]
    assert [*range(20), *range(10)] == hits(Path(told["home"]))


def test_sixty_forks_while_loops_record(tmp_path: Path) -> None:
    """Whatever lock the drain holds at that moment: no child hangs, the parent loses nothing."""
    told = run(
        """
        it = start()
        home = it.directory
        stop = threading.Event()
        counts = [0, 0]

        async def busy(thread):
            while not stop.is_set():
                hit(counts[thread])
                counts[thread] += 1
                await asyncio.sleep(0.0001)

        threads = [threading.Thread(target=asyncio.run, args=(busy(n),)) for n in range(2)]
        for thread in threads:
            thread.start()
        while min(counts) < 10:
            it.flush()
        states = []
        for n in range(60):
            child = os.fork()
            if not child:
                signal.alarm(60)
                if n % 3 == 0:
                    own = start()
                    asyncio.run(work(3))
                    own.close()
                else:
                    asyncio.run(work(3))
                os._exit(0)
            it.dump()
            states.append(wait(child))
        stop.set()
        for thread in threads:
            thread.join()
        it.close()
        last = it.statistics()
        tell(home=str(home), states=states, counts=counts, dropped=last["events_dropped"],
             lost=last["events_lost"] + last["own_events_lost"] + last["own_events_dropped"])
        """,
        tmp_path,
    )

    assert [0] * 60 == told["states"]
    assert (0, 0) == (told["dropped"], told["lost"])
    assert sum(told["counts"]) == len(hits(Path(told["home"])))
    children = [path for path in tmp_path.iterdir() if path != Path(told["home"])]
    assert [[0, 1, 2]] * 20 == [hits(path) for path in children]


def test_a_parent_that_dies_leaves_its_child_alone(tmp_path: Path) -> None:
    """The parent's lock is not the child's: its directory is recovered while the child lives."""
    told = run(
        """
        reading, writing = os.pipe()
        middle = os.fork()
        if not middle:
            it = start()
            asyncio.run(work())
            child = os.fork()
            if child:
                it.flush()
                os.write(writing, f"{it.directory} {child}".encode())
                os.kill(os.getpid(), signal.SIGKILL)
            signal.alarm(60)
            signal.pause()
        home, child = os.read(reading, 4096).decode().split()
        wait(middle)
        with start() as it:
            recovered = it.statistics()["segments_recovered"]
        os.kill(int(child), signal.SIGKILL)
        tell(home=home, recovered=recovered)
        """,
        tmp_path,
    )

    assert told["recovered"] >= 1
    assert [*range(20)] == hits(Path(told["home"]))
