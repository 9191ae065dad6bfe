"""One recording: everything that runs between `start()` and `close()`, built and ended in order."""

from __future__ import annotations

import atexit
import contextlib
import logging
import sys
import sysconfig
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tachograph._base.clock import clock
from tachograph._base.forks import tell_in_children
from tachograph._version import __version__
from tachograph.recorder.batches import Batches
from tachograph.recorder.config import RecorderConfig
from tachograph.recorder.core import core, is_native
from tachograph.recorder.dial9 import Dial9
from tachograph.recorder.drain import Drain
from tachograph.recorder.events import buffer
from tachograph.recorder.facts import find_facts
from tachograph.recorder.home import Home
from tachograph.recorder.hooks import Hooks
from tachograph.recorder.names import Names
from tachograph.recorder.pipeline import Pipeline
from tachograph.recorder.recover import recover_all
from tachograph.recorder.segments import Segments

__all__ = ["Recorder"]

_logger = logging.getLogger("tachograph")
_names = Names()
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


class Recorder:
    """What `start()` returns: keeps the recording going until it is closed.

    One that is disabled answers every call, and does nothing.
    """

    def __init__(self) -> None:
        self._closed = True
        self._closing = False
        self._config: RecorderConfig | None = None
        self._last: dict[str, Any] = {"enabled": False}

    def open(
        self, config: RecorderConfig, *, on_turn: Callable[[dict[str, Any]], None] | None
    ) -> None:
        """Begin to record.

        Raises:
            OSError: The directory cannot be made or written; nothing was started.
        """
        self._config = config
        self._on_turn = on_turn
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
        self._recovered = recover_all(config.directory, self._home.path)
        _names.open(self._home.names)
        self._pipeline = Pipeline(Dial9() if config.profile == "dial9" else None)
        self._batches = Batches(config, self._metadata, _names)
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
            on_turn=None if self._on_turn is None else self._tell,
        )
        core.rings(str(self._home.path), config.ring_events)
        self._closed = False
        hooks().install()
        self.enable()
        self._drain.start()

    def _end(self, config: RecorderConfig) -> None:
        """Let go of everything; rings lie in memory from now on."""
        core.enable(False)
        buffer.clear()
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

    def enable(self) -> None:
        """Record from now on."""
        if not self._closed:
            buffer.is_open = True
            core.enable(bool(hooks().installed))

    def pause(self) -> None:
        """Record nothing until `enable`; what was recorded is still written."""
        if not self._closed:
            core.enable(False)
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
            "lanes": len(core.lanes()),
            **self._drain.counts(),
            "own_events_dropped": buffer.dropped,
            "names_unwritten": _names.unwritten,
            **core.lane_counts(),
            **core.name_counts(),
            **core.table_sizes(),
            **asdict(self._drain.statistics),
            **asdict(self._segments.statistics),
            **asdict(self._pipeline.statistics),
            "segments_recovered": self._recovered,
        }

    @property
    def problems(self) -> Mapping[str, str]:
        """What cannot be recorded here, by part, with the reason."""
        return hooks().problems

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
            f"runtime.{config.loop_name}": ",".join(str(lane.number) for lane in core.lanes()),
        }
        for part, reason in hooks().problems.items():
            found[f"tachograph.problem.{part}"] = reason
        return {**found, **config.metadata}

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
        self.pause()
        hooks().rest()
        deadline = clock.monotonic_ns() + int(timeout * 1e9)
        atexit.unregister(self.close)
        drained = self._drain.close(timeout)
        left_s = max(0.0, (deadline - clock.monotonic_ns()) / 1e9)
        in_time = self._pipeline.close(left_s) and drained
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
        _names.close()
        return False

    def forget_parent(self) -> None:
        """In a forked child: record nothing, touch nothing of the parent's."""
        if not self._closed:
            self._closed = True
            atexit.unregister(self.close)
            core.forget_parent()
            buffer.clear()
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
