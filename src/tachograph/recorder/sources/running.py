"""The sources of one recording: started, given their turns, ended; each contained."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

from tachograph._base.ratelimit import RateLimit
from tachograph.recorder.sources.accept_queues import AcceptQueues
from tachograph.recorder.sources.awaits import Awaits
from tachograph.recorder.sources.calls import Calls
from tachograph.recorder.sources.collector import Collector
from tachograph.recorder.sources.config import SourcesConfig
from tachograph.recorder.sources.executors import Executors
from tachograph.recorder.sources.gil import Gil
from tachograph.recorder.sources.heap import Heap
from tachograph.recorder.sources.hygiene import Hygiene
from tachograph.recorder.sources.process import Process
from tachograph.recorder.sources.samples import Samples
from tachograph.recorder.sources.unavailable import Unavailable

__all__ = ["Source", "Sources", "Unavailable"]

_Result = TypeVar("_Result")
_logger = logging.getLogger("tachograph")


class Source(Protocol):
    """What a source does. All of it runs with the GIL."""

    name: str
    """In `problems` and statistics."""

    def start(self) -> None:
        """Begin; raises whatever keeps it from working, `Unavailable` where that is known."""

    def turn(self, now_ns: int) -> None:
        """Emit what has come together; on the drain's thread, some ten times a second."""

    def stop(self) -> None:
        """End, and undo what `start` did."""

    def metadata(self) -> dict[str, str]:
        """Return what readers have to know of it."""
        ...

    def counts(self) -> dict[str, Any]:
        """Return its counters."""
        ...


_KINDS: tuple[Callable[[SourcesConfig], Source | None], ...] = (
    Awaits.wanted,
    Samples.wanted,
    Calls.wanted,
    Collector.wanted,
    Gil.wanted,
    Executors.wanted,
    Hygiene.wanted,
    Process.wanted,
    AcceptQueues.wanted,
    Heap.wanted,
)
"""Each returns a source if the configuration asks for it."""


class Sources:
    """Every source of a recording.

    Args:
        config: Which are wanted.
        kinds: What makes them.
    """

    def __init__(
        self,
        config: SourcesConfig,
        kinds: Sequence[Callable[[SourcesConfig], Source | None]] = _KINDS,
    ) -> None:
        self.problems: dict[str, str] = {}
        """Sources that do not work here, each with the reason."""
        self.failures = 0
        """Turns that raised."""
        self._config = config
        self._kinds = kinds
        self._running: list[Source] = []
        self._ended: dict[str, Any] = {}
        self._told: dict[str, str] = {}  # of those that have ended: a segment may begin after that
        self._says = RateLimit(60)
        # One at a time: the drain's thread has turns, so has whoever asks for a dump.
        self._lock = threading.RLock()

    def start(self) -> None:
        """Begin with each source that can work. Never raises."""
        for kind in self._kinds:
            name = getattr(kind, "__qualname__", repr(kind)).partition(".")[0].lower()
            try:
                source = kind(self._config)
                if source is None:
                    continue
                name = source.name
                source.start()
            except Exception as error:  # noqa: BLE001 -- one source costs itself only
                self.problems[name] = str(error) or repr(error)
            else:
                self._running.append(source)

    @property
    def states(self) -> dict[str, str]:
        """Each source that is wanted, with why it does not work here; empty where it does."""
        return {source.name: "" for source in self._running} | self.problems

    def turn(self, now_ns: int) -> None:
        """Let each source emit what it has. Never raises."""
        with self._lock:
            for source in self._running:
                try:
                    source.turn(now_ns)
                except Exception as error:  # noqa: BLE001 -- as in `_contained`
                    self._failed(error, source.name)

    def stop(self) -> None:
        """End each. Never raises."""
        with self._lock:
            # The last segment may begin after this: what is in it is theirs all the same.
            self._told = self.metadata()
            for source in reversed(self._running):
                self._contained(source.stop, source.name)
            self._ended = self.counts()
            self._running = []

    def forget(self) -> None:
        """In a forked child: they are the parent's. What hooks of theirs lead to has to be cut."""
        for source in self._running:
            cut = getattr(source, "forget", None)
            if cut is not None:
                self._contained(cut, source.name)
        self._running = []

    def metadata(self) -> dict[str, str]:
        """Return what readers have to know of them. Never raises."""
        found = dict(self._told)
        for source in self._running:
            found.update(self._contained(source.metadata, source.name) or {})
        for name, reason in self.problems.items():
            found[f"tachograph.problem.{name}"] = reason
        return found

    def counts(self) -> dict[str, Any]:
        """Return the counters of all. Never raises."""
        found: dict[str, Any] = {**self._ended, "source_failures": self.failures}
        for source in self._running:
            found.update(self._contained(source.counts, source.name) or {})
        return found

    def _contained(self, call: Callable[[], _Result], name: str) -> _Result | None:
        try:
            return call()
        except Exception as error:  # noqa: BLE001 -- the recorder outlives each of its sources
            self._failed(error, name)
            return None

    def _failed(self, error: Exception, name: str) -> None:
        self.failures += 1
        if self._says.allow():
            _logger.warning("The recorder's source %s failed: %r", name, error)
