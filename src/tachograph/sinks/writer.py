"""The thread that writes what a queue holds, and everything that may go wrong with that.

Strategy: callers append to `Lines`, natively without a lock; the writer takes what waits in batches
and works through a `Block` that remembers how far it got. It polls while lines come and sleeps on
an event when none do, so a caller wakes it only at the end of a quiet time. When the queue is full
the oldest lines go, are counted, and are told in band on the next line written.
"""

from __future__ import annotations

import atexit
import contextlib
import errno
import functools
import sys
import threading
import time
import weakref
from collections.abc import Callable

from tachograph._base.forks import tell_in_children
from tachograph._base.gil import CHANGES_ARE_WHOLE
from tachograph._base.ratelimit import warn_once
from tachograph.sinks.block import Block
from tachograph.sinks.lines import Lines
from tachograph.sinks.protocols import Target
from tachograph.sinks.statistics import SinkStatistics

__all__ = ["Writer"]

_QUIET_TICKS = 50
_BACKOFF_MIN_S, _BACKOFF_MAX_S = 0.05, 1.0
_GONE = (errno.EPIPE, errno.EBADF)


class Writer:
    """Writes lines to a target on a thread of its own, until it is closed; see `QueueSink`."""

    def __init__(
        self,
        target: Target,
        *,
        name: str,
        max_lines: int,
        max_bytes: int,
        flush_interval: float,
        tick: float,
        mark_dropped: Callable[[bytes, int], bytes] | None,
        observer: Callable[[str, float], None] | None,
    ) -> None:
        self._target = target
        self._name = name
        self.lines = Lines(max_lines, max_bytes, self._attend)
        """What waits; the native core appends to it directly."""
        self._flush_interval = flush_interval
        self._tick = tick
        self.mark_dropped = mark_dropped
        self._observer = observer
        # Without the GIL a caller may not see in time that the writer fell asleep.
        self._longest_sleep = None if CHANGES_ARE_WHOLE else flush_interval
        self._reset()
        _writers.add(self)
        tell_in_children(self)

    def _reset(self) -> None:
        # Reentrant: a signal handler or a finaliser may write while this thread is in `write`.
        self._lock = threading.RLock()
        self._block: Block | None = None
        self._thread: threading.Thread | None = None
        self._wake = threading.Event()
        self._idle, self._flushed = 0.0, time.monotonic()
        self._closed = False
        self._stopping = False
        self._abandoned = False
        self._gone = False
        self._waiters: list[tuple[int, threading.Event]] = []
        self._written = self._bytes_written = self._lost_to_io = self._io_errors = 0
        self._told = 0  # of the lines that were dropped
        self._refused_open = 0  # by a target that is gone, before the sink was closed

    def _attend(self) -> None:
        """Do what a line seldom needs: wake or start the writer, tell that lines are dropped."""
        lines = self.lines
        if lines.asleep:
            with self._lock:
                self._rouse()
        if lines.unmarked:
            self._observe("overflow", lines.dropped)
            warn_once(
                f"queue {self._name}",
                f"The queue of {self._name} is full; its oldest lines are dropped and counted. "
                "Its target is slower than the lines come, or takes none.",
            )

    def _observe(self, event: str, value: float) -> None:
        if self._observer is not None:
            try:
                self._observer(event, value)
            except Exception as error:  # noqa: BLE001 -- a user's own may raise anything
                warn_once(
                    f"observer {self._name}", f"The observer of {self._name} failed: {error!r}"
                )

    def _rouse(self) -> None:
        self.lines.asleep = False
        if self._thread is None:
            try:
                self._thread = threading.Thread(
                    target=self._run, name=f"tachograph-{self._name}", daemon=True
                )
                self._thread.start()
                self._close_with_worker()
            # The interpreter is ending, or has no daemon threads: `flush` and `close` write.
            except RuntimeError:
                self._thread = None
                self.lines.asleep = True
                return
        self._wake.set()

    def _close_with_worker(self) -> None:
        """Close when this process ends, if `multiprocessing` made it: those run no atexit."""
        process = sys.modules.get("multiprocessing.process")
        if process is not None and process.parent_process() is not None:
            from multiprocessing.util import Finalize  # noqa: PLC0415 -- only in such a process

            Finalize(self, self.close, exitpriority=10)

    # ------------------------------------------------------------------ the writer thread

    def _run(self) -> None:
        quiet = 0
        dirty_since: float | None = None
        while True:
            if self._advance():
                quiet = 0
                dirty_since = dirty_since or time.monotonic()
            else:
                quiet += 1
            now = time.monotonic()
            if self._waiters or (dirty_since and now - dirty_since >= self._flush_interval):
                self._flush_target()
                dirty_since = None
                self._answer()
            with self._lock:
                lines = self.lines
                if self._abandoned or (self._stopping and not len(lines)):
                    break
                asleep = quiet > _QUIET_TICKS and dirty_since is None
                lines.asleep = asleep
                if len(lines) and (asleep or not quiet):  # looked after, so that none is missed
                    lines.asleep = False
                    continue
                pause = self._longest_sleep if asleep else self._tick
            waited = time.monotonic()
            self._wake.wait(pause)
            self._wake.clear()
            self._idle += time.monotonic() - waited
        if dirty_since:
            self._flush_target()
        self._answer()
        self._target.close()

    def _advance(self) -> bool:
        """Write one block to its end, however long that takes; tell whether there was one."""
        block = self._take()
        if block is None:
            return False
        pause = _BACKOFF_MIN_S
        gone = 0
        while (rest := block.rest) and not self._abandoned:
            try:
                taken = self._target.write(rest)
            except OSError as error:
                self._trouble(error)
                gone = gone + 1 if error.errno in _GONE else 0
                if gone > 1:
                    self._leave(error)
                    return True
            except Exception as error:  # noqa: BLE001 -- a target of a user's own may raise anything
                self._trouble(error)
            else:
                block.advance(taken)
                if taken:
                    pause = _BACKOFF_MIN_S
                    continue
            if not self._stopping or not gone:
                self._wake.wait(pause)
                self._wake.clear()
                pause = min(pause * 2, _BACKOFF_MAX_S)
        self._finish(block)
        return True

    def _take(self) -> Block | None:
        with self._lock:
            lines = self.lines
            lost = lines.dropped - self._told
            start = lines.popped  # at least: callers may drop lines meanwhile
            batch = lines.take()
            if batch is None:
                return None
            mark = None
            if lost:
                lines.unmarked = 0
                self._told += lost
                mark = functools.partial(self._marked, lost=lost)
            block = self._block = Block(batch, start=start, mark=mark)
            return block

    def _marked(self, line: bytes, lost: int) -> bytes:
        if self.mark_dropped is None:
            return line
        try:
            return self.mark_dropped(line, lost)
        except Exception as error:  # noqa: BLE001 -- the line is worth more than the mark
            warn_once(f"mark {self._name}", f"Lost lines of {self._name} cannot be told: {error!r}")
            return line

    def _finish(self, block: Block) -> None:
        with self._lock:
            if self._abandoned:
                return
            self._written += len(block)
            self._bytes_written += block.size
            self.lines.release(block.queued_bytes)
            self._block = None
        self._observe("written", len(block))

    def _flush_target(self) -> None:
        self._observe("queued", len(self.lines))
        now = time.monotonic()
        self._observe("idle", min(1.0, self._idle / max(now - self._flushed, 1e-9)))
        self._idle, self._flushed = 0.0, now
        try:
            self._target.flush()
        except Exception as error:  # noqa: BLE001 -- telemetry never raises into the application
            self._trouble(error)

    def _trouble(self, error: Exception) -> None:
        self._io_errors += 1
        self._observe("io_error", self._io_errors)
        warn_once(
            f"target {self._name} {type(error)}",
            f"Cannot write {self._name}: {error}. Lines wait in memory and are tried again; when "
            "the queue is full the oldest are dropped and counted.",
        )

    def _leave(self, error: OSError) -> None:
        with self._lock:
            self._gone = self.lines.shut = True
            self._lose_everything()
        warn_once(
            f"gone {self._name}",
            f"Nobody reads {self._name} any more ({error}); its lines are dropped and counted from "
            "now on.",
        )

    def _lose_everything(self) -> None:
        """Count what waits as lost, what the present block still got through as written."""
        block, self._block = self._block, None
        if block is not None:
            done = block.lines_done()
            self._written += done
            self._bytes_written += block.done
            self._lost_to_io += len(block) - done
        self._lost_to_io += self.lines.clear()

    # ------------------------------------------------------------------ flush and close

    def flush(self, timeout: float = 5.0) -> bool:
        """Wait until each line taken before is settled and flushed; False if *timeout* passed."""
        done = threading.Event()
        with self._lock:
            if self._gone or (self._closed and self._thread is None):
                return not len(self.lines)
            waiter = (self.lines.popped + len(self.lines), done)
            self._waiters.append(waiter)
            self._rouse()
            threaded = self._thread is not None
        answered = done.wait(timeout) if threaded else self._drain_here(timeout)
        if not answered:
            with self._lock, contextlib.suppress(ValueError):
                self._waiters.remove(waiter)
        return answered

    def _settled(self, goal: int) -> bool:
        """Tell whether the first *goal* lines left the queue and are no longer being written."""
        if self._gone:
            return True
        return self.lines.popped >= goal and (self._block is None or self._block.start >= goal)

    def _answer(self) -> None:
        with self._lock:
            still = []
            for goal, done in self._waiters:
                if self._settled(goal):
                    done.set()
                else:
                    still.append((goal, done))
            self._waiters = still

    def forgotten(self) -> None:
        """Take no more lines, write what waits, then end; returns at once."""
        with self._lock:
            if self._closed:
                return
            self._closed = self._stopping = self.lines.shut = True
            self._refused_open = self.lines.refused
            self._wake.set()
            if self._thread is not None:
                return
        self._drain_here(0.0)
        self._target.close()

    def close(self, timeout: float = 5.0) -> bool:
        """Write what waits, stop the thread, close the target.

        When *timeout* seconds have passed, what still waits is counted as lost.

        Returns:
            Whether everything was written in time.
        """
        with self._lock:
            if self._closed:
                return True
            self._closed = self._stopping = self.lines.shut = True
            self._refused_open = self.lines.refused
            thread = self._thread
            self._wake.set()
        if thread is not None and thread.is_alive():
            thread.join(timeout)
            ended = not thread.is_alive()
        else:
            ended = self._drain_here(timeout)
            self._target.close()
        with self._lock:
            if not ended:
                self._abandoned = True
            waiting = len(self.lines) + (0 if self._block is None else len(self._block))
            self._lose_everything()
            self._wake.set()
            return ended and waiting == 0 and not self._gone

    def _drain_here(self, timeout: float) -> bool:
        """Write on the calling thread, when no thread can be started; tell whether all went."""
        end = time.monotonic() + timeout
        while (block := self._take()) is not None:
            while block.rest:
                try:
                    block.advance(self._target.write(block.rest))
                except Exception as error:  # noqa: BLE001 -- telemetry never raises
                    self._trouble(error)
                    return False
                if time.monotonic() > end:
                    return False
            self._finish(block)
        self._flush_target()
        self._answer()
        return True

    def forget_parent(self) -> None:
        """Begin anew in a forked child: the parent writes what it queued."""
        closed = self._closed
        self.lines.reset()
        self._reset()
        self._closed = self.lines.shut = closed

    def statistics(self) -> SinkStatistics:
        """Return the counts so far."""
        with self._lock:
            lines = self.lines
            waiting = 0 if self._block is None else len(self._block)
            refused_open = self._refused_open if self._closed else lines.refused
            late = lines.refused - refused_open
            lost = self._lost_to_io + refused_open
            return SinkStatistics(
                accepted=lines.popped + len(lines) + lines.refused,
                written=self._written,
                dropped=lines.dropped + lost + late,
                queue_dropped=lines.dropped,
                lost_to_io=lost,
                late=late,
                io_errors=self._io_errors,
                queued=len(lines) + waiting,
                queued_bytes=lines.bytes,
                bytes_written=self._bytes_written,
            )


_writers: weakref.WeakSet[Writer] = weakref.WeakSet()


def _at_exit() -> None:
    for writer in list(_writers):
        writer.close()


atexit.register(_at_exit)
