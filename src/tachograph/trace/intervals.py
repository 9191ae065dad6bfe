"""What a lane did one thing after the other, as readers need it that know no thing within another.

Expects the tables of a trace in the order in which `assemble` leaves them.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterator
from heapq import merge
from typing import NamedTuple

from tachograph.trace.model import UNKNOWN, Checkpoints, Parks, Steps, Trace

__all__ = ["Clocks", "Interval", "in_a_row"]


class Interval(NamedTuple):
    """A step or a park, or a piece of a step that parks have cut.

    `row` is its place in its table; `is_rest` says that the step has begun before.
    """

    start: int
    end: int
    row: int
    is_step: bool
    is_rest: bool = False


def in_a_row(trace: Trace, lane: int, bent: Counter[str]) -> Iterator[Interval]:
    """Yield what *lane* did, one interval behind the other.

    A loop that runs within a step of another one parks there: the step is cut in two. Whatever else
    overlaps begins where the one before ends, and is counted in *bent*.
    """
    free = 0
    step: Interval | None = None
    for begin, finish, is_step, row in merge(_rows(trace, lane, True), _rows(trace, lane, False)):
        if step is not None:
            if not is_step and step.start <= begin < step.end and finish <= step.end:
                yield step._replace(end=begin)
                yield Interval(begin, finish, row, is_step)
                step = step._replace(start=finish, is_rest=True)
                continue
            yield step
            free, step = step.end, None
        found = Interval(max(begin, free), max(finish, free), row, is_step)
        if (found.start, found.end) != (begin, finish):
            bent["overlaps"] += 1
        if is_step:
            step = found
        else:
            yield found
            free = found.end
    if step is not None:
        yield step


def _rows(trace: Trace, lane: int, is_step: bool) -> Iterator[tuple[int, int, bool, int]]:
    table = trace.steps if is_step else trace.parks
    for row in _of(table, lane):
        start = table.start_ns[row]
        yield start, start + table.duration_ns[row], is_step, row


def _of(table: Steps | Parks | Checkpoints, lane: int) -> range:
    return range(bisect_left(table.lane, lane), bisect_right(table.lane, lane))


class Clocks:
    """A lane's clocks at moments that do not step back: as its last checkpoint told them."""

    def __init__(self, points: Checkpoints, lane: int) -> None:
        self._points = points
        self._rows = _of(points, lane)
        self._next = self._rows.start
        # Before the first checkpoint no step has used anything that is known.
        self._cpu = points.cpu_ns[self._next] if self._rows else 0
        self._waited = UNKNOWN

    def at(self, time_ns: int) -> tuple[int, int]:
        """Return the thread's CPU time and its wait for processors, `UNKNOWN` if never told."""
        points = self._points
        while self._next < self._rows.stop and points.time_ns[self._next] <= time_ns:
            self._cpu = max(self._cpu, points.cpu_ns[self._next])
            self._waited = max(self._waited, points.waited_ns[self._next])
            self._next += 1
        return self._cpu, self._waited
