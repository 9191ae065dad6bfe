"""Jobs: what loops give to threads and processes, with how long each waited and ran.

A job of a thread is a step on that thread's lane, which the core records; here the hooks are put
in, and what no lane tells becomes events: jobs that were cancelled while they waited, jobs of
threads for which there was no lane, jobs of other processes.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import importlib
import sys
import weakref
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any

from tachograph._base.clock import clock
from tachograph.recorder.core import core
from tachograph.recorder.events import EventKind, buffer
from tachograph.recorder.names import names
from tachograph.recorder.patches import put, take_back
from tachograph.recorder.sources.config import SourcesConfig
from tachograph.recorder.sources.turns import Imports
from tachograph.trace.events import EVENTS
from tachograph.trace.model import JOB_PREFIX, Outcome

__all__ = ["Executors", "waiting_jobs"]

JOB = EventKind.builtin(EVENTS["tacho:ExecutorJob"])
POOL = EventKind.builtin(EVENTS["tacho:ExecutorPool"])
END = EventKind.builtin(EVENTS["TaskTerminateEvent"])

_ANYIO = "anyio._backends._asyncio"
_ANYIO_RUN = "run_sync_in_worker_thread"
_PROCESSES = "concurrent.futures.process"

pools: dict[int, core.Pool] = {}
"""Executors by the ids of the objects, as long as those live; the core counts in them."""

_of_anyio = core.Pool("anyio", 0)
_alive: dict[int, weakref.ref[Any]] = {}


def waiting_jobs() -> int:
    """Return how many jobs wait for a thread, in all executors that the recorder knows."""
    return _of_anyio.waiting + sum(pool.waiting for pool in list(pools.values()))


class Executors:
    """The hooks of executors, and the events of jobs that no lane tells."""

    name = "executors"

    def __init__(self) -> None:
        self._told: dict[str, tuple[int, int]] = {}
        self._last: dict[str, int] = {}
        self._imports = Imports()

    @classmethod
    def wanted(cls, config: SourcesConfig) -> Executors | None:
        """Return it if it is on."""
        return cls() if config.executor else None

    def start(self) -> None:
        """Put the hooks in."""
        put(ThreadPoolExecutor, "submit", _hook)
        core.jobs(True)
        if "anyio" in sys.modules and _ANYIO not in sys.modules:
            # It is loaded when it is first needed, and that job would be missed.
            with contextlib.suppress(Exception):
                importlib.import_module(_ANYIO)
        self._look_for_others()

    def stop(self) -> None:
        """Emit what is left, and put back what was there."""
        self.turn(clock.monotonic_ns())
        self._last = core.job_counts()
        core.jobs(False)
        take_back(ThreadPoolExecutor, "submit")
        processes = getattr(sys.modules.get(_PROCESSES), "ProcessPoolExecutor", None)
        if processes is not None:
            take_back(processes, "submit")
        owner = _anyio_owner()
        if owner is not None:
            take_back(owner, _ANYIO_RUN)

    def _look_for_others(self) -> None:
        """Put hooks into what the program has imported meanwhile; we import none of it."""
        processes = getattr(sys.modules.get(_PROCESSES), "ProcessPoolExecutor", None)
        if processes is not None:
            put(processes, "submit", _process_hook)
        owner = _anyio_owner()
        if owner is not None:
            put(owner, _ANYIO_RUN, _anyio_hook)

    def turn(self, now_ns: int) -> None:
        """Emit the jobs that no lane tells, and how busy pools are where that has changed."""
        if self._imports.changed():
            self._look_for_others()
        for number, tid, pool, name, queue_ns, run_ns, ended_ns, outcome in core.take_jobs():
            function = _function(name)
            buffer.add(JOB, (number, tid, pool, function, queue_ns, run_ns, outcome), ended_ns)
            buffer.add(END, (number, outcome), ended_ns)
        found: dict[str, tuple[int, int, int]] = {}
        for each in [*list(pools.values()), _of_anyio]:
            limit, running, waiting = found.get(each.name, (0, 0, 0))
            sums = (limit + each.limit, running + each.running, waiting + each.waiting)
            found[each.name] = sums
        for of, (limit, running, waiting) in found.items():
            if self._told.get(of, (0, 0)) != (running, waiting):
                buffer.add(POOL, (of, limit or None, running, waiting), now_ns)
        self._told = {of: (running, waiting) for of, (_, running, waiting) in found.items()}

    def metadata(self) -> dict[str, str]:
        """Return nothing: lanes are told where they begin."""
        return {}

    def counts(self) -> dict[str, Any]:
        """Return what became of jobs."""
        return self._last or core.job_counts()


# ---------------------------------------------------------------------- threads


def _hook(stock: Any) -> Any:
    # New in Python 3.14: it sends jobs out of the interpreter, and could not send ours.
    opaque = getattr(concurrent.futures, "InterpreterPoolExecutor", None)
    return core.job_hook(ThreadPoolExecutor, stock, opaque, pools, _make_pool)


def _make_pool(executor: Any) -> core.Pool:
    """Return the counters of an executor, which go when it goes."""
    key = id(executor)

    def gone(_: object) -> None:
        pools.pop(key, None)
        _alive.pop(key, None)

    _alive[key] = weakref.ref(executor, gone)
    prefix = getattr(executor, "_thread_name_prefix", None) or type(executor).__qualname__
    return core.Pool(str(prefix), int(getattr(executor, "_max_workers", 0)))


# ---------------------------------------------------------------------- anyio


def _anyio_owner() -> Any:
    """Return what has anyio's function that runs a job in a thread; None if it is not there."""
    module = sys.modules.get(_ANYIO)
    owner = getattr(module, "AsyncIOBackend", module)
    return owner if hasattr(owner, _ANYIO_RUN) else None


def _anyio_hook(stock: Any) -> Any:
    if not isinstance(stock, classmethod):  # before anyio 4

        def run(func: Any, *args: Any, **named: Any) -> Any:
            return stock(core.job(func, _of_anyio), *args, **named)

        return run
    function = stock.__func__

    # No coroutine function: so it has no frame in what is raised.
    def run_of_class(cls: Any, func: Any, *args: Any, **named: Any) -> Any:
        return function(cls, core.job(func, _of_anyio), *args, **named)

    return classmethod(run_of_class)


# ---------------------------------------------------------------------- processes


def _process_hook(stock: Any) -> Any:
    def submit(self: Any, fn: Any, /, *args: Any, **kwargs: Any) -> Any:
        began_ns = clock.monotonic_ns()
        job = core.spawn_job(fn)
        try:
            future = stock(self, fn, *args, **kwargs)
        except BaseException:
            if job is not None:
                buffer.add(END, (job[0], Outcome.CANCELLED))
            raise
        if job is not None:
            future.add_done_callback(partial(_process_done, job, began_ns))
        return future

    submit.__doc__ = stock.__doc__
    return submit


def _process_done(job: tuple[int, int], began_ns: int, future: Future[Any]) -> None:
    # When a process takes the job is not known here: all of it counts as its run.
    number, name = job
    now = clock.monotonic_ns()
    if future.cancelled():
        outcome = Outcome.CANCELLED
    else:
        outcome = Outcome.RETURNED if future.exception() is None else Outcome.RAISED
    values = (number, 0, "processes", _function(name), None, now - began_ns, int(outcome))
    buffer.add(JOB, values, now)
    buffer.add(END, (number, int(outcome)), now)


def _function(name: int) -> str:
    return names.spawns.get(name, "unknown").removeprefix(JOB_PREFIX)
