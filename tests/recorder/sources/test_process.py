"""What the process uses: equal to what the system says, at the interval, cheaply."""

from __future__ import annotations

import asyncio
import gc
import os
import resource
import time
from pathlib import Path
from typing import Any

import pytest
from tests.recorder.sources.recordings import record, told

from tachograph._base.cgroup import Cgroup
from tachograph.recorder.events import EventBuffer, Recorded
from tachograph.recorder.sources import SourcesConfig
from tachograph.recorder.sources import process as module
from tachograph.recorder.sources.process import Process

MS = 1_000_000


def values(event: Recorded) -> dict[str, Any]:
    """Return an event's values by the names of its fields."""
    assert event.kind.schema is not None
    names = [field.name for field in event.kind.schema.fields]
    return dict(zip(names, event.values, strict=True))


def taken(waiting: EventBuffer, name: str) -> list[Recorded]:
    """Return the events of that name that wait."""
    return [event for event in waiting.take(10_000) if event.kind.name == name]


def test_use_grows_as_the_system_says(waiting: EventBuffer) -> None:
    """CPU time, memory, faults and switches are those of getrusage, in ns and bytes."""
    source = Process(100)
    before = resource.getrusage(resource.RUSAGE_SELF)
    source.turn(1)
    until = time.process_time() + 0.05
    while time.process_time() < until:
        pass
    source.turn(200 * MS)
    after = resource.getrusage(resource.RUSAGE_SELF)
    first, second = map(values, taken(waiting, "ProcessResourceUsageEvent"))

    assert before.ru_utime * 1e9 - 1 <= first["user_cpu_ns"] <= second["user_cpu_ns"]
    assert second["user_cpu_ns"] <= after.ru_utime * 1e9 + 1
    spent = [each["user_cpu_ns"] + each["system_cpu_ns"] for each in (first, second)]
    assert 40 * MS <= spent[1] - spent[0] < 500 * MS
    assert before.ru_maxrss * 1024 <= first["max_rss_bytes"] <= after.ru_maxrss * 1024
    assert before.ru_minflt <= first["minor_faults"] <= after.ru_minflt
    assert before.ru_nivcsw <= second["involuntary_context_switches"] <= after.ru_nivcsw


def test_gauges(waiting: EventBuffer, tmp_path: Path) -> None:
    """The collector's counts, threads, memory, open files."""
    source = Process(100)
    source.start()
    try:
        source.turn(1)
        held = [(tmp_path / str(n)).open("w") for n in range(7)]
        ballast = b"x" * (32 << 20)
        source.turn(10**12)
    finally:
        source.stop()
    first, second, _ = map(values, taken(waiting, "tacho:PythonGauges"))
    for file in held:
        file.close()

    assert len(ballast) * 0.9 < second["rss_bytes"] - first["rss_bytes"]
    assert 7 == second["open_files"] - first["open_files"]
    assert len(list(Path("/proc/self/fd").iterdir())) - 1 == module.open_files()
    assert first["threads"] >= 1
    assert 0 <= first["gc_gen2"] <= gc.get_count()[2] + 1
    assert first["load_1m"] >= 0


def test_loops_and_executors_are_gauged(tmp_path: Path) -> None:
    """How many tasks live, handles are ready, jobs wait."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        tasks = [asyncio.create_task(asyncio.sleep(0.5)) for _ in range(50)]
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(1) as pool:
            jobs = [loop.run_in_executor(pool, time.sleep, 0.1) for _ in range(4)]
            await asyncio.sleep(0)
            for _ in range(30):
                loop.call_soon(int)
            time.sleep(0.25)
            await asyncio.gather(*jobs, *tasks)

    gauges = told(record(tmp_path, main, process_usage=True, executor=True), "tacho:PythonGauges")

    assert 51 <= max(event["tasks"] for event in gauges) <= 60
    assert 30 <= max(event["ready_queue"] for event in gauges) <= 90
    assert 1 <= max(event["executor_queue"] for event in gauges) <= 3
    assert 2 <= len(gauges)


def test_the_container(waiting: EventBuffer, tmp_path: Path) -> None:
    """Its limits and how it was throttled, once a second; nothing where there is none."""
    (tmp_path / "self").mkdir()
    (tmp_path / "self/cgroup").write_text("0::/\n")
    (tmp_path / "memory.max").write_text("2048\n")
    (tmp_path / "cpu.max").write_text("50000 100000\n")
    source = Process(100, Cgroup(tmp_path, tmp_path))
    for turn in range(21):
        source.turn(1 + turn * 100 * MS)
    found = [values(event) for event in taken(waiting, "tacho:Cgroup")]

    assert 2 <= len(found) <= 3
    assert (2, 2048, 0.5, None) == tuple(
        found[0][name] for name in ("version", "memory_limit", "cpu_limit", "throttled_ns")
    )
    source = Process(100, Cgroup(tmp_path / "nowhere", tmp_path))
    source.turn(1)
    assert [] == taken(waiting, "tacho:Cgroup")


@pytest.mark.parametrize(("interval_ms", "expected"), [(100, 20), (500, 4), (10, 20)])
def test_the_interval_is_kept(waiting: EventBuffer, interval_ms: int, expected: int) -> None:
    """Turns that come too soon emit nothing; the recorder has some ten a second."""
    source = Process(interval_ms)
    for turn in range(20):
        source.turn(1 + turn * 100 * MS)
        source.turn(1 + turn * 100 * MS + 1)

    assert expected == len(taken(waiting, "ProcessResourceUsageEvent"))


def test_what_is_dear_is_rare(waiting: EventBuffer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counting files takes a hundredth of the time at most, however long it takes."""
    calls: list[int] = []

    def slow() -> int:
        calls.append(1)
        time.sleep(0.01)
        return 2

    source = Process(100)
    monkeypatch.setattr(module, "open_files", slow)
    for turn in range(15):
        source.turn(1 + turn * 100 * MS)

    assert 1 <= len(calls) <= 2
    assert {2} == {values(event)["open_files"] for event in taken(waiting, "tacho:PythonGauges")}


@pytest.mark.parametrize(
    ("variable", "setting", "text", "value"),
    [
        ("TACHO_EXECUTOR_ENABLED", "executor", "no", False),
        ("TACHO_TASK_HYGIENE_ENABLED", "task_hygiene", "off", False),
        ("TACHO_PROCESS_RESOURCE_USAGE_ENABLED", "process_usage", "0", False),
        (
            "TACHO_PROCESS_RESOURCE_USAGE_SAMPLE_INTERVAL_MS",
            "process_usage_interval_ms",
            "250",
            250,
        ),
        ("TACHO_SOCKET_ACCEPT_QUEUES_ENABLED", "accept_queues", "yes", True),
        (
            "TACHO_SOCKET_ACCEPT_QUEUES_SAMPLE_INTERVAL_MS",
            "accept_queues_interval_ms",
            "1000",
            1_000,
        ),
    ],
)
def test_variables(variable: str, setting: str, text: str, value: object) -> None:
    """Each setting has its variable; what makes no sense is as if it was not there."""
    default = getattr(SourcesConfig(), setting)

    assert default != value == getattr(SourcesConfig.from_env({variable: text}), setting)
    assert default == getattr(SourcesConfig.from_env({variable: "nonsense"}), setting)


def test_without_getrusage(monkeypatch: pytest.MonkeyPatch) -> None:
    """It says what to do, and stays off."""
    monkeypatch.setattr(module, "resource", None)
    with pytest.raises(RuntimeError, match="TACHO_PROCESS_RESOURCE_USAGE_ENABLED=false"):
        Process(100).start()
    assert Process.wanted(SourcesConfig.none()) is None


def test_its_cost_is_counted(tmp_path: Path) -> None:
    """So that it can be looked at in production."""

    async def main() -> None:
        await asyncio.sleep(0.3)

    trace = record(tmp_path, main, process_usage=True)

    assert 2 <= len(told(trace, "ProcessResourceUsageEvent")) <= 6
    assert str(len(os.sched_getaffinity(0))) == trace.metadata["process.available_parallelism"]
