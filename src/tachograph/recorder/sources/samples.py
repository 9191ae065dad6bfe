"""Stacks: of threads that run, of steps that do not, of steps that are open for too long.

The native watcher takes them without the GIL; here its numbers become addresses and events. A
blocked stack gets one more frame, what its innermost line calls, as the source has it.
"""

from __future__ import annotations

import struct
import threading
from typing import Any

from tachograph.recorder.core import core, is_native
from tachograph.recorder.events import EventKind, buffer
from tachograph.recorder.sources.config import SourcesConfig
from tachograph.recorder.sources.syscalls import syscall_name
from tachograph.recorder.stacks import Stacks
from tachograph.trace.events import EVENTS

__all__ = ["Samples"]

SAMPLE = EventKind.builtin(EVENTS["CpuSampleEvent"])
STALL = EventKind.builtin(EVENTS["tacho:BlockedStep"])
HOLDER = EventKind.builtin(EVENTS["tacho:GilHolder"])

_LAYOUT = struct.Struct("=QQQQIiHBBB3x")
_RUNNING, _BLOCKED, _STALL, _HOLDER = range(4)
_UNSURE = 1


class Samples:
    """The native watcher, as the configuration wants it.

    Args:
        config: How often, and what.
    """

    name = "samples"

    def __init__(self, config: SourcesConfig) -> None:
        self._config = config
        self._stacks = Stacks()
        self._names: dict[int, str] = {}
        self._last: dict[str, int] = {}

    @classmethod
    def wanted(cls, config: SourcesConfig) -> Samples | None:
        """Return it if anything of it is on."""
        on = config.cpu_profile or config.blocked_profile or config.watchdog
        return cls(config) if on else None

    def start(self) -> None:
        """Begin to look.

        Raises:
            OSError: The system does not let a process read its own memory, or make a thread.
            RuntimeError: The core is not native.
        """
        if not is_native:
            msg = "stacks are taken by the native core, which was not built here"
            raise RuntimeError(msg)
        config = self._config
        hertz = config.cpu_sample_hz if config.cpu_profile or config.blocked_profile else 0
        threshold_ns = config.watchdog_threshold_ms * 1_000_000 if config.watchdog else 0
        core.watch(float(hertz), threshold_ns)

    def stop(self) -> None:
        """Emit what is left, and look no more."""
        self.turn(0)
        self._last = core.watch_counts()
        core.unwatch()

    def metadata(self) -> dict[str, str]:
        """Return what turns counts of samples into time."""
        config = self._config
        return {
            "cpu.profile.enabled": str(config.cpu_profile).lower(),
            "cpu.profile.frequency_hz": str(config.cpu_sample_hz),
            "cpu.profile.backend": "process_vm_readv",
            "cpu.profile.event_source": "timer",
            "sched.profile.enabled": str(config.blocked_profile).lower(),
            "watchdog.threshold_ms": str(config.watchdog_threshold_ms if config.watchdog else 0),
        }

    def counts(self) -> dict[str, Any]:
        """Return how many there were, and what became of the others."""
        return self._last or core.watch_counts()

    def turn(self, now_ns: int) -> None:
        """Make events of what was taken since the last turn."""
        frames, stacks, raw = core.samples()
        self._stacks.learn(frames, stacks)
        for sample in _LAYOUT.iter_unpack(raw):
            self._emit(*sample)

    def _emit(
        self,
        time_ns: int,
        tid: int,
        task: int,
        since_ns: int,
        stack: int,
        call: int,
        sequence: int,
        kind: int,
        flags: int,
        lane: int,
    ) -> None:
        blocked = kind in (_BLOCKED, _STALL) and call >= 0
        frames = self._stacks.addresses(stack, with_call=blocked or kind == _STALL)
        if kind == _STALL:
            elapsed = time_ns - since_ns
            values = (lane, tid, task, since_ns, elapsed, sequence, frames)
            buffer.add(STALL, values, time_ns)
        elif kind == _HOLDER:
            buffer.add(HOLDER, (call, tid, task, time_ns - since_ns, frames), time_ns)
        elif self._config.cpu_profile if kind == _RUNNING else self._config.blocked_profile:
            of_task = None if flags & _UNSURE or not task else task
            where = syscall_name(call) if call >= 0 else None
            name = self._thread_name(tid)
            buffer.add(SAMPLE, (lane, tid, kind, name, frames, None, of_task, where), time_ns)

    def _thread_name(self, tid: int) -> str | None:
        found = self._names.get(tid)
        if found is None:
            if len(self._names) > 1024:
                self._names.clear()
            # As a copy made in one go: threads come and go.
            threads = list(threading._active.values())  # type: ignore[attr-defined]  # noqa: SLF001
            self._names |= {t.native_id: t.name for t in threads if t.native_id is not None}
            found = self._names.setdefault(tid, "")
        return found or None
