"""Where tasks wait: the chain of awaits of each step's task before that step, and of all on demand.

The native core reads the chain when a task is about to go on, for a few nanoseconds a frame; a step
then carries the number of the chain. A task that never goes on has no such step, so all tasks are
looked at when a dump is asked for, and when a segment is sealed.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from tachograph._base.clock import clock
from tachograph.recorder.core import core, is_native
from tachograph.recorder.events import EventKind, buffer
from tachograph.recorder.names import Places
from tachograph.recorder.sources.config import SourcesConfig
from tachograph.recorder.symbols import symbols
from tachograph.trace.events import EVENTS

__all__ = ["Awaits", "note_waiting"]

DUMP = EventKind.builtin(EVENTS["TaskDumpEvent"])
SPAWN = EventKind.builtin(EVENTS["TaskSpawnEvent"])

_MOST_TASKS = 10_000
_PIECE = 200  # tasks that are looked at before other threads have a chance
_MOST_AWAITED = 16


class Awaits:
    """The native core's walk, on while a recording goes on."""

    name = "awaits"

    @classmethod
    def wanted(cls, config: SourcesConfig) -> Awaits | None:
        """Return it if it is on."""
        return cls() if config.task_dump else None

    def start(self) -> None:
        """Note where tasks wait.

        Raises:
            RuntimeError: The core is not native, or coroutines are not as expected here.
        """
        if not is_native:
            msg = "chains of awaits are read by the native core, which was not built here"
            raise RuntimeError(msg)
        core.chains(True)

    def stop(self) -> None:
        """Note it no more."""
        core.chains(False)

    def turn(self, now_ns: int) -> None:
        """Nothing: steps carry it."""

    def metadata(self) -> dict[str, str]:
        """Return nothing: what is known of a step stands there."""
        return {}

    def counts(self) -> dict[str, Any]:
        """Return how many chains there are, and how many found no room."""
        return core.chain_counts() if is_native else {}


def note_waiting(loops: Iterable[Any], stacks: Mapping[int, Places]) -> int:
    """Record where each suspended task of *loops* waits, and for which task; return how many.

    Callable on any thread: a suspended task cannot go on while its chain is read. At most 10,000
    tasks are looked at, the rest is not.

    Args:
        loops: Loops, or None for what is gone.
        stacks: What the numbers of chains stand for.
    """
    tasks = [task for loop in loops if loop is not None for task in _tasks_of(loop)][:_MOST_TASKS]
    known = {id(task): _id_of(task) for task in tasks}
    also = _awaited_by(tasks)
    count = 0
    for n, task in enumerate(tasks):
        if n % _PIECE == _PIECE - 1:
            time.sleep(0)
        coroutine = task.get_coro()
        if coroutine is None or task.done():
            continue
        number, last = core.chain_of(coroutine)
        if not number:
            continue  # it runs, or has not begun
        frames = tuple(a for place in stacks.get(number, ()) if (a := symbols.python(*place)))
        now = clock.monotonic_ns()
        awaited = {id(each): each for each in (*_tasks_in(last), *also.get(id(task), ()))}
        ids = [known.get(key) or core.task_id(each) for key, each in awaited.items()]
        awaiting = None if last is None else type(last).__name__
        for awaited_id in ids[:_MOST_AWAITED] or [None]:
            buffer.add(DUMP, (known[id(task)], frames, awaiting, awaited_id), now)
        count += 1
    return count


def _tasks_of(loop: Any) -> Iterable[Any]:
    try:
        return asyncio.all_tasks(loop)
    except Exception:  # noqa: BLE001 -- other threads make and end tasks meanwhile
        return ()


def _id_of(task: Any) -> int:
    """Return a task's id; one that no hook has seen yet gets one, and is told."""
    found = core.task_id(task)
    if found is None:
        found = core.adopt(task)
        name = type(task.get_coro()).__name__
        buffer.add(SPAWN, (found, name, True, None, None, task.get_name()))
    return found


def _tasks_in(last: Any) -> Iterator[Any]:
    """Yield the tasks that are waited for by who waits for *last*: itself, or those of a gather."""
    if isinstance(last, asyncio.Task):
        yield last
    for child in getattr(last, "_children", ()):
        if isinstance(child, asyncio.Task) and not child.done():
            yield child


def _awaited_by(tasks: Iterable[Any]) -> dict[int, list[Any]]:
    """Return, by the id of who waits, the tasks that say so themselves, as 3.14's do."""
    found: dict[int, list[Any]] = {}
    for task in tasks:
        for waiting in getattr(task, "_asyncio_awaited_by", None) or ():
            found.setdefault(id(waiting), []).append(task)
    return found
