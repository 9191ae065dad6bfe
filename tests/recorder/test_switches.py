"""What parts of the recorder record can be switched off."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests.recorder.programs import CHECKPOINT, PARK, SPAWN, STEP, record
from tests.recorder.reading import segments, tell
from tests.recorder.test_recording import busy, start

from tachograph.recorder.core import core
from tachograph.recorder.recording import hooks


@pytest.fixture(autouse=True)
def options_are_as_before() -> object:
    """Put the core's options back."""
    yield
    core.options(True, 10)


def test_without_instrumentation_only_own_events_are_recorded(tmp_path: Path) -> None:
    """No hook is put into asyncio, no lane is made; spans and events have no task."""
    hooks().uninstall()
    it, home = start(tmp_path, instrument_asyncio=False)
    assert it.is_enabled
    asyncio.run(busy(8))
    it.pause()
    it.enable()
    asyncio.run(busy(8))
    assert not hooks().installed
    it.close()
    told = tell(segments(home))

    assert 16 == len(told.own)
    assert (0, {}, {}) == (told.events, told.steps, told.parks)
    assert "false" == told.metadata["tachograph.asyncio_instrumentation"]


def test_after_a_recording_with_hooks_one_without_records_no_steps(tmp_path: Path) -> None:
    """The hooks stay in the classes, switched off."""
    it, _ = start(tmp_path)
    asyncio.run(busy(8))
    it.close()
    it, home = start(tmp_path, instrument_asyncio=False)
    asyncio.run(busy(8))
    it.close()

    assert 0 == tell(segments(home)).events


def test_without_task_tracking_steps_have_ids_only(tmp_path: Path) -> None:
    """Neither where a task began nor how it ended is recorded; all its steps are."""
    it, home = start(tmp_path, track_tasks=False)
    asyncio.run(busy(400))
    it.close()
    told = tell(segments(home))
    steps = [step for each in told.steps.values() for step in each]

    assert {} == told.spawns
    assert 0 == sum(step.flags & 192 for step in steps)
    assert 404 <= sum(not step.flags & 4 for step in steps)
    assert "false" == told.metadata["tachograph.task_tracking"]


def test_tasks_from_before_are_not_told_either() -> None:
    """Those that are taken up late begin unseen, and untold."""
    core.options(False, 10)

    async def main() -> None:
        core.enable(False)
        task = asyncio.create_task(asyncio.sleep(0))
        core.enable(True)
        await task

    events = record(main)

    assert SPAWN not in {event.type for event in events}
    assert STEP in {event.type for event in events}


@pytest.mark.parametrize(("every", "least", "most"), [(1, 12, 30), (4, 3, 8), (100, 0, 1)])
def test_the_schedulers_numbers_are_read_at_some_parks(every: int, least: int, most: int) -> None:
    """One of so many that are long enough."""
    core.options(True, every)

    async def main() -> None:
        for _ in range(12):
            await asyncio.sleep(0.002)

    events = record(main)
    # A lane that there was before has counted parks already.
    assert len([e for e in events if e.type == PARK]) >= 12
    # So is each step that takes a millisecond, as on a busy machine.
    most += len([e for e in events if e.type == STEP and e.duration > 1_000_000])
    assert least <= len([e for e in events if e.type == CHECKPOINT]) <= most


def test_no_park_of_none(tmp_path: Path) -> None:
    """A rate is at least 1."""
    with pytest.raises(ValueError, match="expected 1 or more parks"):
        core.options(True, 0)
