"""Trace files under their names, and what is left of them."""

from __future__ import annotations

import gzip
import os
from collections import Counter
from pathlib import Path

import pytest

from tachograph.errors import TraceFormatError
from tachograph.trace import Decoder, Encoder
from tachograph.trace.compact import CLOCK, raw_step, write_raw
from tachograph.trace.files import read_bytes, read_file, read_pieces
from tachograph.trace.model import Anchor, Step
from tachograph.trace.schema import HEADER

from .service_load import service_load, write_load
from .vectors import WORKED

CENSUS = Counter(
    headers=14, schemas=94, string_pools=10_509, stack_pools=293, resets=7678, events=210_639
)
EVENTS = {
    "PollStartEvent": 36_801,
    "WakeEventEvent": 35_552,
    "CpuSampleEvent": 6949,
    "TaskDumpEvent": 12_952,
    "SymbolTableEntry": 992,
}


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("trace.0.bin", WORKED),
        ("trace.0.bin.active", WORKED),
        ("trace.0.bin.gz", gzip.compress(WORKED)),
        ("trace.0.bin", gzip.compress(WORKED)),
        ("several.bin.gz", gzip.compress(WORKED[:300]) + gzip.compress(WORKED[300:])),
        ("padded.bin.gz", gzip.compress(WORKED) + bytes(512)),
    ],
    ids=["bin", "active", "gz", "gz-named-bin", "members", "padded"],
)
def test_a_file_is_what_its_bytes_say(tmp_path: Path, name: str, data: bytes) -> None:
    """Plain or compressed, of one member or several, under any name [format 9]."""
    path = tmp_path / name
    path.write_bytes(data)
    trace = read_file(path, strict=True)

    assert WORKED == read_bytes(path)
    assert [(30_000_000, 10_000)] == [(s.duration_ns, s.delay_ns) for s in trace.steps]
    assert (False, False, []) == (trace.truncated, trace.corrupt, trace.problems)


def test_a_gzip_file_cut_anywhere(tmp_path: Path) -> None:
    """What is before the cut is read, and the trace is marked; strict raises."""
    data = gzip.compress(write_load(service_load(20)))
    whole = Decoder().read(gzip.decompress(data))
    path = tmp_path / "trace.bin.gz"
    steps = []
    for size in range(200, len(data), len(data) // 20):
        path.write_bytes(data[:size])
        try:
            trace = read_file(path)
        except TraceFormatError:
            continue  # not even a header
        steps.append(len(trace.steps))
        assert trace.truncated
        assert trace.problems
        with pytest.raises(TraceFormatError):
            read_file(path, strict=True)

    assert sorted(steps) == steps
    assert len(steps) > 15
    assert len(whole) > 0


def test_damaged_gzip(tmp_path: Path) -> None:
    """Damage within is a cut as well, and what follows a member must be one."""
    path = tmp_path / "trace.bin.gz"
    path.write_bytes(gzip.compress(WORKED) + b"no member")
    trace = read_file(path)

    assert (1, True) == (len(trace.steps), trace.truncated)
    assert WORKED == read_bytes(path)


def test_a_bomb_is_given_in_pieces(tmp_path: Path) -> None:
    """A small file that is huge inside is never in memory at once."""
    path = tmp_path / "bomb.gz"
    path.write_bytes(gzip.compress(bytes(20 << 20)))

    assert {True} == {len(piece) <= 1 << 20 for piece in read_pieces(path)}


def test_no_trace(tmp_path: Path) -> None:
    """Another file, an empty one and none are errors that say so."""
    for data in (b"", b"{}\n", gzip.compress(b"")):
        path = tmp_path / "file"
        path.write_bytes(data)
        with pytest.raises(TraceFormatError, match="Expected a trace"):
            read_file(path)
    with pytest.raises(FileNotFoundError):
        read_file(tmp_path / "none")


@pytest.fixture(scope="module")
def demo(reference_data: Path) -> Path:
    """The demo trace of dial9; skips where it is not there."""
    path = reference_data / "data" / "dial9-demo-trace.bin"
    if not path.is_file():
        pytest.skip(f"there is no {path}")
    return path


@pytest.mark.slow
def test_census_of_dial9s_demo(demo: Path) -> None:
    """Each frame and event of a file that dial9 wrote is there, strictly read [format 15.6]."""
    data = read_bytes(demo)
    decoder = Decoder(strict=True)
    found = Counter(event.name for event in decoder.read(data))

    assert 4_047_237 == len(data)
    assert CENSUS == decoder.frames
    assert {name: found[name] for name in EVENTS} == EVENTS


@pytest.mark.slow
def test_model_of_dial9s_demo(demo: Path) -> None:
    """Two lanes of 4711.4 ms, 262 spawns, four steps longer than 1 ms [analysis 3]."""
    trace = read_file(demo)
    first = min(*trace.steps.start_ns, *trace.parks.start_ns, *trace.wakes.time_ns)
    tables = (trace.steps, trace.parks)
    last = max(a + b for t in tables for a, b in zip(t.start_ns, t.duration_ns, strict=True))
    long = sorted((d / 1e6 for d in trace.steps.duration_ns if d > 1_000_000), reverse=True)
    spawned = [task for task in trace.tasks.values() if task.spawn_ns is not None]

    assert {0, 1} == set(trace.steps.lane)
    assert "4711.4" == f"{(last - first) / 1e6:.1f}"
    assert ["50.28", "47.67", "38.92", "5.72"] == [f"{ms:.2f}" for ms in long]
    assert (36_801, 6304, 35_552, 6949, 12_952, 262) == (
        *(len(trace.steps), len(trace.parks), len(trace.wakes)),
        *(len(trace.samples), len(trace.dumps), len(spawned)),
    )


@pytest.mark.parametrize("packed", [False, True], ids=["raw", "gzip"])
def test_without_a_clock_the_files_own_time_stands_in(tmp_path: Path, packed: bool) -> None:
    """No anchor: the newest event was when the file last changed, flagged (recorder.md row 23)."""
    encoder = Encoder()
    write_raw(encoder, 0, [raw_step(Step(0, 5_000, 300, 0, 1_024, 0, 0, 0))])
    path = tmp_path / "trace.0.bin"
    path.write_bytes(gzip.compress(encoder.take()) if packed else encoder.take())
    os.utime(path, ns=(1, 1_700_000_000_000_000_000))
    trace = read_file(path)

    assert [Anchor(5_300, 1_700_000_000_000_000_000)] == trace.anchors
    assert trace.anchor_guessed


def test_a_told_clock_is_not_guessed(tmp_path: Path) -> None:
    """Nor is one guessed for a file in which nothing has a time."""
    encoder = Encoder()
    encoder.event(CLOCK, 1_000, 10**18)
    path = tmp_path / "trace.0.bin"
    path.write_bytes(encoder.take())
    trace = read_file(path)
    assert ([Anchor(1_000, 10**18)], False) == (trace.anchors, trace.anchor_guessed)

    path.write_bytes(HEADER)
    assert ([], False) == (read_file(path).anchors, read_file(path).anchor_guessed)
