"""`tacho convert`: a trace in the other profile."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from tachograph.cli.main import main
from tachograph.trace import Encoder
from tachograph.trace.compact import raw_step, write_raw
from tachograph.trace.files import read_file
from tachograph.trace.model import Step

STEP = Step(0, 1_000_000, 5000, 700, 2000, 1999, 1, 0)


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    """A trace of one step in the compact profile."""
    encoder = Encoder()
    write_raw(encoder, 0, [raw_step(STEP)])
    path = tmp_path / "trace.0.bin"
    path.write_bytes(encoder.take())
    return path


def test_there_and_back(trace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A trace becomes dial9's and ours again; what was bent is said."""
    middle, last = trace.with_name("dial9.bin.gz"), trace.with_name("again.bin")

    assert 0 == main(["convert", str(trace), str(middle), "--profile", "dial9"])
    said = capsys.readouterr()
    assert 0 == main(["convert", str(middle), str(last), "--profile", "compact"])

    assert f"{middle}: 1 steps, 0 parks, 0 other events, {middle.stat().st_size} bytes" in said.out
    assert "unknown locations: 1" in said.err
    assert b"PollStartEvent" in gzip.decompress(middle.read_bytes())
    assert b"tacho:Steps" in last.read_bytes()
    assert [STEP] == list(read_file(last).steps)


def test_nothing_is_overwritten(trace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The target must be new."""
    before = trace.read_bytes()

    assert 1 == main(["convert", str(trace), str(trace), "--profile", "compact"])
    assert "File exists" in capsys.readouterr().err
    assert before == trace.read_bytes()


def test_no_trace(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file that is no trace, and one that is not there, are errors with their names."""
    path = tmp_path / "x.json"
    path.write_text("{}")

    assert 1 == main(["convert", str(path), "out", "--profile", "dial9"])
    assert "x.json`: Expected a trace" in capsys.readouterr().err
    assert 1 == main(["convert", str(tmp_path / "none"), "out", "--profile", "dial9"])
    assert "Cannot read" in capsys.readouterr().err


def test_a_cut_trace_is_converted_as_far_as_it_goes(
    trace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is before the cut is written, and the cut is told."""
    trace.write_bytes(trace.read_bytes() + b"TRC")
    out = trace.with_name("out.bin")

    assert 0 == main(["convert", str(trace), str(out), "--profile", "compact"])
    assert "Expected a whole frame" in capsys.readouterr().err
    assert 1 == len(read_file(out, strict=True).steps)
