"""Segments rewritten in the dial9 profile."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.trace.blocks import Born, write_born, write_living, write_steps
from tests.trace.checklist import check

from tachograph.errors import TraceFormatError
from tachograph.recorder.dial9 import dial9_pieces
from tachograph.recorder.pipeline import Pipeline
from tachograph.trace import Encoder
from tachograph.trace.compact import METADATA
from tachograph.trace.files import read_bytes
from tachograph.trace.model import Step, StepFlag

T = 1_000_000_000_000
STEP = Step(0, T, 5000, 700, 2000, 1999, 1, 0)
BORN = Born(0, T - 900, 2000, 0, "app.py:1 app.f")


def segment(
    directory: Path,
    name: str,
    steps: list[Step],
    born: list[Born],
    before: list[Born] | None = None,
) -> Path:
    """Return a sealed segment."""
    encoder = Encoder()
    encoder.event(METADATA, T, {"service": "demo"})
    write_living(encoder, before or [])
    write_born(encoder, born)
    write_steps(encoder, steps)
    path = directory / name
    path.write_bytes(encoder.take())
    return path


def places(data: bytes) -> list[str]:
    """Return the spawn locations of steps; checks the rules."""
    report = check(data)
    assert [] == report.broken
    return [event.values["spawn_loc"] for event in report.named("PollStartEvent")]


def test_tasks_of_earlier_segments_keep_their_places(tmp_path: Path) -> None:
    """A living task is told in each segment's head: its place is known, its spawn not repeated."""
    more = [STEP, STEP._replace(start_ns=T + 9000, flags=StepFlag.RETURNED)]
    first = b"".join(dial9_pieces(segment(tmp_path, "trace.0.bin", [STEP], [BORN])))
    second = b"".join(dial9_pieces(segment(tmp_path, "trace.1.bin", more, [], [BORN])))
    third = b"".join(dial9_pieces(segment(tmp_path, "trace.2.bin", [STEP], [])))

    assert ["app.py:1 app.f"] == places(first)
    assert 1 == len(check(first).named("TaskSpawnEvent"))
    assert ["app.py:1 app.f"] * 2 == places(second)
    assert 0 == len(check(second).named("TaskSpawnEvent"))
    assert ["unknown"] == places(third)


def test_a_segment_with_nothing_to_show_stays_as_it_is(tmp_path: Path) -> None:
    """dial9 shows nothing without a step, park or wake; the metadata is kept in our profile."""
    path = segment(tmp_path, "trace.0.bin", [], [])

    assert path.read_bytes() == b"".join(dial9_pieces(path))


def test_what_is_no_trace_is_not_replaced(tmp_path: Path) -> None:
    """A file that cannot be read raises, so the pipeline leaves it and counts it."""
    path = tmp_path / "trace.0.bin"
    path.write_bytes(b"no trace")
    with pytest.raises(TraceFormatError):
        list(dial9_pieces(path))
    pipeline = Pipeline(dial9_pieces)
    pipeline.put(path)

    assert pipeline.close(60)
    assert (1, b"no trace") == (pipeline.statistics.failed, path.read_bytes())
    assert [path] == list(tmp_path.iterdir())


def test_the_pipeline_compresses_what_is_given(tmp_path: Path) -> None:
    """The segment is replaced by its other profile, compressed."""
    path = segment(tmp_path, "trace.0.bin", [STEP], [BORN])
    size = path.stat().st_size
    pipeline = Pipeline(dial9_pieces)
    pipeline.put(path)

    assert pipeline.close(60)
    assert (1, size) == (pipeline.statistics.processed, pipeline.statistics.uncompressed_bytes)
    assert ["app.py:1 app.f"] == places(read_bytes(tmp_path / "trace.0.bin.gz"))
    assert not path.exists()
