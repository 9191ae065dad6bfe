"""The runtime bridge: what event loops and the process do, as records from a thread of its own.

The thread needs nothing of a loop, so a blocked one is reported on time. Invariant: what the bridge
touches (selectors, the collector's callbacks) is as it was before when the bridge is closed.
"""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from pathlib import Path
from typing import Any, ClassVar

from tachograph._base.forks import ForkLock, tell_in_children
from tachograph._base.gil import CHANGES_ARE_WHOLE
from tachograph._base.ratelimit import warn_once
from tachograph.metrics.bridge import LoopWatch, RuntimeConfig, runs
from tachograph.metrics.fields import metric
from tachograph.metrics.gc_probe import GcProbe
from tachograph.metrics.latest import Board
from tachograph.metrics.loop_probe import LoopProbe
from tachograph.metrics.own_records import emit_kept, restyled
from tachograph.metrics.process import ProcessMetrics, ProcessProbe
from tachograph.metrics.record import WideEvent
from tachograph.metrics.units import Unit

__all__ = ["RuntimeBridge", "RuntimeMetrics"]

_TICK_S = 0.25
_JOIN_S = 1.0


class RuntimeMetrics(WideEvent):
    """One event loop, every thirty seconds. What this loop does not show is absent."""

    __latest__: ClassVar[Board] = Board(by_thread=True)

    loop_name: str
    loops_count: int = metric(0, unit=Unit.COUNT, doc="Loops that are watched in this process.")
    elapsed_ms: float | None = metric(
        None, unit=Unit.MILLISECONDS, doc="Since the last sample; what is counted was in this time."
    )
    busy_ms: float | None = metric(None, unit=Unit.MILLISECONDS, doc="Not asleep in the selector.")
    busy_ratio: float | None = metric(None, doc="Of the elapsed time, 0 to 1.")
    loop_lag_ms: float | None = metric(
        None, unit=Unit.MILLISECONDS, doc="How late a timer of every 100 ms ran, on average."
    )
    loop_lag_max_ms: float | None = metric(
        None, unit=Unit.MILLISECONDS, doc="How late at most, a block that still lasts included."
    )
    ready_depth: int | None = metric(
        None, unit=Unit.COUNT, doc="Callbacks that wait to run, at the time of the sample."
    )
    ready_depth_max: int | None = metric(
        None, unit=Unit.COUNT, doc="Most of them at the begin of an iteration."
    )
    steps_count: int | None = metric(
        None, unit=Unit.COUNT, doc="Callbacks run, task steps among them; cancelled ones count too."
    )
    step_mean_us: float | None = metric(
        None, unit=Unit.MICROSECONDS, doc="Busy time by steps, the loop's own work included."
    )
    tasks_alive: int | None = metric(
        None, unit=Unit.COUNT, doc="Absent while the loop is blocked, and above `max_tasks`."
    )
    park_count: int | None = metric(None, unit=Unit.COUNT, doc="Times the loop went to sleep.")
    empty_wakeups: int | None = metric(
        None, unit=Unit.COUNT, doc="Times it woke up and there was nothing to do."
    )
    io_events: int | None = metric(
        None, unit=Unit.COUNT, doc="Ready descriptors that the selector gave."
    )
    timers_scheduled: int | None = metric(
        None, unit=Unit.COUNT, doc="Waiting now, cancelled ones that were not cleared included."
    )
    late_timers: int | None = metric(
        None, unit=Unit.COUNT, doc="Timers that ran more than 10 ms after their time."
    )
    executor_queue_depth: int | None = metric(
        None, unit=Unit.COUNT, doc="Jobs that wait for a thread of the loop's default executor."
    )
    executor_threads: int | None = metric(None, unit=Unit.COUNT)
    executor_idle: int | None = metric(None, unit=Unit.COUNT, doc="Threads that wait for a job.")
    anyio_threads_in_use: int | None = metric(
        None, unit=Unit.COUNT, doc="Of anyio's limit, by which Starlette runs plain functions."
    )
    anyio_threads_waiting: int | None = metric(
        None, unit=Unit.COUNT, doc="Tasks that wait for one of anyio's threads."
    )
    gc_collections_gen0: int | None = metric(
        None, unit=Unit.COUNT, doc="Garbage collections; the whole process's, like all below."
    )
    gc_collections_gen1: int | None = metric(None, unit=Unit.COUNT)
    gc_collections_gen2: int | None = metric(None, unit=Unit.COUNT)
    gc_collected: int | None = metric(None, unit=Unit.COUNT, doc="Objects freed by them.")
    gc_pause_ms: float | None = metric(None, unit=Unit.MILLISECONDS, doc="All of them together.")
    gc_pause_max_ms: float | None = metric(None, unit=Unit.MILLISECONDS, doc="The longest one.")
    gil_delay_ms: float | None = metric(
        None,
        unit=Unit.MILLISECONDS,
        doc="How late a sleeping thread came to run, on average: the GIL and the scheduler.",
    )
    gil_delay_max_ms: float | None = metric(None, unit=Unit.MILLISECONDS)
    threads_count: int | None = metric(None, unit=Unit.COUNT, doc="Python's own threads.")
    native_threads: int | None = metric(None, unit=Unit.COUNT, doc="All threads.")


class RuntimeBridge:
    """Samples every watched loop and the process until it is closed.

    Args:
        config: How often, and by which names.
        threaded: Sample on a thread of its own; without it `tick` is called by whoever tests it.
    """

    def __init__(self, config: RuntimeConfig, *, threaded: bool = True) -> None:
        self._config = config
        self._threaded = threaded
        self._runtime_class = restyled(RuntimeMetrics, config.rename)
        self._process_class = restyled(ProcessMetrics, config.rename)
        self._tick_s = min(_TICK_S, config.interval / 2)
        self._gc = GcProbe()
        self.samples = self.failures = self.missed = 0
        self._begin()
        runs(self)
        tell_in_children(self)
        self._start()

    def _begin(self) -> None:
        self._lock = ForkLock()
        self._probes: dict[Any, LoopProbe] = {}
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._closed = False
        self._gc.install()
        self._process = ProcessProbe()
        self._delays = 0
        self._delay_s = self._delay_max_s = 0.0
        self._next_s = time.monotonic() + self._config.interval
        self._sampled = False

    def _start(self) -> None:
        if self._threaded and self._thread is None:
            self._thread = threading.Thread(
                target=self._run, name="tachograph-runtime", daemon=True
            )
            self._thread.start()

    def forget_parent(self) -> None:
        """Begin anew in a forked child: its parent's loops do not run here.

        The thread starts with the first loop that is watched here.
        """
        if self._closed:
            return
        for probe in self._probes.values():
            probe.remove()
        self._gc.remove()
        self._gc = GcProbe()
        self.samples = self.failures = self.missed = 0
        RuntimeMetrics.__latest__.clear()
        ProcessMetrics.__latest__.clear()
        self._begin()

    # ------------------------------------------------------------------ loops

    def watch(self, loop: Any = None, name: str | None = None) -> LoopWatch:
        """Watch *loop*, or the one that runs on this thread; one that is watched already goes on.

        Raises:
            RuntimeError: No loop was given and none runs here, or the loop is closed.
        """
        if loop is None:
            loop = _running_loop()
        with self._lock:
            if self._closed:
                return LoopWatch(None, loop)
            if loop in self._probes:
                return LoopWatch(self, loop)
            if loop.is_closed():
                msg = "watch_loop: expected an open event loop, got a closed one."
                raise RuntimeError(msg)
            probe = LoopProbe(loop, self._name(loop, name), max_tasks=self._config.max_tasks)
            probe.install()
            self._probes[loop] = probe
            self._start()
        return LoopWatch(self, loop)

    def _name(self, loop: Any, name: str | None) -> str:
        if name is None:
            thread = threading.current_thread()
            here = asyncio._get_running_loop() is loop  # noqa: SLF001 -- does not raise
            main = thread is threading.main_thread()
            name = ("main" if main else thread.name) if here else "loop"
        taken = {probe.name for probe in self._probes.values()}
        number, free = 1, name
        while free in taken:
            number += 1
            free = f"{name}-{number}"
        return free

    def unwatch(self, loop: Any) -> None:
        """Emit the last record of *loop*, and with the last loop one of the process."""
        with self._lock:
            probe = self._probes.get(loop)
            if probe is None:
                return
            self._guarded("loop", self._sample_loop, probe, self._shared())
            self._drop(probe)
            if not self._probes:
                self._guarded("process", self._sample_process)

    def _drop(self, probe: LoopProbe) -> None:
        self._probes.pop(probe.loop, None)
        probe.remove()
        thread = probe.thread
        if thread is not None and all(p.thread != thread for p in self._probes.values()):
            RuntimeMetrics.__latest__.clear(thread)

    # ------------------------------------------------------------------ sampling

    def _run(self) -> None:
        stop = self._stop
        while True:
            pause_s = min(self._tick_s, max(0.0, self._next_s - time.monotonic()))
            began_s = time.monotonic()
            if stop.wait(pause_s):
                return
            now_s = time.monotonic()
            self.tick(now_s, delay_s=now_s - began_s - pause_s)

    def tick(self, now_s: float, *, delay_s: float | None = None) -> None:
        """Do what is due at *now_s*, monotonic seconds. Never raises.

        Args:
            now_s: The time.
            delay_s: How much later than planned this was called.
        """
        if delay_s is not None:
            self._delays += 1
            self._delay_s += max(0.0, delay_s)
            self._delay_max_s = max(self._delay_max_s, delay_s)
        with self._lock:
            if self._closed:
                return
            for probe in self._probes.values():
                probe.note_pause()
            if now_s < self._next_s:
                if now_s + 2 * self._tick_s > self._next_s:
                    for probe in self._probes.values():
                        probe.ask()
                return
            periods = int((now_s - self._next_s) / self._config.interval)
            self.missed += periods
            self._next_s += (periods + 1) * self._config.interval
            self._sample()

    def _sample(self) -> None:
        shared = self._shared()
        for probe in list(self._probes.values()):
            self._guarded("loop", self._sample_loop, probe, shared)
            if probe.loop.is_closed():
                self._drop(probe)
        self._guarded("process", self._sample_process)
        self.samples += 1
        self._sampled = True

    def _guarded(self, what: str, sample: Any, *arguments: Any) -> None:
        try:
            sample(*arguments)
        except Exception as error:  # noqa: BLE001 -- telemetry never raises into the application
            self.failures += 1
            warn_once(f"runtime {what}", f"A sample of the {what} failed: {error!r}")

    def _shared(self) -> dict[str, Any]:
        """Return what all loops have in common."""
        found = self._gc.sample()
        found["loops_count"] = len(self._probes)
        found["threads_count"] = threading.active_count()
        native = _native_threads()
        if native is not None:
            found["native_threads"] = native
        if CHANGES_ARE_WHOLE and self._delays:
            found["gil_delay_ms"] = round(self._delay_s / self._delays * 1e3, 3)
            found["gil_delay_max_ms"] = round(self._delay_max_s * 1e3, 3)
        self._delays = 0
        self._delay_s = self._delay_max_s = 0.0
        return found

    def _sample_loop(self, probe: LoopProbe, shared: dict[str, Any]) -> None:
        found = {**shared, **probe.sample()}
        if probe.thread is not None:
            RuntimeMetrics.__latest__.put(found, probe.thread)
        emit_kept(self._runtime_class, found)

    def _sample_process(self) -> None:
        found = {k: v for k, v in self._process.sample().items() if v is not None}
        ProcessMetrics.__latest__.put(found)
        emit_kept(self._process_class, found)

    # ------------------------------------------------------------------ the end

    def close(self) -> None:
        """Emit the last records of the loops still watched, and undo everything. Once.

        A process that ends before its first sample gets one.
        """
        self._stop.set()
        with self._lock:
            if self._closed:
                return
            if self._probes or not self._sampled:
                self._sample()
            for probe in list(self._probes.values()):
                self._drop(probe)
            self._closed = True
            self._gc.remove()
            runs(None)
            RuntimeMetrics.__latest__.clear()
            ProcessMetrics.__latest__.clear()
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(_JOIN_S)

    def statistics(self) -> dict[str, int]:
        """Return how many samples there were, which failed, and how many came too late to be."""
        return {
            "samples": self.samples,
            "failures": self.failures,
            "missed": self.missed,
            "loops": len(self._probes),
        }


def _running_loop() -> Any:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        msg = (
            "watch_loop: expected to be called where an event loop runs, or to be given one. "
            "Call it inside the coroutine that `asyncio.run` runs."
        )
        raise RuntimeError(msg) from None


def _native_threads() -> int | None:
    if sys.platform != "linux":
        return None
    try:
        text = Path("/proc/self/stat").read_text(encoding="ascii", errors="replace")
        return int(text.rpartition(")")[2].split()[17])
    except (OSError, ValueError, IndexError):
        return None
