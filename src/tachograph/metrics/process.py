"""`ProcessMetrics`: what the operating system says of this process, its host and its container.

The standard library and `/proc` only. What the platform does not tell is left out.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

from tachograph._base.cgroup import Cgroup, table
from tachograph.metrics.fields import metric
from tachograph.metrics.latest import Board
from tachograph.metrics.record import WideEvent
from tachograph.metrics.units import Unit

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

__all__ = ["ProcessMetrics", "ProcessProbe"]


class ProcessMetrics(WideEvent):
    """The process, its host and its container, every thirty seconds."""

    __latest__: ClassVar[Board] = Board()

    process_cpu_usage: float | None = metric(
        None, unit=Unit.PERCENT, doc="Of one core, since the last sample; may exceed 100."
    )
    process_cpu_time: float | None = metric(
        None, unit=Unit.MILLISECONDS, doc="User and system, since the process began."
    )
    process_memory: int | None = metric(None, unit=Unit.BYTES, doc="Resident.")
    process_virtual_memory: int | None = metric(None, unit=Unit.BYTES)
    process_memory_max: int | None = metric(None, unit=Unit.BYTES, doc="Most ever resident.")
    process_open_files: int | None = metric(None, unit=Unit.COUNT)
    process_open_files_limit: int | None = metric(None, unit=Unit.COUNT, doc="The soft one.")
    process_threads: int | None = metric(None, unit=Unit.COUNT, doc="Native ones too.")
    process_run_time: float | None = metric(None, unit=Unit.SECONDS, doc="Since it began.")
    process_voluntary_switches: int | None = metric(
        None, unit=Unit.COUNT, doc="Times it waited, since the last sample."
    )
    process_involuntary_switches: int | None = metric(
        None, unit=Unit.COUNT, doc="Times it was put off its core, since the last sample."
    )
    process_minor_faults: int | None = metric(None, unit=Unit.COUNT, doc="Since the last sample.")
    process_major_faults: int | None = metric(
        None, unit=Unit.COUNT, doc="Pages read from disk, since the last sample."
    )
    process_disk_read_bytes: int | None = metric(
        None, unit=Unit.BYTES, doc="Since the last sample."
    )
    process_disk_written_bytes: int | None = metric(
        None, unit=Unit.BYTES, doc="Since the last sample."
    )
    process_disk_total_read_bytes: int | None = metric(None, unit=Unit.BYTES)
    process_disk_total_written_bytes: int | None = metric(None, unit=Unit.BYTES)
    cpu_usage: float | None = metric(
        None, unit=Unit.PERCENT, doc="Of all cores of the host, since the last sample; at most 100."
    )
    load_average_one: float | None = metric(None, doc="Of the host, over one minute.")
    load_average_five: float | None = None
    load_average_fifteen: float | None = None
    uptime: float | None = metric(None, unit=Unit.SECONDS, doc="Of the host.")
    total_memory: int | None = metric(None, unit=Unit.BYTES, doc="Of the host.")
    used_memory: int | None = metric(None, unit=Unit.BYTES, doc="Total less available.")
    available_memory: int | None = metric(None, unit=Unit.BYTES, doc="Without swapping.")
    free_memory: int | None = metric(None, unit=Unit.BYTES, doc="Not even used as a cache.")
    total_swap: int | None = metric(None, unit=Unit.BYTES)
    used_swap: int | None = metric(None, unit=Unit.BYTES)
    free_swap: int | None = metric(None, unit=Unit.BYTES)
    cgroup_memory_limit: int | None = metric(
        None, unit=Unit.BYTES, doc="Of the container; absent without one."
    )
    cgroup_memory_used: int | None = metric(None, unit=Unit.BYTES, doc="Of the container.")
    cgroup_throttled_ms: float | None = metric(
        None, unit=Unit.MILLISECONDS, doc="Held back by its CPU limit, since the last sample."
    )


class ProcessProbe:
    """Reads the sources; what counts up is given as the difference to the last sample.

    Args:
        proc: Where the process file system is.
        cgroup: Where the control groups are.
        now: Monotonic seconds; replaced by tests.
    """

    def __init__(
        self,
        proc: Path = Path("/proc"),
        cgroup: Path = Path("/sys/fs/cgroup"),
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._proc = proc
        self._group = Cgroup(proc, cgroup)
        self._now = now
        self._last: dict[str, float] = {}
        self.sample()  # what to compare the first one with

    def sample(self) -> dict[str, Any]:
        """Return what can be read now."""
        found: dict[str, Any] = {}
        for source in (
            self._cpu,
            self._memory,
            self._files,
            self._threads,
            self._usage,
            self._disk,
            self._host_cpu,
            self._load,
            self._uptime,
            self._host_memory,
            self._cgroup,
        ):
            # Not on this platform, or hidden in this container: its fields are absent.
            with contextlib.suppress(Exception):
                source(found)
        return found

    def _since(self, key: str, value: float) -> float | None:
        """Return how much *value* grew since the last sample, None for the first."""
        before = self._last.get(key)
        self._last[key] = value
        return None if before is None or value < before else value - before

    def _cpu(self, found: dict[str, Any]) -> None:
        times = os.times()
        used = times.user + times.system
        elapsed = self._since("now", self._now())
        grown = self._since("cpu", used)
        found["process_cpu_time"] = round(used * 1e3, 3)
        if elapsed and grown is not None:
            found["process_cpu_usage"] = round(100 * grown / elapsed, 2)

    def _memory(self, found: dict[str, Any]) -> None:
        page = os.sysconf("SC_PAGE_SIZE")
        virtual, resident = (self._proc / "self/statm").read_text().split()[:2]
        found["process_memory"] = int(resident) * page
        found["process_virtual_memory"] = int(virtual) * page

    def _files(self, found: dict[str, Any]) -> None:
        if resource is not None:
            soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
            if soft != resource.RLIM_INFINITY:
                found["process_open_files_limit"] = soft
        # Less the one that looks.
        found["process_open_files"] = sum(1 for _ in (self._proc / "self/fd").iterdir()) - 1

    def _threads(self, found: dict[str, Any]) -> None:
        # After the name, which may hold anything, blanks and brackets included.
        fields = (self._proc / "self/stat").read_text().rpartition(")")[2].split()
        found["process_threads"] = int(fields[17])
        uptime = float((self._proc / "uptime").read_text().split()[0])
        began = int(fields[19]) / os.sysconf("SC_CLK_TCK")
        found["process_run_time"] = round(max(0.0, uptime - began), 2)

    def _usage(self, found: dict[str, Any]) -> None:
        if resource is None:
            return
        usage = resource.getrusage(resource.RUSAGE_SELF)
        unit = 1 if sys.platform == "darwin" else 1_024
        found["process_memory_max"] = usage.ru_maxrss * unit
        for name, value in (
            ("voluntary_switches", usage.ru_nvcsw),
            ("involuntary_switches", usage.ru_nivcsw),
            ("minor_faults", usage.ru_minflt),
            ("major_faults", usage.ru_majflt),
        ):
            found[f"process_{name}"] = _whole(self._since(name, value))

    def _disk(self, found: dict[str, Any]) -> None:
        counts = table((self._proc / "self/io").read_text())
        for ours, theirs in (("read", "read_bytes"), ("written", "write_bytes")):
            total = counts[theirs]
            found[f"process_disk_total_{ours}_bytes"] = total
            found[f"process_disk_{ours}_bytes"] = _whole(self._since(ours, total))

    def _host_cpu(self, found: dict[str, Any]) -> None:
        first = (self._proc / "stat").read_text().partition("\n")[0].split()
        # user nice system idle iowait irq softirq steal; guest time is in user already.
        ticks = [int(tick) for tick in first[1:9]]
        total = self._since("host", sum(ticks))
        idle = self._since("host idle", ticks[3] + ticks[4])
        if total and idle is not None:
            found["cpu_usage"] = round(100 * max(0.0, total - idle) / total, 2)

    def _load(self, found: dict[str, Any]) -> None:
        averages = os.getloadavg()
        for name, value in zip(("one", "five", "fifteen"), averages, strict=True):
            found[f"load_average_{name}"] = round(value, 2)

    def _uptime(self, found: dict[str, Any]) -> None:
        found["uptime"] = float((self._proc / "uptime").read_text().split()[0])

    def _host_memory(self, found: dict[str, Any]) -> None:
        amounts = table((self._proc / "meminfo").read_text())  # in KiB, whatever it says
        total, available = amounts["MemTotal"] * 1_024, amounts["MemAvailable"] * 1_024
        found["total_memory"] = total
        found["available_memory"] = available
        found["used_memory"] = max(0, total - available)
        found["free_memory"] = amounts["MemFree"] * 1_024
        swap, free = amounts["SwapTotal"] * 1_024, amounts["SwapFree"] * 1_024
        found["total_swap"] = swap
        found["free_swap"] = free
        found["used_swap"] = max(0, swap - free)

    def _cgroup(self, found: dict[str, Any]) -> None:
        facts = self._group.read()
        if facts is None:
            return
        for name, value in (("limit", facts.memory_limit), ("used", facts.memory_used)):
            if value is not None:
                found[f"cgroup_memory_{name}"] = value
        if facts.throttled_ns is not None:
            grown = self._since("throttled", facts.throttled_ns)
            if grown is not None:
                found["cgroup_throttled_ms"] = round(grown / 1e6, 3)


def _whole(value: float | None) -> int | None:
    return None if value is None else int(value)
