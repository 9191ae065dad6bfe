"""Processes that fork and share a directory while they write."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here"),
]

HEAD = """
import json, os, signal, sys, threading, time
from pathlib import Path
import tachograph as tg

class Job(tg.WideEvent):
    process: int = 0
    thread: int = 0
    number: int = 0

def emit(thread, count, pause=0.0):
    for number in range(count):
        Job(process=os.getpid(), thread=thread, number=number).emit()
        if pause:
            time.sleep(pause)

directory = Path(sys.argv[1])
"""


def run(program: str, directory: Path, *arguments: str, timeout: float = 60) -> str:
    """Run *program* after the common head; return what it printed."""
    done = subprocess.run(
        [sys.executable, "-c", HEAD + textwrap.dedent(program), str(directory), *arguments],
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    assert 0 == done.returncode, done.stderr
    return done.stdout


def records(directory: Path) -> list[dict[str, Any]]:
    """Every record in the directory; each line must be whole."""
    found = []
    for path in sorted(directory.glob("metrics.log.*")):
        for line in path.read_bytes().split(b"\n"):
            if line:
                found.append(json.loads(line))
    return found


def test_sixty_forks_while_threads_emit(tmp_path: Path) -> None:
    """None hangs; the parent's lines and each child's are there once [SK-1]."""
    program = """
    with tg.init_telemetry(tg.TelemetryConfig(service="s", telemetry_dir=directory)) as guard:
        stop = threading.Event()
        counts = [0] * 4
        def work(thread):
            while not stop.is_set():
                Job(process=os.getpid(), thread=thread, number=counts[thread]).emit()
                counts[thread] += 1
                if counts[thread] % 50 == 0:
                    time.sleep(0.001)
        threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
        for thread in threads:
            thread.start()
        children = []
        for _ in range(60):
            child = os.fork()
            if not child:
                emit(9, 20)
                ended = guard.flush(20) and guard.close(20)
                os._exit(0 if ended else 3)
            children.append(child)
            time.sleep(0.005)
        states = []
        deadline = time.monotonic() + 30
        for child in children:
            while True:
                pid, state = os.waitpid(child, os.WNOHANG)
                if pid:
                    states.append(os.waitstatus_to_exitcode(state))
                    break
                if time.monotonic() > deadline:
                    os.kill(child, signal.SIGKILL)
                    os.waitpid(child, 0)
                    states.append("hung")
                    break
                time.sleep(0.005)
        stop.set()
        for thread in threads:
            thread.join()
    print(json.dumps({"states": states, "counts": counts, "parent": os.getpid()}))
    """
    told = json.loads(run(program, tmp_path))
    found = Counter((r["process"], r["thread"], r["number"]) for r in records(tmp_path))

    assert [0] * 60 == told["states"]
    assert {1} == set(found.values())
    parents = Counter(thread for process, thread, _ in found if process == told["parent"])
    assert told["counts"] == [parents[n] for n in range(4)]
    children = Counter(process for process, thread, _ in found if thread == 9)
    assert [20] * 60 == list(children.values())


def test_records_before_a_fork_are_the_parents(tmp_path: Path) -> None:
    """A preloading server: emitted before and after the fork, by both [SK-1, SK-2]."""
    program = """
    guard = tg.init_telemetry(tg.TelemetryConfig(service="s", telemetry_dir=directory))
    emit(1, 100)
    child = os.fork()
    emit(2, 100)
    if not child:
        assert guard.flush(10)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    guard.close()
    """
    run(program, tmp_path)
    found = Counter((r["process"], r["thread"]) for r in records(tmp_path))

    assert [100, 100, 100] == sorted(found.values())
    assert 1 == sum(thread == 1 for _, thread in found)


WORKERS = """
import multiprocessing, sys
from pathlib import Path
import tachograph as tg

class Work(tg.WideEvent):
    worker: int = 0

def work(directory, number):
    tg.init_telemetry(tg.TelemetryConfig(service="s", telemetry_dir=Path(directory)))
    for _ in range(200):
        Work(worker=number).emit()

if __name__ == "__main__":
    context = multiprocessing.get_context(sys.argv[2])
    workers = [context.Process(target=work, args=(sys.argv[1], n)) for n in range(3)]
    for process in workers:
        process.start()
    for process in workers:
        process.join(30)
    sys.exit(any(process.exitcode for process in workers))
"""


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_workers_of_multiprocessing(tmp_path: Path, method: str) -> None:
    """Each configures its own telemetry and ends without closing it; all lines are there [SK-3]."""
    program = tmp_path / "workers.py"
    program.write_text(WORKERS)
    directory = tmp_path / "telemetry"
    subprocess.run([sys.executable, program, directory, method], timeout=60, check=True)

    assert {0: 200, 1: 200, 2: 200} == Counter(r["worker"] for r in records(directory))


@pytest.mark.parametrize("per_process", [False, True])
def test_processes_that_roll_in_one_directory(tmp_path: Path, *, per_process: bool) -> None:
    """Four of them, files that roll all the time: nothing is torn or lost."""
    program = """
    from tachograph._base.clock import clock
    from tachograph.testing import FakeClock
    import itertools

    per_process = sys.argv[2] == "True"
    ticks = itertools.count()
    start = 1_705_312_800_000_000_000
    # A clock on which each reading is a quarter of a minute later: nearly each block rolls.
    clock.replace(
        monotonic_ns=time.monotonic_ns, time_ns=lambda: start + next(ticks) * 15_000_000_000
    )
    config = tg.TelemetryConfig(service="s", telemetry_dir=directory, per_process=per_process)
    with tg.init_telemetry(config):
        emit(0, 2_000, pause=0.0002)
    """
    processes = [
        subprocess.Popen(
            [
                sys.executable,
                "-c",
                HEAD + textwrap.dedent(program),
                str(tmp_path),
                str(per_process),
            ],
            stderr=subprocess.PIPE,
        )
        for _ in range(4)
    ]
    for process in processes:
        _, errors = process.communicate(timeout=60)
        assert 0 == process.returncode, errors.decode()
    found = Counter((r["process"], r["number"]) for r in records(tmp_path))

    assert len(list(tmp_path.glob("metrics.log.*"))) > 4
    assert 8_000 == len(found)
    assert {1} == set(found.values())


def test_what_a_killed_process_leaves(tmp_path: Path) -> None:
    """SIGKILL: all but the last moments is there, and no line is torn but the last."""
    program = """
    guard = tg.init_telemetry(tg.TelemetryConfig(service="s", telemetry_dir=directory))
    print("up", flush=True)
    number = 0
    while True:
        Job(number=number, thread=time.monotonic_ns() // 1_000_000).emit()
        number += 1
        if number % 20 == 0:
            time.sleep(0.002)
    """
    process = subprocess.Popen(
        [sys.executable, "-c", HEAD + textwrap.dedent(program), str(tmp_path)],
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    process.stdout.readline()
    time.sleep(1.5)
    killed_ms = time.monotonic_ns() // 1_000_000
    os.kill(process.pid, signal.SIGKILL)
    process.wait(10)
    process.stdout.close()
    lines = b"".join(p.read_bytes() for p in sorted(tmp_path.glob("metrics.log.*"))).split(b"\n")
    found = [json.loads(line) for line in lines[:-1]]

    assert list(range(len(found))) == [record["number"] for record in found]
    assert killed_ms - found[-1]["thread"] < 1_000


def test_sigterm_with_a_handler_loses_nothing(tmp_path: Path) -> None:
    """The framework's handler ends the `with` block; every record is there [SK-5]."""
    program = """
    class Stop(Exception): pass
    def handler(*_): raise Stop
    signal.signal(signal.SIGTERM, handler)
    number = 0
    try:
        with tg.init_telemetry(tg.TelemetryConfig(service="s", telemetry_dir=directory)):
            print("up", flush=True)
            while True:
                Job(number=number).emit()
                number += 1
                time.sleep(0.0001)
    except Stop:
        print(number)
    """
    process = subprocess.Popen(
        [sys.executable, "-c", HEAD + textwrap.dedent(program), str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    process.stdout.readline()
    time.sleep(0.5)
    process.terminate()
    output, _ = process.communicate(timeout=20)
    found = records(tmp_path)

    # The handler may strike between the emission and the counting of the last one.
    assert int(output) in (len(found), len(found) - 1)
    assert list(range(len(found))) == [record["number"] for record in found]
