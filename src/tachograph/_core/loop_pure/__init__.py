"""The recorder's core in Python: the surface of `_loop`, for where that was not built.

It records the same events, at several times the cost: a handle's way through Python is what the
native core saves. What only C can see is missing: the wait for the GIL after the selector.
"""

from __future__ import annotations

import struct
from typing import Any

from tachograph._core.loop_pure.hooks import (
    Select,
    call_soon,
    call_soon_threadsafe,
    create_task,
    listener,
    make_handles,
    run,
)
from tachograph._core.loop_pure.jobs import (
    Pool,
    job,
    job_counts,
    job_hook,
    jobs,
    jobs_forget,
    spawn_job,
    take_jobs,
)
from tachograph._core.loop_pure.lane import (
    CALLBACK,
    EVENT_BYTES,
    Lane,
    here,
    lane_if_any,
    state,
)
from tachograph._core.loop_pure.living import Living
from tachograph._core.loop_pure.pauses import collected, gil_wait, pauses, pauses_dropped

__all__ = [
    "EVENT_BYTES",
    "Lane",
    "Living",
    "Pool",
    "Select",
    "collected",
    "configure",
    "descriptors",
    "enable",
    "forget_parent",
    "forget_task",
    "gil_wait",
    "job",
    "job_counts",
    "job_hook",
    "jobs",
    "keep_tasks",
    "lane_counts",
    "lanes",
    "listener",
    "name_counts",
    "note_ends",
    "offset_of",
    "options",
    "pauses",
    "pauses_dropped",
    "rings",
    "running_task",
    "set_clock",
    "spawn_job",
    "table_sizes",
    "take_jobs",
    "task_id",
    "task_ids",
]


def configure(facts: dict[str, Any]) -> None:
    """Tell what asyncio is made of, once."""
    if not state.facts:
        state.facts = dict(facts)
        make_handles(state.facts)


def enable(on: object) -> None:
    """Record, or not."""
    if on and not state.facts:
        msg = "enable: expected `configure` before"
        raise RuntimeError(msg)
    for lane in lanes() if on else ():
        lane.watched = None
    state.enabled = bool(on)


def options(tracks: object, wait_every: int) -> None:
    """Say whether tasks are tracked, and of how many parks one looks at the scheduler's numbers."""
    if wait_every < 1:
        msg = f"options: expected 1 or more parks for a look, got {wait_every}"
        raise ValueError(msg)
    state.tracks, state.wait_every = bool(tracks), wait_every


def descriptors() -> dict[str, Any]:
    """Return the hooks by the names they go under."""
    return {
        "_run": run,
        "call_soon": call_soon,
        "call_soon_threadsafe": call_soon_threadsafe,
        "create_task": create_task,
    }


def lanes() -> list[Lane]:
    """Return the lanes there are."""
    return [lane for lane in state.lanes if lane is not None]


def rings(directory: str, events: int) -> None:
    """Say how many events a ring holds, and empty all; they lie in memory wherever they should."""
    state.slots = events
    for lane in lanes():
        lane.renew()


def lane_counts() -> dict[str, int]:
    """Return what lanes could not do."""
    return {"lanes_refused": state.refused, "rings_in_memory": len(lanes())}


def name_counts() -> dict[str, int]:
    """Return how full the tables of names are."""
    return {
        "names_callbacks": len(state.callbacks),
        "names_spawns": len(state.spawns),
        "names_full": state.full,
        "names_failed": state.failed,
    }


def table_sizes() -> dict[str, int]:
    """Return how full the table of tasks is."""
    return {
        "tasks_known": len(state.tasks),
        "tasks_adopted": state.adopted,
        "tasks_replaced": state.replaced,
        "tasks_untracked": 0,
    }


def task_id(task: Any) -> int | None:
    """Return the id of a task, or None."""
    return state.tasks.get(id(task))


def running_task() -> int | None:
    """Return the id of the task whose step this is; None in another step, 0 if not known."""
    lane = lane_if_any()
    if lane is None or lane.is_for_jobs:
        return 0
    task, _, flags = lane.open_step
    return None if flags & CALLBACK else task


def task_ids() -> bytes:
    """Return the ids of known tasks, 64 bits each."""
    ids = list(state.tasks.values())
    return struct.pack(f"={len(ids)}Q", *ids)


def note_ends(callback: Any) -> None:
    """Tell of tasks that end badly, or None: do not."""
    state.note_end = callback


def forget_task(task: Any) -> None:
    """Forget a task that no step ends."""
    state.tasks.pop(id(task), None)


def keep_tasks(tasks: list[Any]) -> None:
    """Forget all tasks but these, which live."""
    kept = {id(task): state.tasks.get(id(task)) for task in tasks}
    state.tasks = {place: number for place, number in kept.items() if number is not None}


def set_clock(ns: int | None) -> None:
    """Stop the clock at a number of ns, or let it go on."""
    state.fake_ns = -1 if ns is None else ns


def forget_parent() -> None:
    """Begin anew in a forked child."""
    facts, slots, last = state.facts, state.slots, state.last_id
    state.__init__()  # type: ignore[misc]
    state.facts, state.slots, state.last_id = facts, slots, last
    here.__dict__.clear()
    jobs_forget()


def offset_of(descriptor: Any) -> int:
    """Return 0: there are no offsets in Python."""
    return 0
