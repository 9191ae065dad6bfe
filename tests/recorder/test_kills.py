"""A busy program is killed at random moments; what it recorded is all there, once."""

from __future__ import annotations

import mmap
import random
import select
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.recorder.reading import Told, names_in, segments, tell

from tachograph.recorder.core import is_native
from tachograph.recorder.recover import recover_all

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not is_native, reason="the ring lies in memory without the native core"),
]

SECONDS = 40.0  # for all kills together
KILLS = 24

# Each step of a worker counts itself in shared memory before anything else.
PROGRAM = """
import asyncio, mmap, struct, sys
from tachograph import recorder

directory, count, hangs = sys.argv[1], sys.argv[2], int(sys.argv[3])
file = open(count, "r+b")
shared = mmap.mmap(file.fileno(), 8)
config = recorder.RecorderConfig(
    directory=directory, service="victim", rotation_s=0.05, drain_interval_s=0.01,
    ring_events=2**18, max_file_bytes=2**18, max_total_bytes=2**28,
)

@recorder.event
def begun(n: int) -> None: ...

class Steps:
    n = 0

async def worker():
    while True:
        Steps.n += 1
        struct.pack_into("=Q", shared, 0, Steps.n)
        begun(Steps.n)
        if Steps.n == 100:
            print("busy", flush=True)
        if Steps.n == hangs:
            print("hangs", flush=True)
            while True:
                pass
        await asyncio.sleep(0)

async def main():
    async with asyncio.TaskGroup() as group:
        for _ in range(3):
            group.create_task(worker())

with recorder.start(config):
    asyncio.run(main())
"""


def kill(parent: Path, count: Path, *, after_s: float, hangs: int) -> tuple[int, int]:
    """Run the program and kill it; return its process id and how many steps it had begun."""
    count.write_bytes(bytes(8))
    program = [sys.executable, "-c", PROGRAM, str(parent), str(count), str(hangs)]
    with subprocess.Popen(program, stdout=subprocess.PIPE, bufsize=0) as victim:
        assert victim.stdout is not None
        try:
            assert b"busy\n" == victim.stdout.readline()
            wanted = victim.stdout if hangs else None
            # A moment of the program's work, which ends before when it has something to say.
            select.select([wanted] if wanted else [], [], [], 30 if hangs else after_s)
        finally:
            victim.send_signal(signal.SIGKILL)
        victim.wait()
    with count.open("rb") as file, mmap.mmap(file.fileno(), 8, prot=mmap.PROT_READ) as shared:
        (steps,) = struct.unpack_from("=Q", shared, 0)
    return victim.pid, steps


def worker_steps(told: Told) -> tuple[int, int]:
    """Return how many steps of workers ended, and how many are open."""
    workers = {
        spawn.task
        for each in told.spawns.values()
        for spawn in each
        if told.names[1, spawn.name].endswith(".worker")
    }
    ended = sum(step.task in workers for each in told.steps.values() for step in each)
    return ended, sum(task in workers for task, *_ in told.open_steps)


def test_every_event_of_a_killed_process_is_there_once(tmp_path: Path) -> None:
    """Killed at any moment: earlier batches read, the last moments come from the ring.

    (recorder.md row 22)

    Each step that was begun is an ended or the open one; none is there twice.
    """
    moments = random.Random(4)
    count = tmp_path / "count"
    began, kills = time.monotonic(), 0
    while kills < KILLS and time.monotonic() - began < SECONDS:
        parent = tmp_path / str(kills)
        hangs = moments.randrange(200, 40_000) if kills % 3 == 0 else 0
        pid, begun = kill(parent, count, after_s=moments.random() * 0.5, hangs=hangs)
        kills += 1
        (home,) = parent.iterdir()
        assert home.name.endswith(f"-{pid}")
        before = [path for path in segments(home) if path.suffix == ".bin"]
        assert tell(before).open_steps == []

        assert len(recover_all(parent)) >= 1
        found = segments(home)
        told = tell(found)
        ended, still_open = worker_steps(told)
        where = f"kill {kills}, {hangs=}, {[path.name for path in found]}"
        assert begun <= ended + still_open <= begun + 1, where
        if hangs:
            assert (begun, 1) == (ended + still_open, still_open), where
        numbers = [event["n"] for event in told.own]
        assert list(range(1, len(numbers) + 1)) == numbers, where
        assert {".lock"} == set(names_in(home)) - {path.name for path in found}
        unchanged = {path: path.stat().st_mtime_ns for path in found}
        assert [] == recover_all(parent)
        assert unchanged == {path: path.stat().st_mtime_ns for path in segments(home)}
    assert kills >= 6


def test_the_next_start_recovers_the_last_process(tmp_path: Path) -> None:
    """A service that is started again seals what the one before left, and tells how much."""
    _, begun = kill(tmp_path / "traces", tmp_path / "count", after_s=0.2, hangs=0)
    (home,) = (tmp_path / "traces").iterdir()
    program = (
        "import sys; from tachograph import recorder\n"
        "none = recorder.SourcesConfig.none()\n"
        "config = recorder.RecorderConfig(directory=sys.argv[1], sources=none)\n"
        "with recorder.start(config) as it:\n"
        "    print(it.statistics()['segments_recovered'])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "traces")],
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip

    assert done.stdout.strip() in ("1", "2")
    assert begun <= sum(worker_steps(tell(segments(home)))) <= begun + 1
    assert [home] == list((tmp_path / "traces").iterdir())
