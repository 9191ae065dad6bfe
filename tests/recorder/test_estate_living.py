"""The budget of what dead processes left, kept by those that live, several of them at once."""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.recorder.test_estate import KIB, die, left, segment
from tests.recorder.test_recording import start

from tachograph import recorder
from tachograph.recorder import estate, recover
from tachograph.recorder.estate import Estate
from tachograph.recorder.home import Home, alone_in, dead_homes, is_dead
from tachograph.recorder.recover import recover_all


@recorder.event
def came(data: bytes) -> None:
    """Something of a known size."""


def wait_until(is_so: Callable[[], bool]) -> None:
    """Wait, a minute at most."""
    until = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < until
        time.sleep(0.01)


LIVES = """
import os, sys
from tachograph import recorder

@recorder.event
def big(n: int, data: bytes) -> None: ...

config = recorder.RecorderConfig(
    directory=sys.argv[1], service="tests", max_total_bytes=200 * 1024
)
with recorder.start(config) as it:
    sys.stdin.readline()
    for n in range(8):
        big(n, os.urandom(16_000))
    it.dump()
    print(it.directory, flush=True)
    sys.stdin.readline()
    it.dump()
    while sys.stdin.readline():
        print(it.statistics()["dead_segments_evicted"], flush=True)
"""


@contextmanager
def living(parent: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that records until it is told to end."""
    with subprocess.Popen(
        [sys.executable, "-c", LIVES, str(parent)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def say(process: subprocess.Popen[str]) -> None:
    """Tell a process to go on."""
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def hear(process: subprocess.Popen[str]) -> str:
    """Return the next line of a process."""
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_living_processes_keep_what_others_leave_meanwhile(tmp_path: Path) -> None:
    """Five die beside three that live; each sealed segment is an occasion to look."""
    with living(tmp_path) as one, living(tmp_path) as other:
        it, home = start(tmp_path, max_total_bytes=200 * KIB)
        for process in (one, other):
            say(process)
        homes = {hear(process) for process in (one, other)} | {str(home)}
        for how in ("ended", "ended", "ended", "ended", "killed"):
            die(tmp_path, how)
        assert 0 == it.statistics()["dead_segments_evicted"]

        say(one)
        say(other)
        came(b"something to seal")
        it.dump()
        kept = {path for path in tmp_path.iterdir() if str(path) not in homes}

        def evicted() -> int:
            for process in (one, other):
                say(process)
            theirs = [int(hear(process)) for process in (one, other)]
            return sum(theirs) + int(it.statistics()["dead_segments_evicted"])

        # What was not recovered stays, and counts; none of the others has room beside it.
        wait_until(lambda: evicted() >= 4)
        assert all(any(Path(path).glob("trace.*")) for path in homes)
        it.dump()
        assert 4 == evicted()
        it.close()

    (unread,) = (path for path in kept if path.exists())
    assert any(path.name.endswith(".active") for path in unread.iterdir())
    assert unread / "trace.0.bin" in recover_all(tmp_path)


def test_several_at_once_take_no_more_than_one(tmp_path: Path) -> None:
    """Whoever is second leaves it to the first; together they delete what one would have."""
    for n in range(20):
        for index in range(3):
            segment(tmp_path / f"aaaa-{n}" / f"trace.{index}.bin", 900 - 3 * n - index, size=KIB)
    size = sum(path.stat().st_size for path in tmp_path.glob("*/trace*"))
    estates = [Estate(tmp_path, tmp_path / "none", "orders", size // 2) for _ in range(4)]
    together = threading.Barrier(4)

    def keep(one: Estate) -> None:
        together.wait(10)
        for _ in range(10):
            one.keep()

    threads = [threading.Thread(target=keep, args=(one,)) for one in estates]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert 30 == len(left(tmp_path)) == sum(one.segments_evicted for one in estates)
    assert {f"aaaa-{n}" for n in range(10, 20)} == {path.name for path in tmp_path.iterdir()}


def test_what_a_start_will_recover_stays(tmp_path: Path) -> None:
    """The active segment, and the newest beside a ring; older ones go."""
    home = tmp_path / "aaaa-1"
    for name in ("trace.0.bin", "trace.1.bin", "trace.2.bin.active"):
        segment(home / name, 900)
    beside = tmp_path / "bbbb-2"
    for name in ("trace.0.bin", "trace.1.bin"):
        segment(beside / name, 900)
    (beside / "ring.0-1").write_bytes(b"ring")
    one = Estate(tmp_path, tmp_path / "none", "orders", 1)

    one.keep()

    assert {"aaaa-1/trace.2.bin.active", "bbbb-2/trace.1.bin"} == left(tmp_path)
    assert 3 == one.segments_evicted


def test_a_look_where_nothing_changed_reads_no_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of dead processes stay as they are; one that did change is read again."""
    for n in range(3):
        segment(tmp_path / f"aaaa-{n}" / "trace.0.bin", 900)
        os.utime(tmp_path / f"aaaa-{n}", ns=(0, 10**18))
    alive = Home(tmp_path)
    read: list[str] = []
    stock = estate._families

    def watched(directory: Path) -> Any:
        read.append(directory.name)
        return stock(directory)

    monkeypatch.setattr(estate, "_families", watched)
    one = Estate(tmp_path, tmp_path / "none", "orders", 100 * KIB)
    one.keep()
    assert ["aaaa-0", "aaaa-1", "aaaa-2"] == sorted(read)
    one.keep()
    assert 3 == len(read)
    segment(tmp_path / "aaaa-1" / "trace.1.bin", 800)  # now, so it is not known whether more comes
    for _ in range(2):
        one.keep()
    assert ["aaaa-1", "aaaa-1"] == read[3:]
    shutil.rmtree(tmp_path / "aaaa-2")
    one.keep()
    assert {"aaaa-1"} == set(read[3:])
    alive.close()


def test_it_never_raises(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A parent that is gone is told once a minute; a directory that goes meanwhile is no matter."""
    one = Estate(tmp_path / "gone", tmp_path / "none", "orders", 1)
    with caplog.at_level(logging.WARNING, "tachograph"):
        one.keep()
        one.keep()
    assert 1 == len(caplog.messages)
    assert "Cannot keep dead processes' segments" in caplog.messages[0]

    segment(tmp_path / "aaaa-1" / "trace.0.bin", 900)
    monkeypatch.setattr(estate, "lock_dead", lambda _: None)
    other = Estate(tmp_path, tmp_path / "none", "orders", 1)
    other.keep()
    assert 0 == other.segments_evicted
    assert 1 == len(caplog.messages)


def test_asking_whether_one_is_dead_takes_nothing(tmp_path: Path) -> None:
    """The same answer as locking gives, several may ask, and no file is made."""
    alive = Home(tmp_path)
    ended = segment(tmp_path / "aaaa-1" / "trace.0.bin", 900).parent
    killed = segment(tmp_path / "bbbb-2" / "trace.0.bin", 900).parent
    (killed / ".lock").write_bytes(b"")
    strange = segment(tmp_path / "cccc-3" / "trace.0.bin", 900).parent
    (strange / "notes.txt").write_bytes(b"")
    (tmp_path / "dddd-4").mkdir()

    answers = {path.name: is_dead(path) for path in tmp_path.iterdir()}
    assert {"aaaa-1", "bbbb-2"} == {name for name, dead in answers.items() if dead}
    assert ["trace.0.bin"] == os.listdir(ended)  # noqa: PTH208
    with (killed / ".lock").open() as asked:
        fcntl.flock(asked, fcntl.LOCK_SH | fcntl.LOCK_NB)
        assert is_dead(killed)
        fcntl.flock(asked, fcntl.LOCK_EX | fcntl.LOCK_NB)
        assert not is_dead(killed)
    assert ["aaaa-1", "bbbb-2"] == [each.path.name for each in dead_homes(tmp_path, None)]
    alive.close()


def test_one_looks_at_a_time(tmp_path: Path) -> None:
    """Also when a child was forked in the midst of it, which has the file of the lock, too."""
    with alone_in(tmp_path) as first, alone_in(tmp_path) as second:
        assert (True, False) == (first, second)
        go_on = os.pipe()
        child = os.fork()
        if child == 0:  # the parent's end of the pipe is all that it waits for
            os.close(go_on[1])
            os._exit(len(os.read(go_on[0], 1)))
    try:
        with alone_in(tmp_path) as again:
            assert again
    finally:
        os.close(go_on[0])
        os.close(go_on[1])
        assert os.waitpid(child, 0)[1] == 0


def test_a_start_tries_again_what_somebody_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A look holds a lock for a moment; who is to be recovered is not left for the next start."""
    for name in ("aaaa-1", "bbbb-2"):
        segment(tmp_path / name / "trace.0.bin.active", 900)
        (tmp_path / name / ".lock").write_bytes(b"")
    looks = (tmp_path / "aaaa-1" / ".lock").open()
    fcntl.flock(looks, fcntl.LOCK_SH)
    done: list[str] = []
    stock = recover.recover

    def recovered(dead: Any) -> list[Path]:
        looks.close()
        done.append(dead.path.name)
        return stock(dead)

    monkeypatch.setattr(recover, "recover", recovered)

    assert 2 == len(recover_all(tmp_path))
    assert ["bbbb-2", "aaaa-1"] == done
