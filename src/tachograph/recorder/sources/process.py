"""What the process uses of the machine, and what its container allows it.

All of it is read on the drain's thread: the CPU's use at every interval, the gauges of Python and
of the container once a second at most. What is dear to read, such as the number of open files
where the system does not say it, is read so rarely that it takes a hundredth of the time.
"""

from __future__ import annotations

import contextlib
import gc
import os
import sys
import threading
from typing import Any

from tachograph._base.cgroup import Cgroup
from tachograph._base.clock import clock
from tachograph.recorder.core import core
from tachograph.recorder.events import EventKind, buffer
from tachograph.recorder.sources.config import SourcesConfig
from tachograph.recorder.sources.executors import waiting_jobs
from tachograph.recorder.sources.turns import next_due
from tachograph.trace.events import EVENTS

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

__all__ = ["Process"]

USAGE = EventKind.builtin(EVENTS["ProcessResourceUsageEvent"])
GAUGES = EventKind.builtin(EVENTS["tacho:PythonGauges"])
CGROUP = EventKind.builtin(EVENTS["tacho:Cgroup"])

_SLOWLY_NS = 10**9
_SHARE = 100  # of the time, at most one part is for what is dear
_STATM = "/proc/self/statm"
_FILES = "/proc/self/fd"


class Process:
    """Reads the process's own numbers.

    Args:
        interval_ms: How often.
        cgroup: The container's.
    """

    name = "process"

    def __init__(self, interval_ms: int, cgroup: Cgroup | None = None) -> None:
        self._interval_ns = interval_ms * 1_000_000
        self._cgroup = cgroup or Cgroup()
        self._due_ns = self._slow_due_ns = self._files_due_ns = 0
        self._statm: int | None = None
        self._open_files: int | None = None
        self._turns = self._spent_ns = 0

    @classmethod
    def wanted(cls, config: SourcesConfig) -> Process | None:
        """Return it if it is on."""
        return cls(config.process_usage_interval_ms) if config.process_usage else None

    def start(self) -> None:
        """Look for what can be read here.

        Raises:
            RuntimeError: The system tells a process nothing of its use.
        """
        if resource is None:
            msg = "this system has no getrusage; set TACHO_PROCESS_RESOURCE_USAGE_ENABLED=false"
            raise RuntimeError(msg)
        with contextlib.suppress(OSError):
            self._statm = os.open(_STATM, os.O_RDONLY | os.O_CLOEXEC)

    def stop(self) -> None:
        """Emit the last numbers."""
        self._due_ns = self._slow_due_ns = 0
        self.turn(clock.monotonic_ns())
        if self._statm is not None:
            os.close(self._statm)
            self._statm = None

    def metadata(self) -> dict[str, str]:
        """Return how many processors there are for the process."""
        try:
            count: int | None = len(os.sched_getaffinity(0))
        except AttributeError:  # not Linux
            count = os.cpu_count()
        return {} if count is None else {"process.available_parallelism": str(count)}

    def counts(self) -> dict[str, Any]:
        """Return how often it looked, and how long that took."""
        return {"process_turns": self._turns, "process_spent_ns": self._spent_ns}

    def turn(self, now_ns: int) -> None:
        """Emit what there is, if it is time."""
        if now_ns < self._due_ns:
            return
        self._due_ns = next_due(now_ns, self._interval_ns)
        began = clock.monotonic_ns()
        self._usage(now_ns)
        if now_ns >= self._slow_due_ns:
            self._slow_due_ns = next_due(now_ns, _SLOWLY_NS)
            self._gauges(now_ns)
            self._of_container(now_ns)
        self._turns += 1
        self._spent_ns += clock.monotonic_ns() - began

    def _usage(self, now_ns: int) -> None:
        assert resource is not None  # else it has not started
        used = resource.getrusage(resource.RUSAGE_SELF)
        unit = 1 if sys.platform == "darwin" else 1_024
        values = (
            round(used.ru_utime * 1e9),
            round(used.ru_stime * 1e9),
            used.ru_maxrss * unit,
            used.ru_minflt,
            used.ru_majflt,
            used.ru_inblock,
            used.ru_oublock,
            used.ru_nvcsw,
            used.ru_nivcsw,
        )
        buffer.add(USAGE, values, now_ns)

    def _gauges(self, now_ns: int) -> None:
        resident = 0
        if self._statm is not None:
            resident = int(os.pread(self._statm, 128, 0).split()[1]) * os.sysconf("SC_PAGE_SIZE")
        values = (
            *gc.get_count(),
            # As it is: asking for it takes a lock that a thread about to start may hold.
            len(threading._active),  # type: ignore[attr-defined]  # noqa: SLF001
            core.table_sizes()["tasks_known"],
            sum(lane.ready for lane in core.lanes()),
            waiting_jobs(),
            resident,
            self._files(now_ns),
            _load(),
        )
        buffer.add(GAUGES, values, now_ns)

    def _files(self, now_ns: int) -> int | None:
        """Return how many files are open, as of when that was last counted."""
        if now_ns >= self._files_due_ns:
            began = clock.monotonic_ns()
            self._open_files = open_files()
            self._files_due_ns = now_ns + (clock.monotonic_ns() - began) * _SHARE
        return self._open_files

    def _of_container(self, now_ns: int) -> None:
        try:
            facts = self._cgroup.read()
        except (OSError, ValueError):  # there is none, or it is hidden
            return
        if facts is not None:
            buffer.add(CGROUP, tuple(facts), now_ns)


def open_files() -> int | None:
    """Return how many files are open; None where that is not told."""
    try:
        # Since Linux 6.2 the directory's size says it; before, one is that of who looks.
        return os.stat(_FILES).st_size or len(os.listdir(_FILES)) - 1  # noqa: PTH116, PTH208
    except OSError:
        return None


def _load() -> float | None:
    try:
        return os.getloadavg()[0]
    except (AttributeError, OSError):
        return None
