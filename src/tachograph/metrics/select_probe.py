# ruff: noqa: SLF001 -- nothing public tells what a loop's queues hold
"""What stands around a loop's `select`, once in each iteration: the hottest place of the bridge.

The counts are variables of the function itself, the cheapest that Python has. The loop's thread
alone writes them; `read` gives them to any thread, and takes no lock.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple

__all__ = ["SelectCounts", "around"]

_LATE_S = 0.010

Select = Callable[..., Any]


class SelectCounts(NamedTuple):
    """Counts since the beginning, but for `ready_max`, which is since the last reading.

    Attributes:
        parked_s: Time asleep, that of a sleep that lasts included.
        parks: Calls that were allowed to wait.
        wakeups: Of these, those that gave nothing while no timer was due.
        events: Ready descriptors.
        steps: Callbacks that were ready, events, and timers that were due.
        late: Timers that ran more than 10 ms after their time.
        ready_max: Most callbacks that were ready at the begin of an iteration.
        seen_s: When the last sleep ended.
    """

    parked_s: float
    parks: int
    wakeups: int
    events: int
    steps: int
    late: int
    ready_max: int
    seen_s: float


def around(  # noqa: C901, PLR0915 -- functions over the same variables
    inner: Select, loop: Any, ready: deque[Any], now: Callable[[], float]
) -> tuple[Select, Callable[[float], SelectCounts]]:
    """Return what stands for *inner*, and the function that reads its counts at a given time."""
    parks = wakeups = events_seen = ready_seen = timers_due = late = ready_max = 0
    parked_s = 0.0
    parked_at_s: float | None = None
    seen_s = now()

    def select(timeout: float | None = None) -> Any:
        nonlocal parks, wakeups, events_seen, ready_seen, ready_max
        nonlocal parked_s, parked_at_s, seen_s
        depth = len(ready)
        ready_seen += depth
        if depth > ready_max:  # noqa: PLR1730 -- a call costs more
            ready_max = depth
        if timeout or timeout is None:
            parks += 1
            parked_at_s = began_s = now()
            try:
                events = inner(timeout)
            finally:
                seen_s = now()
                parked_s += seen_s - began_s
                parked_at_s = None
            timers = loop._scheduled  # another list now and then
            if timers and timers[0]._when <= seen_s:
                count_timers(timers, seen_s)
            elif not events:
                wakeups += 1
        else:
            # Asking without waiting is work: most of the time of a busy loop's iterations.
            events = inner(timeout)
            timers = loop._scheduled
            if timers and timers[0]._when <= (now_s := now()):
                count_timers(timers, now_s)
        if events:
            events_seen += len(events)
        return events

    def count_timers(timers: list[Any], now_s: float) -> None:
        """Count those that are about to run, and those of them that are late."""
        nonlocal timers_due, late
        late_s = now_s - _LATE_S
        places = [0]  # of a heap: below one that is not due none is
        while places:
            place = places.pop()
            if place >= len(timers):
                continue
            timer = timers[place]
            if timer._when > now_s:
                continue
            if not timer._cancelled:
                timers_due += 1
                if timer._when < late_s:
                    late += 1
            places += (2 * place + 1, 2 * place + 2)

    def read(now_s: float) -> SelectCounts:
        nonlocal ready_max
        since_s = parked_at_s
        asleep_s = 0.0 if since_s is None else max(0.0, now_s - since_s)
        steps = ready_seen + events_seen + timers_due
        most, ready_max = ready_max, 0
        return SelectCounts(
            parked_s + asleep_s, parks, wakeups, events_seen, steps, late, most, seen_s
        )

    return select, read
