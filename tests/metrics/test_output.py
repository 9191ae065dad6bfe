"""Destinations: a format, a sink, and what one tells the other."""

from __future__ import annotations

import json
import threading

import pytest

import tachograph as tg
from tachograph.formats.json import FlatJson
from tachograph.metrics import Destination, attach, detach
from tachograph.sinks import QueueSink, Tee


class Job(tg.WideEvent):
    number: int = 0


class Gated:
    """A target that holds the first write until it is opened."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.gate = threading.Event()
        self.data = b""

    def write(self, block: bytes) -> int:
        self.entered.set()
        self.gate.wait(10)
        self.data += block
        return len(block)

    def flush(self) -> None: ...

    def close(self) -> None: ...


def own_way(line: bytes, lost: int) -> bytes:
    """Another way to tell lost lines."""
    return b'{"own":%d}\n' % lost


@pytest.mark.parametrize("in_tee", [False, True])
@pytest.mark.parametrize(("mark", "key"), [(None, "_dropped"), (own_way, "own")])
def test_a_queue_tells_lost_lines_as_its_format_does(in_tee: bool, mark: None, key: str) -> None:
    """Without being told how; a way of its own stays."""
    target = Gated()
    sink = QueueSink(target, name="test", max_lines=2, mark_dropped=mark)
    attach([Destination(FlatJson(), Tee(sink) if in_tee else sink)])
    try:
        Job().emit()
        assert target.entered.wait(10)
        for number in range(1, 6):
            Job(number=number).emit()
        target.gate.set()
        assert sink.flush()
    finally:
        detach()
        target.gate.set()
        sink.close()
    found = [json.loads(line) for line in target.data.splitlines()]

    assert [None, 3, None] == [line.get(key) for line in found]


def test_a_destination_counts_what_its_parts_count() -> None:
    """A sink or a format that counts nothing is no error."""

    class Silent:
        def write(self, line: bytes, /) -> None: ...

        def flush(self, timeout: float = 5.0) -> bool:
            return True

        def close(self, timeout: float = 5.0) -> bool:
            return True

    counts = Destination(FlatJson(), Silent()).counts()

    assert {"encode_errors": 0, "oversize": 0}.items() <= counts.items()
    assert "dropped" not in counts
