"""Which descriptors the recorder has open, as its document says: programs count theirs."""

from __future__ import annotations

import asyncio
import sys
import threading
from pathlib import Path

import pytest
from tests.recorder.test_recording import start, turned

from tachograph.recorder.core import is_native

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="asks Linux for what is open")


_SCHEDSTAT = "/task/{}/schedstat"


def opened(directory: Path, *, with_thread: bool = False) -> list[str]:
    """Return the files below a directory that are open, and if wanted what tells of this thread.

    Of a ring the memory is mapped, and no descriptor is left.
    """
    found = []
    for entry in list(Path("/proc/self/fd").iterdir()):
        try:
            target = str(entry.readlink())
        except OSError:  # of the listing itself, or of a thread that has just closed it
            continue
        name = Path(target).name
        # What is being compressed is open too, for as long as that takes.
        if target.startswith(f"{directory}/") and (".bin" not in name or name.endswith(".active")):
            found.append(name)
        elif with_thread and target.endswith(_SCHEDSTAT.format(threading.get_native_id())):
            found.append("schedstat")
    return sorted(found)


def test_lock_names_and_the_segment_from_its_first_batch_to_its_end(tmp_path: Path) -> None:
    """A flush opens the segment, sealing closes it; at the end nothing is left."""
    it, _ = start(tmp_path, instrument_asyncio=False)
    assert [".lock", "names"] == opened(tmp_path)
    for number in range(2):
        turned(number)
        it.flush()
        assert [".lock", "names", f"trace.{number}.bin.active"] == opened(tmp_path)
        assert it.dump() is not None
        assert [".lock", "names"] == opened(tmp_path)
    it.close()
    assert [] == opened(tmp_path)


@pytest.mark.skipif(not is_native, reason="the twin does not ask how long threads wait")
@pytest.mark.skipif(not Path("/proc/self/schedstat").exists(), reason="this kernel does not tell")
def test_each_thread_with_a_loop_has_one(tmp_path: Path) -> None:
    """Of the scheduler's numbers; more loops on it need no more."""
    it, _ = start(tmp_path)
    for _ in range(2):
        asyncio.run(asyncio.sleep(0.001))
        it.flush()
    found = opened(tmp_path, with_thread=True)
    it.close()

    assert [".lock", "names", "schedstat", "trace.0.bin.active"] == found
