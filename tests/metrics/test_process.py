"""The process as the operating system shows it; the files are the test's."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest

from tachograph.metrics.process import ProcessMetrics, ProcessProbe

linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

MEMINFO = """MemTotal: 1000 kB
MemFree: 100 kB
MemAvailable: 400 kB
SwapTotal: 50 kB
SwapFree: 20 kB
HugePages_Total: 0
"""


class Machine:
    """Directories that look like /proc and the control groups."""

    def __init__(self, root: Path) -> None:
        self.proc = root / "proc"
        self.cgroup = root / "cgroup"
        self.now = 0.0
        self.write("proc/self/statm", "500 200 10 1 0 100 0")
        self.write("proc/self/stat", f"7 (a) b) S {' '.join(['0'] * 16)} 9 0 1000 0")
        self.write("proc/uptime", "3600.50 7000.00")
        self.write("proc/self/io", "rchar: 1\nread_bytes: 100\nwrite_bytes: 1000\n")
        self.write("proc/stat", "cpu 10 0 10 80 0 0 0 0 0 0\ncpu0 10 0 10 80\n")
        self.write("proc/meminfo", MEMINFO)
        self.write("proc/self/cgroup", "1:name=systemd:/x\n0::/app\n")
        self.write("cgroup/app/memory.max", "4096\n")
        self.write("cgroup/app/memory.current", "1024\n")
        self.write("cgroup/app/cpu.stat", "usage_usec 5\nthrottled_usec 1000\n")
        for name in "abcd":
            self.write(f"proc/self/fd/{name}", "")

    def write(self, path: str, text: str) -> None:
        file = self.proc.parent / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def probe(self) -> ProcessProbe:
        return ProcessProbe(self.proc, self.cgroup, lambda: self.now)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """A machine of files."""
    return Machine(tmp_path)


@linux
def test_what_is_now_is_read(machine: Machine) -> None:
    """Sizes in bytes, whatever the file counts in; a name in brackets confuses nothing."""
    page = os.sysconf("SC_PAGE_SIZE")
    tick = os.sysconf("SC_CLK_TCK")
    found = machine.probe().sample()
    expected = {
        "process_memory": 200 * page,
        "process_virtual_memory": 500 * page,
        "process_open_files": 3,  # less the one that looks
        "process_threads": 9,
        "process_run_time": round(3600.5 - 1000 / tick, 2),
        "uptime": 3600.5,
        "total_memory": 1_024_000,
        "used_memory": 614_400,
        "available_memory": 409_600,
        "free_memory": 102_400,
        "total_swap": 51_200,
        "used_swap": 30_720,
        "free_swap": 20_480,
        "cgroup_memory_limit": 4_096,
        "cgroup_memory_used": 1_024,
        "process_disk_total_read_bytes": 100,
        "process_disk_total_written_bytes": 1_000,
    }

    assert expected == {name: found[name] for name in expected}


@linux
def test_what_counts_up_is_given_since_the_last_sample(machine: Machine) -> None:
    """The first sample is compared with the start of the probe."""
    probe = machine.probe()
    machine.write("proc/self/io", "read_bytes: 400\nwrite_bytes: 1500\n")
    machine.write("proc/stat", "cpu 20 0 20 140 0 0 0 0 0 0\n")
    machine.write("cgroup/app/cpu.stat", "throttled_usec 3500\n")
    machine.now = 10.0
    first = probe.sample()
    machine.now = 20.0
    second = probe.sample()
    names = ("process_disk_read_bytes", "process_disk_written_bytes", "cgroup_throttled_ms")

    assert [300, 500, 2.5] == [first[name] for name in names]
    assert [0, 0, 0] == [second[name] for name in names]
    assert 25.0 == first["cpu_usage"]
    assert "cpu_usage" not in second  # no tick has passed


def test_cpu_usage_is_of_one_core(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """User and system time by the elapsed time; several threads make more than 100."""
    times: list[float] = [1.0, 1.0]
    monkeypatch.setattr(os, "times", lambda: os.times_result((times[0], times[1], 0.0, 0.0, 0.0)))
    probe = machine.probe()
    times[:] = [15.0, 6.0]
    machine.now = 10.0
    found = probe.sample()

    assert (190.0, 21_000.0) == (found["process_cpu_usage"], found["process_cpu_time"])


def test_without_proc_the_rest_is_there(tmp_path: Path) -> None:
    """Another platform: what cannot be read is absent, never 0."""
    found = ProcessProbe(tmp_path / "none", tmp_path / "none").sample()
    unknown = {"process_memory", "process_threads", "cpu_usage", "total_memory", "uptime"}

    assert set() == unknown & found.keys()
    assert found["process_cpu_time"] > 0


@pytest.mark.parametrize(
    ("path", "text", "absent"),
    [
        ("cgroup/app/memory.max", "max\n", "cgroup_memory_limit"),
        ("proc/self/cgroup", "9:memory:/old\n", "cgroup_memory_used"),
        ("cgroup/app/cpu.stat", "usage_usec 5\n", "cgroup_throttled_ms"),
        ("proc/meminfo", "MemTotal: 1000 kB\n", "used_memory"),
        ("proc/self/io", "", "process_disk_read_bytes"),
    ],
)
def test_what_a_file_does_not_say_is_absent(
    machine: Machine, path: str, text: str, absent: str
) -> None:
    """No limit, an old kernel, a hidden file: each costs only its own fields."""
    machine.write(path, text)
    found = machine.probe().sample()

    assert absent not in found
    assert "load_average_one" in found


@linux
def test_a_container_finds_its_group_at_the_root(machine: Machine) -> None:
    """Its path is the host's, which is not there inside."""
    machine.write("proc/self/cgroup", "0::/docker/abc\n")
    machine.write("cgroup/memory.max", "8192")
    machine.write("cgroup/memory.current", "77")
    machine.write("cgroup/cpu.stat", "throttled_usec 0")
    found = machine.probe().sample()

    assert (8192, 77, 0) == (
        found["cgroup_memory_limit"],
        found["cgroup_memory_used"],
        found["cgroup_throttled_ms"],
    )


def test_everything_that_is_read_has_its_field(machine: Machine) -> None:
    """And every field is filled by something: none is declared for nothing."""
    probe = machine.probe()
    machine.write("proc/stat", "cpu 20 0 20 140 0 0 0 0 0 0\n")
    machine.now = 1.0
    found: dict[str, Any] = probe.sample()
    declared = {field.attribute for field in ProcessMetrics.__wide_event__.fields}

    assert set() == found.keys() - declared
    if sys.platform == "linux":
        assert declared == found.keys()
