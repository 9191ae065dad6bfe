"""The hook of the heap comes and goes; what a recording has of it."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.recorder.reading import segments, tell
from tests.recorder.sources.heaps import BLOCK, by_function, f, take

from tachograph import recorder
from tachograph.recorder import RecorderConfig, SourcesConfig
from tachograph.recorder.core import core, is_native
from tachograph.recorder.events import EventBuffer
from tachograph.recorder.sources import heap as module
from tachograph.recorder.sources.heap import Heap
from tachograph.trace.heap import live

pytestmark = pytest.mark.skipif(not is_native, reason="the native core is not built")


# ------------------------------------------------------------------ coming and going


def test_hooks_come_and_go(heap: Callable[..., Heap], waiting: EventBuffer) -> None:
    """What was allocated before is freed after, and the other way round, many times."""
    kept: list[bytearray] = []
    for _ in range(30):
        f(kept, 20)
        source = heap(10_000, live_set=True)
        del kept[::2]
        f(kept, 20)
        assert core.heap_is_seen()
        source.stop()
        assert not core.heap_is_seen()
        del kept[::3]
        waiting.take(10**6)


def test_it_is_started_once(heap: Callable[..., Heap]) -> None:
    """A second start is refused and changes nothing."""
    heap(10_000)
    with pytest.raises(RuntimeError, match="already"):
        core.heap_start(1, 1, False)

    assert core.heap_is_seen()


@pytest.fixture
def traced() -> Iterator[None]:
    """Another's hook, which ends with the test."""
    yield
    tracemalloc.stop()


def test_above_another_hook(heap: Callable[..., Heap], waiting: EventBuffer, traced: None) -> None:
    """Both see all; ours goes first."""
    tracemalloc.start()
    source = heap(1)
    kept: list[bytearray] = []
    f(kept, 10)
    sizes = [event["size"] for event in take(source, waiting)]

    assert 10 == sizes.count(BLOCK)
    assert core.heap_stop()
    assert tracemalloc.get_object_traceback(kept[0]) is not None


def test_below_another_hook(heap: Callable[..., Heap], waiting: EventBuffer, traced: None) -> None:
    """Both see all; ours stays when it ends first, idle, and is used again."""
    source = heap(1, live_set=True)
    tracemalloc.start()
    kept: list[bytearray] = []
    f(kept, 10)
    assert 10 == [event["size"] for event in take(source, waiting)].count(BLOCK)
    assert not core.heap_stop()
    f(kept, 10)
    del kept[::2]
    source = heap(1)
    f(kept, 10)
    assert 10 == [event["size"] for event in take(source, waiting)].count(BLOCK)
    tracemalloc.stop()
    f(kept, 10)

    assert 10 == [event["size"] for event in take(source, waiting)].count(BLOCK)
    assert core.heap_stop()


def test_a_hook_that_is_taken_away_is_told(
    heap: Callable[..., Heap], waiting: EventBuffer, traced: None
) -> None:
    """Who ends below it puts back what was there before both: nothing passes by any more."""
    for times in range(6):
        tracemalloc.start()
        source = heap(1)
        tracemalloc.stop()
        waiting.take(10**6)
        take(source, waiting)
        f([], 10)

        assert 1 == source.counts()["heap_displaced"]
        assert 0 == [event["size"] for event in take(source, waiting)].count(BLOCK)
        core.heap_stop()
        if times == 5:
            break
    source = heap(1)
    f([], 10)
    assert 10 == [event["size"] for event in take(source, waiting)].count(BLOCK)


# ------------------------------------------------------------------ in a recording


def test_a_recording_tells_it(tmp_path: Path) -> None:
    """Events, symbols of their stacks, and the mean in the metadata."""
    config = RecorderConfig(
        directory=tmp_path,
        sources=SourcesConfig(
            memory_profile=True,
            memory_sample_rate_bytes=4_096,
            memory_live_set=True,
            cpu_profile=False,
            blocked_profile=False,
            watchdog=False,
        ),
    )
    kept: list[bytearray] = []
    with recorder.start(config) as recording:
        assert {} == dict(recording.problems)
        home = recording.directory
        f(kept, 400)
        recording.close()  # before anything was on file: the segment begins now
        counts = recording.statistics()
    assert home is not None
    told = tell(segments(home))

    assert ("4096", "true") == tuple(
        told.metadata[f"memory.{key}"] for key in ("sample_rate_bytes", "live_set")
    )
    assert by_function(live(told.sources, 4_096))["f"] == pytest.approx(400 * 7_000, rel=0.1)
    names = {event["symbol_name"] for event in told.sources if event.name == "SymbolTableEntry"}
    assert any(name.endswith("heaps::f") for name in names)
    assert counts["heap_sampled"] > 300
    assert 0 == counts["heap_lost"]


def test_it_is_off_unless_asked_for() -> None:
    """It costs something with each allocation."""
    assert Heap.wanted(SourcesConfig()) is None
    assert Heap.wanted(SourcesConfig(memory_profile=True)) is not None


def test_without_the_native_core_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is no twin in Python: an allocator cannot be written in it."""
    monkeypatch.setattr(module, "is_native", False)
    with pytest.raises(RuntimeError, match="native core"):
        Heap(SourcesConfig(memory_profile=True)).start()


def test_variables_set_it() -> None:
    """On, how often, and whether frees too."""
    config = SourcesConfig.from_env(
        {
            "TACHO_MEMORY_PROFILE_ENABLED": "yes",
            "TACHO_MEMORY_SAMPLE_RATE_BYTES": "65536",
            "TACHO_MEMORY_TRACK_LIVESET": "on",
        }
    )
    default = SourcesConfig()

    assert (True, 65_536, True) == (
        config.memory_profile,
        config.memory_sample_rate_bytes,
        config.memory_live_set,
    )
    assert (False, 524_288, False) == (
        default.memory_profile,
        default.memory_sample_rate_bytes,
        default.memory_live_set,
    )
    assert not SourcesConfig.none().memory_profile
