"""Sealed segments in the dial9 profile: converted on the pipeline's thread, one at a time.

The recorder writes compact blocks whatever the profile is; a segment is rewritten when it is
sealed. That holds one segment in memory as columns, a multiple of its size on disk, and takes the
interpreter some forty microseconds a step.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path

from tachograph.errors import TraceFormatError
from tachograph.trace.dial9 import Conversion
from tachograph.trace.files import read_file, read_pieces
from tachograph.trace.model import StepFlag, Task, Trace

__all__ = ["Dial9"]

_MOST_TASKS = 65_536


class Dial9:
    """Gives the bytes of sealed segments; remembers tasks that go on in the next one.

    A segment tells only where the tasks are from that began in it.
    """

    def __init__(self) -> None:
        self._alive: dict[int, Task] = {}

    def __call__(self, sealed: Path) -> Iterator[bytes]:
        """Yield a segment in the dial9 profile, or as it is when it has nothing dial9 would show.

        Raises:
            TraceFormatError: The file is no trace.
            OSError: It cannot be read.
        """
        trace = read_file(sealed)
        self._remember(trace)
        batches = Conversion(trace).batches()
        try:
            first = next(batches)
        except TraceFormatError:
            yield from read_pieces(sealed)
            return
        yield first
        yield from batches

    def _remember(self, trace: Trace) -> None:
        for number, task in self._alive.items():
            known = trace.tasks.setdefault(number, task)
            if known.location is None:
                known.location = task.location
        alive = [
            replace(task, spawn_ns=None)
            for task in trace.tasks.values()
            if task.end_ns is None and task.location and not task.flags & StepFlag.CALLBACK
        ]
        # Tasks that nobody saw end would be kept for ever: the newest are the likeliest to go on.
        alive.sort(key=lambda task: task.task, reverse=True)
        self._alive = {task.task: task for task in islice(alive, _MOST_TASKS)}
