"""What tests of the heap share."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tachograph.recorder import SourcesConfig
from tachograph.recorder.core import core
from tachograph.recorder.events import EventBuffer
from tachograph.recorder.sources.heap import Heap


@pytest.fixture
def heap(waiting: EventBuffer) -> Iterator[Callable[..., Heap]]:
    """Starts the source; ends it with the test."""
    started: list[Heap] = []

    def start(rate: int, *, live_set: bool = False, seed: int = 5) -> Heap:
        config = SourcesConfig(
            memory_profile=True, memory_sample_rate_bytes=rate, memory_live_set=live_set
        )
        source = Heap(config, seed)
        source.start()
        started.append(source)
        return source

    yield start
    core.heap_stop()
