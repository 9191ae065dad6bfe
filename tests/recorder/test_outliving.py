"""A pause: who lives through it stays the same task, and nobody becomes another."""

from __future__ import annotations

import asyncio
import struct

import pytest
from tests.recorder.programs import SPAWN, STEP, record

from tachograph.recorder import outliving
from tachograph.recorder.core import core


async def work() -> None:
    """Take three steps."""
    await asyncio.sleep(0)
    await asyncio.sleep(0)


def known() -> list[int]:
    """Return the ids of all tasks that the core knows by their addresses."""
    ids = core.task_ids()
    return list(struct.unpack(f"={len(ids) // 8}Q", ids))


def test_who_ends_in_a_pause_is_known_no_more() -> None:
    """The next task may lie where it did, and must not be taken for it."""
    before: list[int | None] = []
    after: list[int] = []

    async def main() -> None:
        task = asyncio.create_task(work())
        await asyncio.sleep(0)
        before.append(core.task_id(task))
        outliving.enable(False)
        await task
        del task
        await asyncio.sleep(0)  # the handle that woke this one is gone, with what it held
        outliving.enable(True)
        after.extend(known())

    events = record(main)

    assert before[0] is not None
    assert before[0] not in after
    assert 1 == sum(e.type == STEP and e.task == before[0] for e in events)


def test_a_task_lives_through_a_pause() -> None:
    """It keeps its id, and is no task from before."""
    seen: list[int | None] = []

    async def main() -> None:
        task = asyncio.create_task(work())
        await asyncio.sleep(0)
        seen.append(core.task_id(task))
        outliving.enable(False)
        outliving.enable(True)
        seen.append(core.task_id(task))
        await task

    events = record(main)

    assert seen[0] is not None
    assert seen[0] == seen[1]
    assert [0] == [e.flags for e in events if e.type == SPAWN and e.task == seen[0]]


def test_nothing_is_known_after_a_recording_whose_loop_is_gone() -> None:
    """Whatever its tasks left behind: the next recording begins with none."""
    left: list[asyncio.Task[None]] = []

    async def main() -> None:
        left.append(asyncio.create_task(work()))
        left[0].cancel()

    record(main)

    assert [] == known()


def test_what_is_no_list_is_refused() -> None:
    """Whatever it is: nothing is forgotten then."""
    with pytest.raises(TypeError):
        core.keep_tasks(5)  # type: ignore[arg-type]
