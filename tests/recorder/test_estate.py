"""What dead processes left is kept within a budget, the oldest first."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.recorder.reading import names_in
from tests.recorder.test_recording import start

from tachograph import recorder
from tachograph.recorder.estate import Estate, service_of
from tachograph.recorder.home import Home
from tachograph.recorder.recover import recover_all
from tachograph.trace import Encoder
from tachograph.trace.compact import CLOCK, METADATA

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there are no file locks here")

KIB = 1024


def segment(path: Path, age: int, service: str = "orders", size: int = 10 * KIB) -> Path:
    """Write a segment of a service that was changed *age* seconds ago."""
    encoder = Encoder()
    encoder.event(CLOCK, 1, 10**18)
    entries = {"service": service, "padding": ""}
    while len(encoder) < size:
        encoder.event(METADATA, 1, entries)
        entries = {"padding": "x" * 500}
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(encoder.take())
    os.utime(path, ns=(0, 10**18 - age * 10**9))
    return path


def left(parent: Path) -> set[str]:
    """The segments that there are, with their directories."""
    return {f"{path.parent.name}/{path.name}" for path in parent.glob("*/trace*")}


def keep(parent: Path, most: int, recovered: frozenset[Path] = frozenset()) -> int:
    """Keep the budget; return how many segments went."""
    estate = Estate(parent, parent / "none", "orders", most, recovered)
    estate.keep()
    return estate.segments_evicted


def test_the_oldest_go_first_across_directories(tmp_path: Path) -> None:
    """Until the others are within the budget; by when they were changed, not by name."""
    for name, age in (("aaaa-1", 50), ("bbbb-2", 90), ("cccc-3", 70)):
        for index in range(2):
            segment(tmp_path / name / f"trace.{index}.bin", age - index)

    assert 0 == keep(tmp_path, 100 * KIB)
    assert 2 == keep(tmp_path, 50 * KIB)
    assert {"aaaa-1/trace.0.bin", "aaaa-1/trace.1.bin", "cccc-3/trace.0.bin",
            "cccc-3/trace.1.bin"} == left(tmp_path)  # fmt: skip
    assert 1 == keep(tmp_path, 40 * KIB)
    assert "cccc-3/trace.0.bin" not in left(tmp_path)


def test_what_was_recovered_just_now_goes_last(tmp_path: Path) -> None:
    """Nobody can have read it; it goes only when it alone is over the budget."""
    old = segment(tmp_path / "aaaa-1" / "trace.0.bin", 900)
    segment(tmp_path / "bbbb-2" / "trace.0.bin", 10)

    assert 1 == keep(tmp_path, 15 * KIB, frozenset({old}))
    assert {"aaaa-1/trace.0.bin"} == left(tmp_path)
    assert 1 == keep(tmp_path, 5 * KIB, frozenset({old}))
    assert set() == left(tmp_path)


def test_other_services_are_neither_counted_nor_touched(tmp_path: Path) -> None:
    """A directory whose service is another one, or cannot be told, is somebody else's."""
    segment(tmp_path / "aaaa-1" / "trace.0.bin", 900, "payments")
    (tmp_path / "bbbb-2").mkdir()
    (tmp_path / "bbbb-2" / "trace.0.bin").write_bytes(b"no trace" * 4000)
    segment(tmp_path / "cccc-3" / "trace.0.bin", 10)

    assert 0 == keep(tmp_path, 15 * KIB)
    assert 1 == keep(tmp_path, 5 * KIB)
    assert {"aaaa-1/trace.0.bin", "bbbb-2/trace.0.bin"} == left(tmp_path)
    assert ["payments", None] == [service_of(tmp_path / n) for n in ("aaaa-1", "bbbb-2")]


def test_living_processes_and_unknown_files_are_left_alone(tmp_path: Path) -> None:
    """A directory that is locked, or that holds an unknown file, stays (recorder.md row 30)."""
    living = Home(tmp_path)
    segment(living.path / "trace.0.bin", 900)
    segment(tmp_path / "aaaa-1" / "trace.0.bin", 900)
    (tmp_path / "aaaa-1" / "notes.txt").write_bytes(b"")
    before = left(tmp_path)

    assert 0 == keep(tmp_path, 1)
    assert before == left(tmp_path)
    living.close()


def test_a_family_goes_as_a_whole_and_an_empty_directory_with_it(tmp_path: Path) -> None:
    """The raw and the compressed file of a number are one thing."""
    for suffix in ("", ".gz"):
        segment(tmp_path / "aaaa-1" / f"trace.0.bin{suffix}", 900)
    (tmp_path / "aaaa-1" / ".lock").write_bytes(b"")

    assert 1 == keep(tmp_path, 15 * KIB)
    assert [] == names_in(tmp_path)


PROGRAM = """
import os, signal, sys
from tachograph import recorder

@recorder.event
def big(n: int, data: bytes) -> None: ...

config = recorder.RecorderConfig(directory=sys.argv[1], service=sys.argv[2])
it = recorder.start(config)
for n in range(8):
    big(n, os.urandom(16_000))
it.flush()
if sys.argv[3] == "killed":
    os.kill(os.getpid(), signal.SIGKILL)
it.close()
"""


def die(parent: Path, how: str, service: str = "tests") -> None:
    """Let a process record some 128 KiB and end."""
    subprocess.run(
        [sys.executable, "-c", PROGRAM, str(parent), service, how], check=False, timeout=60
    )


def test_a_start_recovers_first_and_then_keeps_the_budget(tmp_path: Path) -> None:
    """Of a killed and of an ended process; the living one's own budget is apart from it."""
    die(tmp_path, "ended")
    die(tmp_path, "ended", service="payments")
    die(tmp_path, "killed")
    assert 3 == len(left(tmp_path))
    it, home = start(tmp_path, max_total_bytes=200 * KIB)
    told = it.statistics()
    it.close()

    assert (1, 1) == (told["segments_recovered"], told["dead_segments_evicted"])
    assert told["dead_bytes_evicted"] > 100 * KIB
    services = {service_of(path) for path in tmp_path.iterdir() if path != home}
    assert {"tests", "payments"} == services
    assert 2 == len(left(tmp_path))
    assert all("active" not in name for name in left(tmp_path))


def test_the_dead_can_be_left_alone(tmp_path: Path) -> None:
    """With TACHO_GC_DEAD_NAMESPACES=false nothing is recovered and nothing goes."""
    die(tmp_path, "ended")
    die(tmp_path, "killed")
    before = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*/*")}
    environ = {
        "TACHO_ENABLED": "1",
        "TACHO_TRACE_DIR": str(tmp_path),
        "TACHO_GC_DEAD_NAMESPACES": "false",
    }
    it = recorder.start_from_env(environ, service="tests", max_total_bytes=KIB)
    assert it.is_enabled
    told = it.statistics()
    it.close()

    assert (0, 0) == (told["segments_recovered"], told["dead_segments_evicted"])
    assert before == {path: path.stat().st_mtime_ns for path in tmp_path.glob("*/*")}
    assert 1 == len(recover_all(tmp_path))
