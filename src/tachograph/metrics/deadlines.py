"""One thread for all deadlines of the process; it is there only while something waits."""

from __future__ import annotations

import heapq
import itertools
import threading
import time
from collections.abc import Callable

from tachograph._base.forks import tell_in_children
from tachograph._base.ratelimit import warn_once

__all__ = ["Deadlines", "deadlines"]

_IDLE_S = 10.0


class Deadlines:
    """Calls functions at given times, on a thread of its own, in order."""

    def __init__(self) -> None:
        self._reset()

    def _reset(self) -> None:
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()
        self._condition = threading.Condition(threading.Lock())
        self._thread: threading.Thread | None = None

    def after(self, seconds: float, call: Callable[[], None]) -> None:
        """Call *call* in *seconds*. It cannot be taken back, so *call* must bear being late."""
        with self._condition:
            entry = (time.monotonic() + seconds, next(self._numbers), call)
            heapq.heappush(self._heap, entry)
            if self._thread is None:
                thread = threading.Thread(
                    target=self._run, name="tachograph-deadlines", daemon=True
                )
                try:
                    thread.start()
                except RuntimeError:  # the interpreter is ending, which ends everything that waits
                    return
                self._thread = thread
            elif self._heap[0] is entry:
                self._condition.notify()

    def _run(self) -> None:
        while True:
            with self._condition:
                if not self._heap and not self._condition.wait_for(lambda: self._heap, _IDLE_S):
                    self._thread = None
                    return
                pause = self._heap[0][0] - time.monotonic()
                if pause > 0:
                    self._condition.wait(pause)
                    continue
                _, _, call = heapq.heappop(self._heap)
            try:
                call()
            except Exception as error:  # noqa: BLE001 -- one deadline must not stop the others
                warn_once("deadline", f"A deadline failed: {error!r}")
            del call

    def forget_parent(self) -> None:
        """Begin anew in a forked child, whose records are the parent's to emit."""
        self._reset()


deadlines = Deadlines()
tell_in_children(deadlines)
