"""One recording: everything that runs between `start()` and `close()`, built and ended in order."""

from __future__ import annotations

import atexit
import contextlib
import logging
import sys
import sysconfig
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tachograph._base.clock import clock
from tachograph._base.forks import ForkLock, tell_in_children
from tachograph._version import __version__
from tachograph.recorder import outliving
from tachograph.recorder.batches import Batches, new_living, runtime_of
from tachograph.recorder.config import RecorderConfig
from tachograph.recorder.core import core, is_native
from tachograph.recorder.dial9 import dial9_pieces
from tachograph.recorder.drain import Drain
from tachograph.recorder.estate import Estate
from tachograph.recorder.events import buffer
from tachograph.recorder.facts import find_facts
from tachograph.recorder.home import Home
from tachograph.recorder.hooks import Hooks, loop_support
from tachograph.recorder.measure import Measure
from tachograph.recorder.names import names as _names
from tachograph.recorder.pipeline import Pipeline
from tachograph.recorder.recover import recover_all
from tachograph.recorder.request_log import request_log
from tachograph.recorder.segments import Segments
from tachograph.recorder.self_metrics import SelfMetrics, Teller
from tachograph.recorder.smoke import SmokeCheck, SmokeTest, checks_of, say, wait_until
from tachograph.recorder.sources import Sources
from tachograph.recorder.sources.awaits import note_waiting

__all__ = ["Recorder"]

_logger = logging.getLogger("tachograph")
_living = new_living()  # a task may outlive a recording, and be in the next
_hooks: Hooks | None = None  # the classes are changed once a process


def hooks() -> Hooks:
    """Return the hooks of this process; the first call tries out what asyncio is made of."""
    global _hooks  # noqa: PLW0603 -- one per process, like the classes they stand in
    if _hooks is None:
        _hooks = Hooks(find_facts(_names.note, _plumbing()))
    return _hooks


def _plumbing() -> tuple[str, ...]:
    """Return the beginnings of paths whose frames make tasks for others."""
    standard = Path(sysconfig.get_path("stdlib"))
    third = Path(sysconfig.get_path("purelib"))
    own = Path(__file__).parent.parent
    return tuple(f"{path}/" for path in (standard / "asyncio", third / "anyio", own))


def _runtimes(loop_name: str) -> dict[str, str]:
    """Return the lanes of loops and those of threads that run their jobs."""
    found: dict[str, list[str]] = {loop_name: []}
    for lane in core.lanes():
        found.setdefault(runtime_of(lane.number, loop_name), []).append(str(lane.number))
    return {f"runtime.{name}": ",".join(numbers) for name, numbers in found.items()}


class Recorder:
    """What `start()` returns: keeps the recording going until it is closed.

    One that is disabled answers every call, and does nothing.
    """

    def __init__(self) -> None:
        self._closed = True
        self._closing = False
        self._config: RecorderConfig | None = None
        self._named = -1, ""
        self._last: dict[str, Any] = {"enabled": False}
        self._tested: tuple[int, SmokeTest | None] = (0, None)
        self._tested_as = (True, False)
        self._testing = ForkLock()

    def open(
        self,
        config: RecorderConfig,
        *,
        on_turn: Callable[[dict[str, Any]], None] | None = None,
        on_metrics: Callable[[SelfMetrics], None] | None = None,
    ) -> None:
        """Begin to record.

        Raises:
            OSError: The directory cannot be made or written; nothing was started.
        """
        self._config = config
        self._on_turn = on_turn
        self._teller = Teller(on_metrics)
        self._home = Home(config.directory)
        try:
            self._begin(config)
        except BaseException:
            self._closed = True
            self._end(config)
            raise
        atexit.register(self.close)
        tell_in_children(self)

    def _begin(self, config: RecorderConfig) -> None:
        self._look_after_the_dead(config)
        _names.open(self._home.names)
        idle_mean_ns = config.sources.task_dump_idle_threshold_ms * 1_000_000
        pieces = partial(dial9_pieces, idle_mean_ns=idle_mean_ns)
        self._pipeline = Pipeline(
            pieces if config.profile == "dial9" else None,
            self._teller,
            self._estate.keep if config.recover_dead else None,
        )
        self._sources = Sources(config.sources)
        self._batches = Batches(config, self._metadata, _names, _living, self._losses)
        self._segments = Segments(
            self._home.path,
            self._batches.head,
            self._batches.tail,
            max_total_bytes=config.max_total_bytes,
            max_file_bytes=config.file_bytes,
            rotation_s=config.rotation_s,
            on_sealed=self._pipeline.put,
        )
        self._drain = Drain(
            self._segments,
            self._batches,
            interval_s=config.drain_interval_s,
            ring_events=config.ring_events,
            ring_of=lambda lane, tid: self._home.path / f"ring.{lane}-{tid}",
            on_look=self._sources.turn,
            on_seal=self._note_waiting if config.sources.task_dump and is_native else None,
            on_turn=None if self._on_turn is None else self._tell,
            measure=Measure(self._segments, self._teller, lambda: self._pipeline.statistics.done),
        )
        core.rings(str(self._home.path), config.ring_events)
        core.options(config.track_tasks, config.sched_wait_every)
        self._closed = False
        if config.instrument_asyncio:
            hooks().install()
        self.enable()
        self._sources.start()
        try:
            self._drain.start()
        except RuntimeError:  # no more threads here, or none in an exit handler
            self._sources.stop()
            raise
        self._pipeline.start()
        if config.smoke_test_at_start:
            self._test_at_start()

    def _look_after_the_dead(self, config: RecorderConfig) -> None:
        """Recover what dead processes left, then keep that within the budget. Never raises."""
        sealed: list[Path] = []
        if config.recover_dead:
            sealed = recover_all(config.directory, self._home.path)
        self._recovered = len(sealed)
        self._estate = Estate(
            *(config.directory, self._home.path, config.service, config.max_total_bytes),
            frozenset(sealed),
        )
        if config.recover_dead:
            self._estate.keep()

    def _end(self, config: RecorderConfig) -> None:
        """Let go of everything; rings lie in memory from now on."""
        outliving.enable(False)
        buffer.clear()
        request_log.clear()
        with contextlib.suppress(ValueError):  # its path was too long for the core to begin with
            core.rings("", config.ring_events)
        _names.close()
        self._home.close()

    # ------------------------------------------------------------------ switches

    @property
    def is_enabled(self) -> bool:
        """Whether events are being recorded."""
        return not self._closed and buffer.is_open

    @property
    def config(self) -> RecorderConfig | None:
        """What it was started with; None for a disabled one."""
        return self._config

    @property
    def directory(self) -> Path | None:
        """Where this process's segments lie; None for a disabled one."""
        return None if self._closed else self._home.path

    @property
    def boot_id(self) -> str | None:
        """The name of this process's directory; None for a disabled one."""
        return None if self._closed else self._home.boot_id

    @property
    def segment_index(self) -> int | None:
        """The number of the segment that is being written; None for a disabled one."""
        return None if self._closed else self._segments.index

    @property
    def segment_name(self) -> str | None:
        """Process and number of the segment that is being written: `boot id/number`."""
        if self._closed:
            return None
        index = self._segments.index
        if index != self._named[0]:
            self._named = index, f"{self._home.boot_id}/{index}"
        return self._named[1]

    def enable(self) -> None:
        """Record from now on."""
        if not self._closed:
            buffer.is_open = True
            assert self._config is not None
            outliving.enable(self._config.instrument_asyncio and hooks().installed)

    def pause(self) -> None:
        """Record nothing until `enable`; what was recorded is still written."""
        if not self._closed:
            outliving.enable(False)
            buffer.is_open = False

    # ------------------------------------------------------------------ what it gives

    def flush(self) -> None:
        """Put everything recorded so far on file, in the active segment."""
        if not self._closed:
            self._drain.flush()

    def dump(self, reason: str = "") -> Path | None:
        """Put everything recorded so far into a sealed segment; return its file, None if disabled.

        Args:
            reason: Told in the segment, for whoever reads it.
        """
        if self._closed:
            return None
        if reason:
            self._batches.note("dump.reason", reason)
        return self._drain.rotate()

    def statistics(self) -> dict[str, Any]:
        """Return every count: of the rings, the drain, the segments and the pipeline.

        After the end what they were then; of a recorder that never ran, only that it is disabled.
        """
        if self._closed:
            return dict(self._last)
        return {
            "enabled": self.is_enabled,
            "native": is_native,
            "instruments_asyncio": self._config is not None and self._config.instrument_asyncio,
            "lanes": len(core.lanes()),
            **self._drain.counts(),
            "own_events_dropped": buffer.dropped + request_log.dropped,
            "names_unwritten": _names.unwritten,
            "tasks_living": len(_living),
            "tasks_untold": _living.untold + self._batches.untold,
            **core.lane_counts(),
            **core.name_counts(),
            **core.table_sizes(),
            **asdict(self._drain.statistics),
            **asdict(self._segments.statistics),
            **asdict(self._pipeline.statistics),
            "metrics_dropped": self._teller.dropped,
            "metrics_failures": self._teller.failures,
            "segments_recovered": self._recovered,
            "dead_segments_evicted": self._estate.segments_evicted,
            "dead_bytes_evicted": self._estate.bytes_evicted,
            **self._sources.counts(),
        }

    def smoke_test(self, *, deadline_s: float = 2.0, max_age_s: float = 10.0) -> SmokeTest:
        """Return whether it records, and what is missing; never raises.

        A probe event is put in and looked for on file. That takes a look of the recorder, a tenth
        of a second as a rule; what was found is good for a while, and then costs nothing.

        Args:
            deadline_s: Seconds in which the probe has to be on file.
            max_age_s: Seconds for which what was found before is good enough.
        """
        with self._testing:  # one probe at a time; others take what it found
            now = clock.monotonic_ns()
            tested_ns, test = self._tested
            state = (self._closed, self.is_enabled)
            if test is not None and now - tested_ns < max_age_s * 1e9 and state == self._tested_as:
                return test
            test = SmokeTest(tuple(self._checks(deadline_s)))
            self._tested, self._tested_as = (now, test), state
            return test

    def _checks(self, deadline_s: float) -> Iterator[SmokeCheck]:
        if self._closed:
            yield SmokeCheck("recording", "failed", "no recorder runs in this process")
            return
        if not self.is_enabled:
            yield SmokeCheck("recording", "disabled", "it is paused")
        else:
            yield self._recording(deadline_s)
        yield from checks_of(self.statistics(), self.problems)

    def _recording(self, deadline_s: float) -> SmokeCheck:
        try:
            probe = self._drain.probe()
        except RuntimeError as error:
            return SmokeCheck("recording", "failed", str(error))
        if not wait_until(lambda: probe.state != "waits", deadline_s):
            detail = f"a probe event was not on file within {deadline_s:g} s"
            return SmokeCheck("recording", "failed", detail)
        if probe.state == "lost":
            return SmokeCheck("recording", "failed", "a probe event could not be written")
        return SmokeCheck("recording", "ok", f"into {self._home.path}")

    def _test_at_start(self) -> None:
        """Say what a smoke test finds, on a thread of its own: a start does not wait for it."""

        def test() -> None:
            try:
                say(self.smoke_test())
            except Exception as error:  # noqa: BLE001 -- a test never breaks what it tests
                _logger.warning("The recorder's smoke test could not be made: %r", error)

        with contextlib.suppress(RuntimeError):  # no more threads here
            threading.Thread(target=test, name="tachograph-smoke-test", daemon=True).start()

    @property
    def problems(self) -> Mapping[str, str]:
        """What cannot be recorded here, by part, with the reason."""
        return {**hooks().problems, **({} if self._closed else self._sources.problems)}

    @property
    def sources(self) -> Mapping[str, str]:
        """Each source that is wanted, with why it does not work here; empty where it does."""
        return {} if self._closed else self._sources.states

    def _note_waiting(self) -> None:
        note_waiting([lane.loop for lane in core.lanes()], _names.stacks)

    def _losses(self) -> dict[str, int]:
        counts = self._drain.counts()
        return {
            "events_dropped": counts["events_dropped"],
            "hook_errors": counts["hook_errors"],
            "events_lost": self._drain.statistics.events_lost,
            "own_events_dropped": buffer.dropped + request_log.dropped,
            "own_events_lost": self._drain.statistics.own_events_lost,
            "batches_lost": self._segments.statistics.batches_lost,
            "tasks_untold": _living.untold + self._batches.untold,
        }

    def _tell(self) -> None:
        if self._on_turn is not None:
            self._on_turn(self.statistics())

    def _metadata(self) -> dict[str, str]:
        config = self._config
        assert config is not None
        found = {
            "service": config.service,
            "boot_id": self._home.boot_id,
            "tachograph.version": __version__,
            "tachograph.profile": "compact",  # a segment that is rewritten says so itself
            "tachograph.core": "native" if is_native else "python",
            "python.version": sys.version.split()[0],
            "python.implementation": sys.implementation.name,
            "python.gil": "on" if getattr(sys, "_is_gil_enabled", lambda: True)() else "off",
            "gil.switch_interval_ns": str(round(sys.getswitchinterval() * 1e9)),
            "sched.wait_sample_rate": str(config.sched_wait_every),
            "tachograph.asyncio_instrumentation": str(config.instrument_asyncio).lower(),
            "tachograph.task_tracking": str(config.track_tasks).lower(),
            **_runtimes(config.loop_name),
        }
        for part, reason in hooks().problems.items():
            found[f"tachograph.problem.{part}"] = reason
        for loop, reason in loop_support().items():
            if reason:
                found[f"tachograph.unseen.{loop}"] = reason
        return {**found, **self._sources.metadata(), **config.metadata}

    # ------------------------------------------------------------------ the end

    def close(self, timeout: float = 5.0) -> bool:
        """Stop, empty the rings, seal the segment, compress what waits. Once; then a no-op.

        Args:
            timeout: Seconds for all of it; what is not compressed then stays raw.

        Returns:
            Whether everything was in time.
        """
        if self._closed or self._closing:
            return True
        self._closing = True
        self._sources.stop()
        self.pause()
        hooks().rest()
        deadline = clock.monotonic_ns() + int(timeout * 1e9)
        atexit.unregister(self.close)
        drained = self._drain.close(timeout)
        left_s = max(0.0, (deadline - clock.monotonic_ns()) / 1e9)
        in_time = self._pipeline.close(left_s) and drained
        self._teller.tell()  # of the last segments; the drain's thread has ended
        self._last = {**self.statistics(), "enabled": False}
        self._closed = True
        assert self._config is not None
        if in_time:
            self._end(self._config)
            return True
        # Somebody still writes into the directory: it stays as a killed process leaves it, locked
        # until this one ends, and the next recorder recovers it.
        _logger.warning(
            "The recorder did not end in %g s; the next one finds in %s what is not on file yet.",
            timeout,
            self._home.path,
        )
        core.rings("", self._config.ring_events)
        buffer.clear()
        request_log.clear()
        _names.close()
        return False

    def forget_parent(self) -> None:
        """In a forked child: record nothing, touch nothing of the parent's."""
        if not self._closed:
            self._closed = True
            atexit.unregister(self.close)
            core.forget_parent()
            for _ in range(2):  # what is missing twice is forgotten
                _living.keep(b"")
            self._sources.forget()
            buffer.clear()
            request_log.clear()
            _names.close()
            self._home.forget()
            self._segments.forget()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
