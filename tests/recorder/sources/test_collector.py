"""How long the collector stopped everything, in which step, and what it found."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.recorder.sources.telling import events, record, steps_around

from tachograph import recorder
from tachograph.recorder import RecorderConfig, SourcesConfig
from tachograph.recorder.core import core
from tachograph.recorder.sources.collector import Collector


@pytest.fixture(autouse=True)
def no_automatic_collection() -> Iterator[None]:
    """Collect when the test says so."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def make_cycles(count: int) -> None:
    """Leave objects behind that only the collector can free."""
    for _ in range(count):
        one: list[object] = []
        one.append(one)


def test_a_pause_is_as_long_as_it_was(tmp_path: Path) -> None:
    """Against the clock around it: the nearest of five within 2 % and 100 µs, none longer."""
    truth: list[int] = []

    async def main() -> None:
        await asyncio.sleep(0)
        for _ in range(5):
            make_cycles(100_000)
            begun = time.monotonic_ns()
            gc.collect()
            truth.append(time.monotonic_ns() - begun)

    told = record(tmp_path, main, gc=True)

    found = [e for e in events(told, "tacho:GcPause") if e["collected"] >= 100_000]
    assert 5 == len(found)
    assert all(e["duration_ns"] <= wall for e, wall in zip(found, truth, strict=True))
    missed = [(wall - e["duration_ns"], wall) for e, wall in zip(found, truth, strict=True)]
    assert any(short <= 0.02 * wall + 100_000 for short, wall in missed), missed
    assert all(2 == e["generation"] and 0 == e["uncollectable"] for e in found)
    assert 1 == len({e["task_id"] for e in found})
    for event in found:
        assert 1 == steps_around(told, event)


def test_other_threads_have_no_lane(tmp_path: Path) -> None:
    """A collection stops the loop from wherever it is made."""
    tids: list[int] = []

    def collect() -> None:
        import threading

        tids.append(threading.get_native_id())
        gc.collect(1)

    async def main() -> None:
        await asyncio.to_thread(collect)

    found = events(record(tmp_path, main, gc=True), "tacho:GcPause")

    assert (1, 255, 0) in {(e["generation"], e["worker_id"], e["task_id"]) for e in found}
    assert tids == [e["tid"] for e in found if e["generation"] == 1]


def test_short_ones_of_the_young_are_not_told(tmp_path: Path) -> None:
    """They are too many; one that takes 100 µs or more is told whatever its generation."""

    async def main() -> None:
        gc.collect(0)
        for _ in range(100):
            gc.collect(0)
        make_cycles(50_000)
        gc.collect(0)

    found = events(record(tmp_path, main, gc=True), "tacho:GcPause")

    assert all(e["duration_ns"] >= 100_000 for e in found if e["generation"] == 0)
    assert 50_000 <= max(e["collected"] for e in found)
    assert len(found) < 90


def test_without_the_source_nothing_is_told(tmp_path: Path) -> None:
    """Another source tells nothing of it."""

    async def main() -> None:
        gc.collect()

    assert [] == events(record(tmp_path, main, gil=True), "tacho:GcPause")


def test_the_callbacks_of_the_program_stay(tmp_path: Path) -> None:
    """Ours comes and goes; also when somebody has thrown all out meanwhile."""
    before = list(gc.callbacks)
    config = RecorderConfig(directory=tmp_path, sources=SourcesConfig())
    with recorder.start(config):
        assert [*before, core.collected] == gc.callbacks
        gc.callbacks.remove(core.collected)
    assert before == gc.callbacks


def test_a_forked_child_has_one_callback() -> None:
    """It inherits the parent's, which its own recorder does not add to."""
    before = list(gc.callbacks)
    parents, childs = Collector(), Collector()
    parents.start()
    childs.start()
    during = list(gc.callbacks)
    childs.stop()

    assert [*before, core.collected] == during
    assert before == gc.callbacks


def test_what_is_no_collection_is_left_alone() -> None:
    """A stop without its start, or another's arguments."""
    core.pauses()
    core.collected("stop", {"generation": 2, "collected": 1, "uncollectable": 0})

    assert [] == core.pauses()


def test_more_than_the_memory_holds_are_counted() -> None:
    """1,024 pauses wait for the drain."""
    core.pauses()
    before = core.pauses_dropped()
    info = {"generation": 2, "collected": 1, "uncollectable": 0}
    for _ in range(1_030):
        core.collected("start", info)
        core.collected("stop", info)

    assert 1_024 == len(core.pauses())
    assert 6 == core.pauses_dropped() - before
