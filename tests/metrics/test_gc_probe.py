"""Collections of the process, counted by the collector's own callbacks."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from tachograph.metrics.gc_probe import GcProbe


class Loop:
    """An object that only the collector frees."""

    def __init__(self) -> None:
        self.me = self


@pytest.fixture
def quiet() -> Iterator[None]:
    """No collection but those of the test."""
    gc.disable()
    gc.collect()
    yield
    gc.enable()


def test_collections_and_pauses_are_counted(quiet: None) -> None:
    """By generation, since the last sample; without a collection there is no longest pause."""
    probe = GcProbe()
    probe.install()
    loops = [Loop() for _ in range(3)]
    del loops
    gc.collect()
    gc.collect(0)
    first, second = probe.sample(), probe.sample()
    probe.remove()

    assert (1, 1) == (first["gc_collections_gen0"], first["gc_collections_gen2"])
    assert first["gc_collected"] >= 3
    assert 0 < first["gc_pause_max_ms"] <= first["gc_pause_ms"]
    assert (0, 0, 0) == (
        second["gc_collections_gen0"],
        second["gc_collected"],
        second["gc_pause_ms"],
    )
    assert "gc_pause_max_ms" not in second


def test_the_collectors_list_is_as_before() -> None:
    """Removed once or twice, only ours is gone [RT-5]."""
    before = list(gc.callbacks)
    probe = GcProbe()
    probe.install()
    during = len(gc.callbacks)
    probe.remove()
    probe.remove()

    assert len(before) + 1 == during
    assert before == gc.callbacks


def test_an_end_without_its_begin_counts_no_pause() -> None:
    """A collection that was running when we came is counted, its length is unknown."""
    probe = GcProbe()
    probe._note("stop", {"generation": 1, "collected": 2})
    found = probe.sample()

    assert (1, 2, 0) == (
        found["gc_collections_gen1"],
        found["gc_collected"],
        found["gc_pause_ms"],
    )
