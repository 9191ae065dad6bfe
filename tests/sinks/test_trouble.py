"""Disks and pipes that fail for a while: injected, so that it runs anywhere."""

from __future__ import annotations

import errno
import json
import logging
import os
import select
import signal
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tachograph._base.ratelimit import reset_once
from tachograph.formats.json import mark_dropped
from tachograph.sinks import Period, QueueSink, Retention, RollingFile, StreamTarget
from tachograph.testing import FakeClock


class Disk:
    """Stands between `os` and the disk: *room* bytes are left, None without limit.

    While `refuses` is an error number, opening for writing and writing fail with it.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.room: int | None = None
        self.refuses = 0
        self._open, self._write = os.open, os.write
        monkeypatch.setattr(os, "open", self.open)
        monkeypatch.setattr(os, "write", self.write)

    def _check(self) -> None:
        if self.refuses and threading.current_thread().name.startswith("tachograph-"):
            raise OSError(self.refuses, os.strerror(self.refuses))

    def open(self, path: str, flags: int, mode: int = 0o777, **options: int) -> int:
        if flags & os.O_WRONLY:
            self._check()
        return self._open(path, flags, mode, **options)

    def write(self, descriptor: int, data: bytes) -> int:
        self._check()
        if self.room is None:
            return self._write(descriptor, data)
        if self.room == 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        written = self._write(descriptor, data[: self.room])
        self.room -= written
        return written


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    """A disk that fails when told."""
    reset_once()
    return Disk(monkeypatch)


def texts(directory: Path) -> list[bytes]:
    """The lines of all files."""
    return b"".join(p.read_bytes() for p in sorted(directory.iterdir())).splitlines(keepends=True)


@pytest.mark.parametrize("error", [errno.EROFS, errno.EACCES])
@pytest.mark.parametrize("rolls", [False, True])
def test_read_only_after_the_start(
    tmp_path: Path, disk: Disk, caplog: pytest.LogCaptureFixture, error: int, *, rolls: bool
) -> None:
    """Neither writing nor a new file goes: lines wait, are counted, and all come later [SK-7]."""
    failed = threading.Event()

    def observe(event: str, value: float) -> None:
        if event == "io_error" and value >= 2:
            failed.set()

    with FakeClock() as time, caplog.at_level(logging.WARNING, "tachograph"):
        target = RollingFile(tmp_path, prefix="m", period=Period.MINUTE)
        sink = QueueSink(target, name="read-only", observer=observe)
        sink.write(b"0\n")
        assert sink.flush()
        disk.refuses = error
        if rolls:
            time.advance(60)
        for n in range(1, 200):
            sink.write(b"%d\n" % n)
        assert failed.wait(10)
        held = sink.statistics()
        disk.refuses = 0
        assert sink.flush(10)
        sink.close()

    assert held.queued == 199
    assert held.written == 1
    assert [b"%d\n" % n for n in range(200)] == texts(tmp_path)
    assert (200, 0) == (sink.statistics().written, sink.statistics().dropped)
    assert len(list(tmp_path.iterdir())) == 1 + rolls
    assert 1 == sum(os.strerror(error) in r.getMessage() for r in caplog.records)


LINE = st.integers(1, 30)
STEP = st.one_of(st.tuples(st.just("room"), st.integers(0, 40)), st.tuples(st.just("write"), LINE))


@settings(max_examples=3 * settings().max_examples // 2)
@given(steps=st.lists(st.tuples(st.integers(0, 1), STEP), max_size=40))
def test_two_writers_on_a_full_disk(steps: list[tuple[int, tuple[str, int]]]) -> None:
    """What each was told is written is there once and whole; torn starts are ended, never glued."""
    with TemporaryDirectory() as scratch, pytest.MonkeyPatch.context() as patch:
        disk = Disk(patch)
        writers = [
            RollingFile(Path(scratch), prefix="m", period=Period.HOUR, retention=Retention())
            for _ in range(2)
        ]
        waiting = [b"", b""]
        lines: list[bytes] = []

        def attempt(who: int) -> None:
            while waiting[who]:
                try:
                    taken = writers[who].write(waiting[who])
                except OSError:
                    return
                waiting[who] = waiting[who][taken:]

        with FakeClock():
            for who, (action, number) in steps:
                if action == "room":
                    disk.room = number
                else:
                    lines.append(b"%d.%d:" % (who, len(lines)) + b"x" * number + b"\n")
                    waiting[who] += lines[-1]
                attempt(who)
            disk.room = None
            for who in (0, 1):
                attempt(who)
                writers[who].close()
        found = Counter(texts(Path(scratch)))

    assert [1] * len(lines) == [found.pop(line) for line in lines]
    assert all(any(line.startswith(torn[:-1]) for line in lines) for torn in found)


def test_a_line_that_lacked_its_newline_only_is_not_doubled(tmp_path: Path, disk: Disk) -> None:
    """Another process ends the torn line, which makes it whole."""
    first = RollingFile(tmp_path, prefix="m", period=Period.HOUR)
    second = RollingFile(tmp_path, prefix="m", period=Period.HOUR)
    disk.room = 5
    assert 5 == first.write(b"first\nmore\n")
    disk.room = None
    assert 7 == second.write(b"second\n")
    rest = b"\nmore\n"
    while rest:
        rest = rest[first.write(rest) :]

    assert [b"first\n", b"second\n", b"more\n"] == texts(tmp_path)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_a_child_forked_in_mid_line_writes_whole_lines(tmp_path: Path, disk: Disk) -> None:
    """The cut line is the parent's: it ends up whole, once, and so does the child's first."""
    target = RollingFile(tmp_path, prefix="m", period=Period.HOUR)
    disk.room = 3
    assert 3 == target.write(b"parent\n")
    disk.room = None
    child = os.fork()
    if not child:
        os._exit(0 if target.write(b"child\n") == 6 else 1)
    state = os.waitpid(child, 0)[1]
    assert 4 == target.write(b"ent\n")

    assert state == 0
    assert [b"par\n", b"child\n", b"parent\n"] == texts(tmp_path)


def test_a_descriptor_that_somebody_closed_is_opened_again(tmp_path: Path) -> None:
    """Daemons close all of them; nothing is written into the file that got the number."""
    target = RollingFile(tmp_path / "telemetry", prefix="m", period=Period.HOUR)
    target.write(b"1\n")
    assert target._descriptor is not None
    number = target._descriptor
    os.close(number)
    other = os.open(tmp_path / "other", os.O_WRONLY | os.O_CREAT)
    assert other == number
    target.write(b"2\n")
    target.close()
    os.write(other, b"mine")
    os.close(other)

    assert [b"1\n", b"2\n"] == texts(tmp_path / "telemetry")
    assert b"mine" == (tmp_path / "other").read_bytes()


@settings(max_examples=3 * settings().max_examples // 5)
@given(st.lists(st.integers(-7_200, 7_200), max_size=30))
def test_a_clock_that_jumps(steps: list[int]) -> None:
    """Nothing is torn, lost, doubled or overwritten, and each file keeps the order."""
    with TemporaryDirectory() as scratch, FakeClock() as time:
        target = RollingFile(Path(scratch), prefix="m", period=Period.MINUTE)
        for number, step in enumerate(steps):
            target.write(b"%d\n" % number)
            time.advance(step)
        target.close()
        files = [list(map(int, p.read_text().split())) for p in Path(scratch).iterdir()]

    assert list(range(len(steps))) == sorted(number for file in files for number in file)
    assert all(file == sorted(file) for file in files)


def test_retention_keeps_what_is_fresh_when_the_clock_jumped(tmp_path: Path) -> None:
    """Set forth by an hour and back: names of the wrong hour do not outlive later files."""
    with FakeClock() as time:
        target = RollingFile(
            tmp_path, prefix="m", period=Period.MINUTE, retention=Retention(max_files=3)
        )
        kept = []
        for number, step in enumerate([60, 3_600, 60, 60, -3_600, 60, 60, 60, 0]):
            target.write(b"%d\n" % number)
            kept.append(texts(tmp_path))
            time.advance(step)
        target.close()

    assert [b"2\n", b"3\n", b"4\n"] == sorted(kept[4])
    assert [b"3\n", b"4\n", b"5\n"] == sorted(kept[5])
    assert [b"6\n", b"7\n", b"8\n"] == sorted(kept[-1])


def test_a_slow_reader_makes_nobody_wait() -> None:
    """Lines are dropped oldest first; what arrives and what it tells of is all there was [SK-6]."""
    reader, writer = os.pipe()
    sink = QueueSink(StreamTarget(writer), name="slow", max_lines=100, mark_dropped=mark_dropped)
    arrived = bytearray()
    for n in range(20_000):
        sink.write(b'{"n":%d,"text":"%s"}\n' % (n, b"x" * 80))
        if n % 1_000 == 999:
            arrived += os.read(reader, 4_096)
    closer = threading.Thread(target=sink.close, args=(20.0,))
    closer.start()
    while closer.is_alive() or select.select([reader], [], [], 0)[0]:
        if select.select([reader], [], [], 0.01)[0]:
            arrived += os.read(reader, 65_536)
    closer.join()
    os.close(reader)
    os.close(writer)
    found = sink.statistics()
    records = [json.loads(line) for line in arrived.splitlines()]
    numbers = [record["n"] for record in records]

    assert found.written == len(records)
    assert found.dropped == found.queue_dropped > 0
    assert 20_000 == found.written + found.dropped
    assert found.dropped == sum(record.get("_dropped", 0) for record in records)
    assert sorted(set(numbers)) == numbers
    assert 19_999 == numbers[-1]


def test_a_flush_that_ran_out_of_time_leaves_nothing_behind() -> None:
    """A service that flushes all day into a stuck pipe keeps its memory."""
    reader, writer = os.pipe()
    filler = StreamTarget(writer)
    while filler.write(b"x" * 4_096):
        pass
    sink = QueueSink(StreamTarget(writer), name="stuck")
    sink.write(b"line\n")
    answers = [sink.flush(0.001) for _ in range(5)]
    left = len(sink._writer._waiters)
    thread = sink._writer._thread
    assert thread is not None
    sink.close(0.0)
    thread.join(30)  # its last try is over: the descriptor's number may be another's now
    os.close(reader)
    os.close(writer)

    assert [False] * 5 == answers
    assert 0 == left


SHARED = """
import os, sys
from tachograph.sinks import QueueSink, StreamTarget
sink = QueueSink(StreamTarget(1), name="shared")
for number in range(2_000):
    sink.write(b"%s:%d:%s\\n" % (sys.argv[1].encode(), number, b"x" * (number % 3_000)))
sys.exit(not sink.close(30))
"""


@pytest.mark.slow
def test_processes_on_one_pipe_do_not_mix_their_lines() -> None:
    """Lines that a pipe takes at once (4 KiB on Linux) arrive whole, whoever else writes."""
    reader, writer = os.pipe()
    started = [
        subprocess.Popen([sys.executable, "-c", SHARED, name], stdout=writer) for name in "abc"
    ]
    os.close(writer)
    with os.fdopen(reader, "rb") as stream:
        lines = stream.read().splitlines()
    codes = [process.wait(30) for process in started]
    expected = {f"{name}:{n}:{'x' * (n % 3_000)}".encode() for name in "abc" for n in range(2_000)}

    assert [0, 0, 0] == codes
    assert 6_000 == len(lines)
    assert expected == set(lines)


TORN = """
import os, signal, sys
from pathlib import Path
from tachograph.sinks import Period, RollingFile
target = RollingFile(Path(sys.argv[1]), prefix="m", period=Period.HOUR)
write = os.write
os.write = lambda descriptor, data: write(descriptor, data[:-5])
target.write(b"whole\\ntorn line\\n")
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.slow
def test_a_process_that_died_in_mid_line_is_followed_by_another(tmp_path: Path) -> None:
    """Its torn line is ended; the next process's first line does not stick to it."""
    done = subprocess.run([sys.executable, "-c", TORN, tmp_path], timeout=30, check=False)
    sink = QueueSink(RollingFile(tmp_path, prefix="m", period=Period.HOUR), name="next")
    sink.write(b"fresh\n")
    closed = sink.close()

    assert -signal.SIGKILL == done.returncode
    assert closed
    assert [b"whole\n", b"torn \n", b"fresh\n"] == texts(tmp_path)


def test_where_no_thread_can_be_had_flush_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The interpreter is ending, or is a subinterpreter without daemon threads: nothing raises."""

    def refuse(**options: object) -> None:
        raise RuntimeError("daemon threads are disabled in this (sub)interpreter")

    sink = QueueSink(RollingFile(tmp_path, prefix="m", period=Period.HOUR), name="threadless")
    monkeypatch.setattr(threading, "Thread", refuse)
    sink.write(b"1\n")
    sink.write(b"2\n")
    before = texts(tmp_path)
    flushed = sink.flush()
    after = texts(tmp_path)
    sink.write(b"3\n")
    closed = sink.close()

    assert (True, True) == (flushed, closed)
    assert [] == before
    assert [b"1\n", b"2\n"] == after
    assert [b"1\n", b"2\n", b"3\n"] == texts(tmp_path)
