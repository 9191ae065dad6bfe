"""Stacks that the watcher takes: of programs of which it is known what they do."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tachograph import recorder
from tachograph.recorder.core import core, is_native
from tachograph.recorder.sources.config import SourcesConfig
from tachograph.trace import Trace
from tachograph.trace.files import read_file

pytestmark = pytest.mark.skipif(not is_native, reason="the twin takes no stacks, and says so")

STALLS_ONLY = replace(SourcesConfig.none(), watchdog=True)
SAMPLES_ONLY = replace(SourcesConfig.none(), cpu_profile=True, blocked_profile=True)


def record(
    path: Path, program: Callable[[], Any], sources: SourcesConfig
) -> tuple[Trace, dict[str, Any]]:
    """Run a program under the recorder; return what it wrote."""
    config = recorder.RecorderConfig(directory=path, sources=sources)
    with recorder.start(config) as recording:
        asyncio.run(program())
        assert not recording.problems
    (segment,) = path.glob("*/*.bin*")
    return read_file(segment), recording.statistics()


def names(trace: Trace, frames: tuple[int, ...]) -> list[str]:
    """Return the functions of a stack, innermost first."""
    return [trace.symbols[frame][0].name.rpartition("::")[2] for frame in frames]


def stalls(trace: Trace) -> list[Any]:
    """Return what the watchdog saw."""
    return [event for event in trace.events if event.name == "tacho:BlockedStep"]


def f(rounds: int) -> None:
    """Take time."""
    for _ in range(rounds):
        pass


def g(rounds: int) -> None:
    """Take time, elsewhere."""
    for _ in range(rounds):
        pass


async def mixture(seconds: float, part: int = 7_000) -> None:
    """Take time in f and g, in known parts."""
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        f(part)
        g(10_000 - part)
        await asyncio.sleep(0)


@pytest.mark.slow
def test_a_known_mixture(tmp_path: Path) -> None:
    """70 % in f and 30 % in g: within four standard errors of as many samples, 6 points at most."""
    trace, counts = record(tmp_path, lambda: mixture(8), SAMPLES_ONLY)
    found = Counter(names(trace, s.frames)[0] for s in trace.samples if s.source == 0 and s.frames)
    total = found["f"] + found["g"]

    assert total > 300
    assert abs(found["f"] / total - 0.7) < max(0.06, 4 * (0.21 / total) ** 0.5)
    assert 0 == counts["samples_dropped"]


def test_blocked_is_not_running(tmp_path: Path) -> None:
    """A step in a system call is source 1, with the call's name and what its line calls."""

    async def main() -> None:
        time.sleep(0.3)

    trace, _ = record(tmp_path, main, SAMPLES_ONLY)
    blocked = [s for s in trace.samples if s.source == 1 and s.task]
    events = [e for e in trace.events if e.name == "CpuSampleEvent" and e["source"] == 1]

    assert len(blocked) > 10
    assert {("time.sleep", "test_blocked_is_not_running.main")} == {
        tuple(names(trace, s.frames)[:2]) for s in blocked
    }
    assert {"clock_nanosleep"} == {e["blocked_in"] for e in events}
    assert {trace.steps.task[0]} == {s.task for s in blocked}


def test_threads_without_a_lane(tmp_path: Path) -> None:
    """A thread that runs is sampled with its name, on no lane; one that waits is not."""
    done = threading.Event()

    def spin() -> None:
        while not done.is_set():
            f(1000)

    async def main() -> None:
        threads = [
            threading.Thread(target=spin, name="spinner"),
            threading.Thread(target=done.wait, name="sleeper"),
        ]
        for thread in threads:
            thread.start()
        await asyncio.sleep(0.5)
        done.set()

    trace, _ = record(tmp_path, main, SAMPLES_ONLY)
    found = Counter((s.thread_name, s.lane) for s in trace.samples)

    assert found["spinner", 255] > 10
    assert not [name for name, _ in found if name == "sleeper"]


def test_a_stall_has_stacks_while_it_lasts(tmp_path: Path) -> None:
    """At 10, 20, 40 ms and so on of a step of 250 ms, at the right line; none of a short one."""

    async def main() -> None:
        await asyncio.sleep(0)
        time.sleep(0.25)
        await asyncio.sleep(0)

    trace, _ = record(tmp_path, main, STALLS_ONLY)
    found = [e for e in stalls(trace) if "time.sleep" in names(trace, e["callchain"])]
    line = main.__code__.co_firstlineno + 2

    # A look may come late, for which it is the next one's; so there may be fewer than five.
    assert len(found) >= 3
    assert list(range(len(found))) == [e["sequence"] for e in found]
    doubled = [(e["elapsed_ns"] // 10_000_000).bit_length() for e in found]
    assert 0 < doubled[0]
    assert all(a < b for a, b in pairwise(doubled))
    assert {line} == {trace.symbols[e["callchain"][1]][0].line for e in found}
    assert 1 == len({e["step_start_ns"] for e in found})


def test_each_look_at_a_deep_chain_has_all_of_it(tmp_path: Path) -> None:
    """Coroutines' frames lie apart, and are read together where they lay at the look before."""

    async def outer(depth: int) -> None:
        if depth:
            await inner(depth - 1)
            return
        end = time.monotonic() + 0.4
        while time.monotonic() < end:
            pass

    async def inner(depth: int) -> None:
        await outer(depth)

    async def main() -> None:
        for depth in (9, 3, 9):  # the second chain is another one
            await outer(depth)

    trace, _ = record(tmp_path, main, SAMPLES_ONLY)
    chains = []
    for event in trace.events:
        if event.name == "CpuSampleEvent" and event["task_id"] is not None:
            own = [name.rpartition(".")[2] for name in names(trace, event["callchain"])]
            chains.append([name for name in own if name in ("outer", "inner", "main")])
    whole = [*["outer", "inner"] * 9, "outer", "main"]
    short = [*["outer", "inner"] * 3, "outer", "main"]

    assert len(chains) > 30
    assert {True} == {chain in (whole, short) for chain in chains}
    assert min(chains.count(whole), chains.count(short)) > 5


def test_a_stall_in_c_with_the_gil(tmp_path: Path) -> None:
    """The watcher needs no GIL: a call that holds it all along has its stacks, too."""
    numbers = list(range(2_000_000, 0, -1)) + list(range(2_000_000))

    async def main() -> None:
        for _ in range(3):
            sorted(numbers, key=int.__neg__)

    trace, _ = record(tmp_path, main, STALLS_ONLY)
    found = [names(trace, e["callchain"])[:2] for e in stalls(trace)]

    assert ["sorted", "test_a_stall_in_c_with_the_gil.main"] in found


@pytest.mark.slow
def test_every_stall_is_caught(tmp_path: Path) -> None:
    """1,000 of 1,000 steps of twice the threshold have a stack with the planted line.

    Where the machine gives the watcher no processor in time, the step lasts until it has had one:
    of a hundred steps one may need that.
    """
    late = 0

    def stall() -> None:
        nonlocal late
        before, end = core.watch_counts()["samples_taken"], time.monotonic() + 5
        time.sleep(0.02)
        while core.watch_counts()["samples_taken"] == before and time.monotonic() < end:
            late += 1
            time.sleep(0.02)

    async def main() -> None:
        for _ in range(1000):
            stall()
            await asyncio.sleep(0)

    trace, counts = record(tmp_path, main, STALLS_ONLY)
    first = stall.__code__.co_firstlineno
    caught = {
        e["step_start_ns"]
        for e in stalls(trace)
        if {first + 3, first + 4, first + 6}
        & {trace.symbols[frame][0].line for frame in e["callchain"][:2]}
    }

    assert 1000 == len(caught)
    assert late <= 10
    assert 0 == counts["samples_dropped"]


def test_who_holds_the_gil(tmp_path: Path) -> None:
    """While a loop waits for the GIL the stack of whoever has it is told, with the wait so far."""

    def hold() -> None:
        for _ in range(30):
            sum(range(400_000))

    async def main() -> None:
        thread = threading.Thread(target=hold)
        thread.start()
        while thread.is_alive():
            await asyncio.sleep(0.001)

    trace, _ = record(tmp_path, main, SAMPLES_ONLY)
    found = [e for e in trace.events if e.name == "tacho:GilHolder"]

    assert found
    assert {0} == {e["worker_id"] for e in found}
    holders = Counter(names(trace, e["callchain"])[0] for e in found)
    assert holders["test_who_holds_the_gil.hold"] > len(found) / 2


def test_settings_are_told(tmp_path: Path) -> None:
    """What turns counts into time stands in the metadata [events 10]."""
    sources = replace(SAMPLES_ONLY, cpu_sample_hz=50)
    trace, _ = record(tmp_path, lambda: mixture(0.05), sources)

    assert ("true", "50", "process_vm_readv") == (
        trace.metadata["cpu.profile.enabled"],
        trace.metadata["cpu.profile.frequency_hz"],
        trace.metadata["cpu.profile.backend"],
    )


def test_what_the_system_forbids(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without samples the recorder works, and says why there are none (recorder.md row 12)."""

    def refuse(hertz: float, threshold_ns: int) -> None:
        raise OSError("the system forbids process_vm_readv here")

    monkeypatch.setattr(core, "watch", refuse)
    config = recorder.RecorderConfig(directory=tmp_path, sources=SAMPLES_ONLY)
    with recorder.start(config) as recording:
        asyncio.run(mixture(0.01))
        assert "forbids process_vm_readv" in recording.problems["samples"]
        assert "forbids process_vm_readv" in recording.sources["samples"]
    (segment,) = tmp_path.glob("*/*.bin*")

    trace = read_file(segment)
    assert trace.steps
    assert "forbids process_vm_readv" in trace.metadata["tachograph.problem.samples"]


@pytest.mark.slow
def test_deep_and_restless_programs(tmp_path: Path) -> None:
    """Recursion to the limit, generators, code made anew, threads that come and go: no crash."""

    def deep(n: int) -> int:
        return 0 if n == 0 else 1 + deep(n - 1)

    def churn() -> None:
        scope: dict[str, Any] = {}
        for n in range(200):
            exec(f"def made(x):\n    return [y for y in range(x) if y != {n}]", scope)
            scope["made"](50)
            list(zip(range(20), (x for x in range(20)), strict=True))

    async def main() -> None:
        end = time.perf_counter() + 6
        while time.perf_counter() < end:
            deep(900)
            threads = [threading.Thread(target=churn) for _ in range(4)]
            for thread in threads:
                thread.start()
            await asyncio.gather(*(asyncio.sleep(0) for _ in range(50)))
            for thread in threads:
                thread.join()

    sources = replace(SourcesConfig(), cpu_sample_hz=1000, watchdog_threshold_ms=1)
    trace, counts = record(tmp_path, main, sources)

    assert counts["samples_taken"] > 1000
    assert counts["frames_torn"] < counts["samples_taken"] / 4
    assert all(symbol[0].name for symbol in trace.symbols.values())
