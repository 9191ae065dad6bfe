"""A filesystem that is really full: a small one in memory, in a namespace of its own."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.recorder.reading import tell

# Fills the disk while a program is recorded, makes room again, and tells what became of it all.
PROGRAM = """
import asyncio, json, logging, sys
from pathlib import Path
from tachograph import recorder
from tachograph.recorder import segments

disk = Path(sys.argv[1])
said = []
class Hear(logging.Handler):
    def emit(self, record):
        said.append([record.levelname, record.getMessage()])
logging.getLogger("tachograph").addHandler(Hear())
segments._RETRY_NS = 10**13  # not before there is room again

@recorder.event
def turned(n: int) -> None: ...

async def work(turns):
    for n in range(turns):
        await asyncio.sleep(0)
        turned(n)

def counts(it):
    names = ("disk_full_encountered", "write_stopped_no_space", "batches_lost", "events_lost",
             "own_events_lost", "segments_sealed", "rings_in_memory")
    return {name: it.statistics()[name] for name in names}

def sealed(it):
    return sorted(path.name.removesuffix(".gz") for path in it.directory.iterdir()
                  if path.name.startswith("trace") and ".active" not in path.name)

it = recorder.start(recorder.RecorderConfig(directory=disk / "traces", ring_events=1024))
told = {"home": it.directory.name}
asyncio.run(work(200))
it.dump()
it.flush()
told["before"] = counts(it)
told["evidence"] = sealed(it)
ballast = (disk / "ballast").open("wb", buffering=0)
try:
    while True:
        ballast.write(bytes(4096))
except OSError as error:
    told["error"] = error.errno
for _ in range(5):
    asyncio.run(work(500))
    it.flush()
told["full"] = counts(it)
told["kept"] = sealed(it)
ballast.truncate(0)
it._segments._retry_ns = 0
asyncio.run(work(200))
it.flush()
told["after"] = counts(it)
told["in_time"] = it.close()
told["said"] = said
print(json.dumps(told))
"""


def run(disk: Path, out: Path, mebibytes: float) -> dict[str, Any]:
    """Run the program on a small disk; return what it told, its segments being in *out*."""
    if shutil.which("unshare") is None or not sys.platform.startswith("linux"):
        pytest.skip("needs `unshare` of Linux to mount a small filesystem")
    script = (
        'mount -t tmpfs -o "size=$1" none "$2" || exit 77\n"$3" -c "$4" "$2" || exit 1\n'
        'cp -r "$2/traces" "$5"\n'
    )
    size = f"{int(mebibytes * 1024)}k"
    command = ["sh", "-c", script, "sh", size, str(disk), sys.executable, PROGRAM, str(out)]
    done = subprocess.run(
        ["unshare", "--user", "--map-root-user", "--mount", *command],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    if done.returncode == 77 or "unshare" in done.stderr:
        pytest.skip(f"cannot mount here: {done.stderr.strip()}")
    assert (0, "") == (done.returncode, done.stderr)
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def test_a_disk_that_is_really_full(tmp_path: Path) -> None:
    """Sealed evidence is kept, one error, counted; with room again it goes on.

    (recorder.md row 7)
    """
    disk, out = tmp_path / "disk", tmp_path / "out"
    disk.mkdir()
    told = run(disk, out, 1.0)
    found = sorted((out / told["home"]).glob("trace.*.bin*"))
    trace = tell(found)

    assert 28 == told["error"]  # ENOSPC, of the program's own file
    assert 0 == told["before"]["disk_full_encountered"]
    assert 1 == told["full"]["disk_full_encountered"]
    assert told["full"]["write_stopped_no_space"]
    assert told["full"]["events_lost"] > 0
    assert told["full"]["own_events_lost"] > 0
    # Each as it was or compressed; what was being compressed stands beside it in part.
    kept, evidence = (
        {name.partition(".bin")[0] for name in told[key]} for key in ("kept", "evidence")
    )
    assert evidence <= kept
    assert not told["after"]["write_stopped_no_space"]
    assert told["after"]["segments_sealed"] >= told["full"]["segments_sealed"]
    errors = [text for level, text in told["said"] if level == "ERROR"]
    assert 1 == len(errors)
    assert "is full" in errors[0]
    assert told["in_time"]
    numbers = [event["n"] for event in trace.own]
    assert list(range(200)) == numbers[:200]  # what was recorded before the disk was full
    assert list(range(200)) == numbers[-200:]  # and after there was room again


def test_a_disk_without_room_for_a_ring(tmp_path: Path) -> None:
    """The ring lies in memory then, counted: no bus error in a hook (recorder.md row 7)."""
    disk, out = tmp_path / "disk", tmp_path / "out"
    disk.mkdir()
    told = run(disk, out, 0.035)

    assert told["before"]["rings_in_memory"] >= 1
    assert told["in_time"]
