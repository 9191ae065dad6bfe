"""The recorder's core in Python: the surface of `_loop`, for where that was not built.

It records the same events, at several times the cost: a handle's way through Python is what the
native core saves. What only C can see is missing: the wait for the GIL after the selector.
"""

from __future__ import annotations

from typing import Any

from tachograph._core.loop_pure.hooks import (
    Select,
    call_soon,
    call_soon_threadsafe,
    create_task,
    make_handles,
    run,
)
from tachograph._core.loop_pure.lane import EVENT_BYTES, Lane, here, state

__all__ = [
    "EVENT_BYTES",
    "Lane",
    "Select",
    "configure",
    "descriptors",
    "enable",
    "forget_parent",
    "lane_counts",
    "lanes",
    "name_counts",
    "offset_of",
    "rings",
    "set_clock",
    "table_sizes",
    "task_id",
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
    state.enabled = bool(on)


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


def set_clock(ns: int | None) -> None:
    """Stop the clock at a number of ns, or let it go on."""
    state.fake_ns = -1 if ns is None else ns


def forget_parent() -> None:
    """Begin anew in a forked child."""
    facts, slots, last = state.facts, state.slots, state.last_id
    state.__init__()  # type: ignore[misc]
    state.facts, state.slots, state.last_id = facts, slots, last
    here.__dict__.clear()


def offset_of(descriptor: Any) -> int:
    """Return 0: there are no offsets in Python."""
    return 0
