# ruff: noqa: SLF001 -- nothing public tells what a loop does
"""What can be seen of one event loop without slowing it: its selector, a heartbeat, its queues.

The selector's `select` is wrapped on the one object that the loop has, and put back at the end. All
counters are written by the loop's thread and only read by others, who take differences; so there is
no lock, and a blocked loop is seen as well as an idle one. On a loop that hides its internals what
needs them is left out.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from contextvars import Context
from typing import Any

from tachograph._base.ratelimit import warn_once
from tachograph.metrics.executor_probe import executor_facts

__all__ = ["LoopProbe"]

_BEAT_S = 0.1
_LATE_S = 0.010
_MISSING = object()

Select = Callable[..., Any]


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
        "_before",
        "_due_s",
        "_ended",
        "_events",
        "_facts",
        "_lag_max_s",
        "_lag_s",
        "_late",
        "_max_tasks",
        "_now",
        "_own_select",
        "_parked_at_s",
        "_parked_s",
        "_parks",
        "_paused",
        "_ready",
        "_ready_max",
        "_seen_s",
        "_selector",
        "_started_s",
        "_steps",
        "_tasks",
        "_timer",
        "_totals",
        "_wakeups",
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
        self._parks = self._wakeups = self._events = self._steps = self._late = self._beats = 0
        self._parked_s = self._lag_s = self._lag_max_s = 0.0
        self._ready_max = 0
        self._parked_at_s: float | None = None
        self._due_s: float | None = None
        self._facts: dict[str, Any] = {}
        self._tasks = 0
        self._timer: Any = None
        self._started_s = self._seen_s = now()
        # Written by the sampler.
        self._asked = self._ended = self._paused = False
        self._totals: tuple[float, ...] = (0.0,) * 8
        self._selector: Any = None
        self._before: Any = None
        self._own_select: Any = None
        self._ready: deque[Any] | None = None

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
        self._ready = ready
        self._selector = selector
        self._before = selector.__dict__.get("select", _MISSING)
        self._own_select = self._wrapping(selector.select)
        selector.select = self._own_select

    def remove(self) -> None:
        """Put the selector back as it was and end the heartbeat; on any thread."""
        self._ended = True
        selector, own = self._selector, self._own_select
        # If somebody has wrapped ours since, it stays below theirs, and does nothing any more.
        if selector is not None and selector.__dict__.get("select") is own:
            if self._before is _MISSING:
                del selector.select
            else:
                selector.select = self._before
        if self.thread == threading.get_ident() and self._timer is not None:
            self._timer.cancel()  # elsewhere it ends at the next beat: timers know one thread

    def _wrapping(self, inner: Select) -> Select:
        """Return what stands for *inner*; it runs once in each iteration of the loop."""
        now = self._now
        loop = self.loop
        ready = self._ready
        assert ready is not None

        def select(timeout: float | None = None) -> Any:
            if self._ended:
                return inner(timeout)
            depth = len(ready)
            if depth > self._ready_max:  # noqa: PLR1730 -- a call costs more
                self._ready_max = depth
            if timeout is None or timeout > 0:
                self._parks += 1
                self._parked_at_s = began = now()
                try:
                    events = inner(timeout)
                finally:
                    ended = now()
                    self._parked_s += ended - began
                    self._parked_at_s = None
                timers = loop._scheduled  # replaced now and then
                due = timers and timers[0]._when <= ended
                if not events and not due:
                    self._wakeups += 1
            else:
                # Asking without waiting is work: most of the time of a busy loop's iterations.
                events = inner(timeout)
                ended = now()
                timers = loop._scheduled
                due = timers and timers[0]._when <= ended
            self._seen_s = ended
            if due:
                self._count_timers(timers, ended)
            count = len(events)
            self._events += count
            self._steps += depth + count
            return events

        return select

    def _count_timers(self, timers: list[Any], now: float) -> None:
        """Count those that are about to run, and those of them that are late."""
        late = now - _LATE_S
        places = [0]  # of a heap: below one that is not due none is
        while places:
            place = places.pop()
            if place >= len(timers):
                continue
            timer = timers[place]
            if timer._when > now:
                continue
            if not timer._cancelled:
                self._steps += 1
                if timer._when < late:
                    self._late += 1
            places += (2 * place + 1, 2 * place + 2)

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
        now = self._seen_s if closed and self._selector is not None else self._now()
        found: dict[str, Any] = {"loop_name": self.name}
        elapsed = max(0.0, now - self._started_s)
        found["elapsed_ms"] = round(elapsed * 1e3, 3)
        parked = self._parked_s
        since = self._parked_at_s
        if since is not None and not closed:
            parked += max(0.0, now - since)
        totals = (
            parked,
            self._parks,
            self._wakeups,
            self._events,
            self._steps,
            self._late,
            self._beats,
            self._lag_s,
        )
        delta = [after - before for after, before in zip(totals, self._totals, strict=True)]
        self._totals = totals
        self._started_s = now
        self._add_lag(found, now, closed, int(delta[6]), delta[7])
        if self._selector is not None:
            self._add_selector(found, delta, elapsed)
        if not closed:
            found |= executor_facts(self.loop)
            if self.thread == threading.get_ident() and not self._facts:
                self._count_tasks(0)
        found |= self._facts
        self._facts = {}
        self._paused = False
        return found

    def _add_lag(
        self, found: dict[str, Any], now: float, closed: bool, beats: int, lag: float
    ) -> None:
        most, self._lag_max_s = self._lag_max_s, 0.0
        due = self._due_s
        if due is not None and not closed and now > due:  # blocked at this moment
            most = max(most, now - due)
            if not beats:
                beats, lag = 1, now - due
        if beats:
            found["loop_lag_ms"] = round(lag / beats * 1e3, 3)
            found["loop_lag_max_ms"] = round(most * 1e3, 3)

    def _add_selector(self, found: dict[str, Any], delta: list[float], elapsed: float) -> None:
        parked, parks, wakeups, events, steps, late = delta[:6]
        found["park_count"] = int(parks)
        found["empty_wakeups"] = int(wakeups)
        found["io_events"] = int(events)
        found["steps_count"] = int(steps)
        found["late_timers"] = int(late)
        found["ready_depth_max"], self._ready_max = self._ready_max, 0
        with contextlib.suppress(AttributeError):  # closed meanwhile
            found["ready_depth"] = len(self.loop._ready)
            found["timers_scheduled"] = len(self.loop._scheduled)
        if self._paused or not elapsed:
            return
        busy = min(elapsed, max(0.0, elapsed - parked))
        found["busy_ms"] = round(busy * 1e3, 3)
        found["busy_ratio"] = round(busy / elapsed, 4)
        if steps:
            found["step_mean_us"] = round(busy / steps * 1e6, 3)
