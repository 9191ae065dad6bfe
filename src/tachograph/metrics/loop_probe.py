# ruff: noqa: SLF001 -- nothing public tells what a loop does
"""What can be seen of one event loop without slowing it: its selector, a heartbeat, its queues.

The selector's `select` is wrapped on the one object that the loop has, and put back at the end. All
counters are written by the loop's thread and only read by others, who take differences; so there is
no lock, and a blocked loop is seen as well as an idle one. On a loop that hides its internals what
needs them is left out.
"""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from contextvars import Context
from typing import Any

from tachograph._base.ratelimit import warn_once
from tachograph.metrics.executor_probe import executor_facts
from tachograph.metrics.select_probe import SelectCounts, around

__all__ = ["LoopProbe"]

_BEAT_S = 0.1
_MISSING = object()


class LoopProbe:
    """Watches one loop from `install` to `remove`.

    Args:
        loop: An open event loop, on any thread.
        name: What its records are called.
        max_tasks: Tasks are not counted where there were more.
        now: Seconds of the clock that asyncio's timers go by; replaced by tests.
    """

    __slots__ = (
        "_asked",
        "_beats",
        "_beats_told",
        "_before",
        "_counts",
        "_due_s",
        "_ended",
        "_facts",
        "_lag_max_s",
        "_lag_s",
        "_lag_told_s",
        "_max_tasks",
        "_now",
        "_own_select",
        "_paused",
        "_read",
        "_selector",
        "_started_s",
        "_tasks",
        "_timer",
        "loop",
        "name",
        "thread",
    )

    def __init__(
        self,
        loop: Any,
        name: str,
        *,
        max_tasks: int = 2_000,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.loop = loop
        self.name = name
        self.thread: int | None = None
        """The thread that runs the loop, once that is known."""
        self._now = now
        self._max_tasks = max_tasks
        # Written by the loop's thread.
        self._beats = 0
        self._lag_s = self._lag_max_s = 0.0
        self._due_s: float | None = None
        self._facts: dict[str, Any] = {}
        self._tasks = 0
        self._timer: Any = None
        # Written by the sampler.
        self._started_s = now()
        self._beats_told = 0
        self._lag_told_s = 0.0
        self._asked = self._ended = self._paused = False
        self._read: Callable[[float], SelectCounts] | None = None
        self._counts = SelectCounts(0.0, 0, 0, 0, 0, 0, 0, self._started_s)
        self._selector: Any = None
        self._before: Any = None
        self._own_select: Any = None

    # ------------------------------------------------------------------ on and off

    def install(self) -> None:
        """Wrap the selector, if the loop shows it, and begin the heartbeat.

        Raises:
            RuntimeError: The loop is closed.
        """
        # In a context of its own: the caller's would be kept alive, its open record with it.
        self.loop.call_soon_threadsafe(self._begin, context=Context())
        loop = self.loop
        selector = getattr(loop, "_selector", None)
        ready = getattr(loop, "_ready", None)
        hidden = (
            # Timers by another clock cannot be compared with ours.
            getattr(type(loop), "time", None) is not asyncio.BaseEventLoop.time
            or not isinstance(ready, deque)
            or not isinstance(getattr(loop, "_scheduled", None), list)
            or not hasattr(selector, "__dict__")
            or not callable(getattr(selector, "select", None))
        )
        if hidden:
            return
        assert selector is not None
        assert ready is not None
        self._selector = selector
        self._before = selector.__dict__.get("select", _MISSING)
        self._own_select, self._read = around(selector.select, loop, ready, self._now)
        selector.select = self._own_select

    def remove(self) -> None:
        """Put the selector back as it was and end the heartbeat; on any thread."""
        self._ended = True
        selector, own = self._selector, self._own_select
        # If somebody has wrapped ours since, it stays below theirs and counts for nobody.
        if selector is not None and selector.__dict__.get("select") is own:
            if self._before is _MISSING:
                del selector.select
            else:
                selector.select = self._before
        if self.thread == threading.get_ident() and self._timer is not None:
            self._timer.cancel()  # elsewhere it ends at the next beat: timers know one thread

    # ------------------------------------------------------------------ the heartbeat

    def _begin(self) -> None:
        self.thread = threading.get_ident()
        self._next_beat()

    def _next_beat(self) -> None:
        if not self._ended:
            self._due_s = self._now() + _BEAT_S
            self._timer = self.loop.call_later(_BEAT_S, self._beat, context=Context())

    def _beat(self) -> None:
        if self._ended:
            return
        if self._due_s is not None:
            lag = max(0.0, self._now() - self._due_s)
            self._beats += 1
            self._lag_s += lag
            self._lag_max_s = max(self._lag_max_s, lag)
        if self._asked:
            self._asked = False
            self.look()
        self._next_beat()

    def ask(self) -> None:
        """Have the loop look at what only its own thread may, at its next beat."""
        self._facts = {}
        self._asked = True

    def look(self) -> None:
        """Note what only the loop's thread may look at. Never raises."""
        if "anyio.to_thread" in sys.modules:
            # anyio finds its limiter only inside a task; the loop's task factory is not asked.
            asyncio.Task(self._look_in_task(), loop=self.loop, context=Context())
        else:
            self._count_tasks(0)

    async def _look_in_task(self) -> None:
        self._count_tasks(1)
        try:
            limiter = sys.modules["anyio.to_thread"].current_default_thread_limiter()
            facts = limiter.statistics()
            self._facts["anyio_threads_in_use"] = facts.borrowed_tokens
            self._facts["anyio_threads_waiting"] = facts.tasks_waiting
        except Exception as error:  # noqa: BLE001 -- absent then
            warn_once("runtime anyio", f"anyio's threads cannot be measured: {error!r}")

    def _count_tasks(self, own: int) -> None:
        known = [
            len(found)
            for name in ("_all_tasks", "_scheduled_tasks", "_eager_tasks")
            if (found := getattr(asyncio.tasks, name, None)) is not None
        ]
        # Where tasks are kept in C their number is not known beforehand; then the last one tells,
        # and it is asked again after it was left out once.
        expected = max(sum(known), self._tasks)
        self._tasks = 0
        if expected <= self._max_tasks:
            self._tasks = len(asyncio.all_tasks(self.loop)) - own
            self._facts["tasks_alive"] = self._tasks

    # ------------------------------------------------------------------ from outside

    def note_pause(self) -> None:
        """Note if the loop does not run: that is neither being busy nor lagging."""
        if not self.loop.is_closed() and not self.loop.is_running():
            self._paused = True
            self._due_s = None

    def sample(self) -> dict[str, Any]:
        """Return what happened since the last call, and what there is now, on any thread."""
        closed = self.loop.is_closed()
        self.note_pause()
        now_s = self._now()
        counts = None if self._read is None else self._read(now_s)
        if closed and counts is not None:
            now_s = max(self._started_s, counts.seen_s)  # nothing is known of it since
        elapsed_s = max(0.0, now_s - self._started_s)
        self._started_s = now_s
        found: dict[str, Any] = {"loop_name": self.name, "elapsed_ms": round(elapsed_s * 1e3, 3)}
        self._add_lag(found, now_s, closed)
        if counts is not None:
            self._add_counts(found, counts, elapsed_s)
        if not closed:
            found |= executor_facts(self.loop)
            if self.thread == threading.get_ident() and not self._facts:
                self._count_tasks(0)
        found |= self._facts
        self._facts = {}
        self._paused = False
        return found

    def _add_lag(self, found: dict[str, Any], now_s: float, closed: bool) -> None:
        beats, lag_s = self._beats, self._lag_s
        new, new_s = beats - self._beats_told, lag_s - self._lag_told_s
        self._beats_told, self._lag_told_s = beats, lag_s
        most_s, self._lag_max_s = self._lag_max_s, 0.0
        due_s = self._due_s
        if due_s is not None and not closed and now_s > due_s:  # blocked at this moment
            most_s = max(most_s, now_s - due_s)
            if not new:
                new, new_s = 1, now_s - due_s
        if new:
            found["loop_lag_ms"] = round(new_s / new * 1e3, 3)
            found["loop_lag_max_ms"] = round(most_s * 1e3, 3)

    def _add_counts(self, found: dict[str, Any], counts: SelectCounts, elapsed_s: float) -> None:
        last, self._counts = self._counts, counts
        steps = counts.steps - last.steps
        found["park_count"] = counts.parks - last.parks
        found["empty_wakeups"] = counts.wakeups - last.wakeups
        found["io_events"] = counts.events - last.events
        found["steps_count"] = steps
        found["late_timers"] = counts.late - last.late
        found["ready_depth_max"] = counts.ready_max
        found["ready_depth"] = len(self.loop._ready)
        found["timers_scheduled"] = len(self.loop._scheduled)
        if self._paused or not elapsed_s:
            return
        busy_s = min(elapsed_s, max(0.0, elapsed_s - (counts.parked_s - last.parked_s)))
        found["busy_ms"] = round(busy_s * 1e3, 3)
        found["busy_ratio"] = round(busy_s / elapsed_s, 4)
        if steps:
            found["step_mean_us"] = round(busy_s / steps * 1e6, 3)
