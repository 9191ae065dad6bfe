"""The bounded queue in front of a target."""

from __future__ import annotations

import asyncio
import errno
import gc
import json
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tachograph._base.ratelimit import reset_once
from tachograph.formats.json import mark_dropped
from tachograph.sinks import Period, QueueSink, RollingFile, SinkStatistics, StreamTarget


class ListTarget:
    """Keeps what it is given; a function may fail, shorten or hold each write."""

    def __init__(self, act: Callable[[bytes], int] | None = None) -> None:
        self.data = bytearray()
        self.closed = False
        self._act = act

    def write(self, block: bytes) -> int:
        taken = len(block) if self._act is None else self._act(block)
        self.data += block[:taken]
        return taken

    def flush(self) -> None:
        """Nothing waits."""

    def close(self) -> None:
        self.closed = True

    @property
    def lines(self) -> list[bytes]:
        return bytes(self.data).splitlines(keepends=True)


class Gate:
    """Holds a target's writes until it is opened."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self._open = threading.Event()

    def __call__(self, block: bytes) -> int:
        self.entered.set()
        self._open.wait(10)
        return len(block)

    def open(self) -> None:
        self._open.set()


@pytest.fixture
def made() -> Iterator[Callable[..., QueueSink]]:
    """Return a function that makes sinks; all are closed afterwards."""
    sinks: list[QueueSink] = []
    reset_once()

    def make(target: object, **options: object) -> QueueSink:
        sink = QueueSink(target, name="test", **options)  # type: ignore[arg-type]
        sinks.append(sink)
        return sink

    yield make
    for sink in sinks:
        sink.close(0.5)


def line(number: int) -> bytes:
    """A line that can be told from others."""
    return b'{"n":%d}\n' % number


def balanced(found: SinkStatistics) -> bool:
    """Whether every line is accounted for."""
    return found.accepted == found.written + found.dropped + found.queued


def test_lines_arrive_whole_and_in_order(made: Callable[..., QueueSink]) -> None:
    """What is flushed is in the target."""
    target = ListTarget()
    sink = made(target)
    for n in range(1_000):
        sink.write(line(n))

    assert sink.flush()
    assert [line(n) for n in range(1_000)] == target.lines
    assert sink.statistics().written == 1_000


def test_the_oldest_lines_go_when_the_queue_is_full(made: Callable[..., QueueSink]) -> None:
    """The loss is counted exactly and told on the next line [SK-6]."""
    gate = Gate()
    target = ListTarget(gate)
    sink = made(target, max_lines=10, mark_dropped=mark_dropped)
    sink.write(line(0))
    gate.entered.wait(5)
    for n in range(1, 31):
        sink.write(line(n))
    held = sink.statistics()
    gate.open()

    assert sink.flush()
    assert held.queue_dropped == 20
    assert held.queued == 11
    assert balanced(held)
    found = [json.loads(text) for text in target.lines]
    assert [0, *range(21, 31)] == [record["n"] for record in found]
    assert found[1]["_dropped"] == 20
    assert sum(record.get("_dropped", 0) for record in found) == 20


def test_the_queue_is_bounded_in_bytes(made: Callable[..., QueueSink]) -> None:
    """Memory stays under the limit; one line larger than it is kept."""
    gate = Gate()
    sink = made(ListTarget(gate), max_bytes=1_000)
    sink.write(b"x\n")
    gate.entered.wait(5)
    for _ in range(50):
        sink.write(b"y" * 99 + b"\n")
    full = sink.statistics()
    sink.write(b"z" * 5_000 + b"\n")
    large = sink.statistics()
    gate.open()

    assert full.queued_bytes <= 1_000
    assert full.queue_dropped == 50 - (full.queued - 1)
    assert large.queued == 2
    assert balanced(large)


def test_a_failing_target_is_tried_again(
    made: Callable[..., QueueSink], caplog: pytest.LogCaptureFixture
) -> None:
    """The disk is full for a while: lines wait, then all arrive; one warning [SK-7, TL-5]."""
    failures = iter([True] * 3)

    def act(block: bytes) -> int:
        if next(failures, False):
            raise OSError(errno.ENOSPC, "No space left on device")
        return len(block)

    target = ListTarget(act)
    sink = made(target)
    with caplog.at_level(logging.WARNING, "tachograph"):
        for n in range(20):
            sink.write(line(n))
        flushed = sink.flush()

    assert flushed
    assert [line(n) for n in range(20)] == target.lines
    assert sink.statistics().io_errors == 3
    assert len([r for r in caplog.records if "No space left" in r.getMessage()]) == 1


def test_a_line_that_was_cut_is_continued(made: Callable[..., QueueSink]) -> None:
    """A failure in mid-line tears nothing: the rest of the line comes next."""
    plan: list[int | OSError] = [3, OSError(errno.ENOSPC, "full"), 2, 0, 1]
    turns = iter(plan)

    def act(block: bytes) -> int:
        turn = next(turns, len(block))
        if isinstance(turn, OSError):
            raise turn
        return min(turn, len(block))

    target = ListTarget(act)
    sink = made(target)
    for n in range(5):
        sink.write(line(n))

    assert sink.flush()
    assert [line(n) for n in range(5)] == target.lines


def test_a_broken_pipe_is_left_after_one_more_try(
    made: Callable[..., QueueSink], caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody will ever read: lines are counted as lost, with one warning [TL-6]."""
    reader, writer = os.pipe()
    os.close(reader)
    sink = made(StreamTarget(writer))
    with caplog.at_level(logging.WARNING, "tachograph"):
        sink.write(line(1))
        sink.flush()
        sink.write(line(2))
    os.close(writer)
    found = sink.statistics()

    assert found.io_errors == 2
    assert found.lost_to_io == 2
    assert balanced(found)
    assert len([r for r in caplog.records if "Nobody reads" in r.getMessage()]) == 1


def test_a_pipe_that_nobody_reads_never_holds_a_caller(made: Callable[..., QueueSink]) -> None:
    """`write` returns, `close` keeps its deadline, the loss is counted [TL-6]."""
    reader, writer = os.pipe()
    filler = StreamTarget(writer)
    while filler.write(b"x" * 4_096):
        pass
    sink = made(StreamTarget(writer), max_lines=100)
    for _ in range(3_000):
        sink.write(b"x" * 99 + b"\n")
    begun = time.monotonic()
    closed = sink.close(0.2)
    took = time.monotonic() - begun
    found = sink.statistics()
    assert sink._writer._thread is not None
    sink._writer._thread.join(30)  # the descriptor's number may be another's afterwards
    os.close(reader)
    os.close(writer)

    assert not closed
    assert took < 5
    assert found.queued == 0
    assert found.dropped == 3_000
    assert balanced(found)


def test_close_keeps_its_deadline_when_the_target_hangs(made: Callable[..., QueueSink]) -> None:
    """A target that never returns costs its lines, not the process's end."""
    gate = Gate()
    sink = made(ListTarget(gate))
    sink.write(line(1))
    gate.entered.wait(5)
    sink.write(line(2))
    closed = sink.close(0.05)
    found = sink.statistics()
    gate.open()

    assert not closed
    assert found.lost_to_io == 2
    assert balanced(found)


def test_lines_after_the_close_are_counted(made: Callable[..., QueueSink]) -> None:
    """They are late; a second close is a no-op; the target is closed."""
    target = ListTarget()
    sink = made(target)
    sink.write(line(1))

    assert sink.close()
    assert sink.close()
    sink.write(line(2))
    assert sink.statistics().late == 1
    assert balanced(sink.statistics())
    assert target.closed
    assert target.lines == [line(1)]


def test_flush_tells_when_it_ran_out_of_time(made: Callable[..., QueueSink]) -> None:
    """False, and no hanging."""
    gate = Gate()
    sink = made(ListTarget(gate))
    sink.write(line(1))

    assert not sink.flush(0.05)
    gate.open()
    assert sink.flush()


def test_aflush_does_not_hold_the_loop(made: Callable[..., QueueSink]) -> None:
    """Other tasks run while it waits."""
    gate = Gate()
    sink = made(ListTarget(gate))
    sink.write(line(1))

    async def main() -> bool:
        waiting = asyncio.create_task(sink.aflush())
        await asyncio.sleep(0)
        gate.open()
        return await waiting

    assert asyncio.run(main())


def test_threads_keep_their_order(made: Callable[..., QueueSink]) -> None:
    """8 threads x 5,000 lines: all arrive, each thread's in order [SK-9]."""
    target = ListTarget()
    sink = made(target, max_lines=100_000)

    def work(thread: int) -> None:
        for n in range(5_000):
            sink.write(b"%d %d\n" % (thread, n))

    threads = [threading.Thread(target=work, args=(t,)) for t in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sink.flush(20)
    pairs = [tuple(map(int, text.split())) for text in target.lines]
    assert len(pairs) == 40_000
    for thread_number in range(8):
        assert [n for t, n in pairs if t == thread_number] == list(range(5_000))


@settings(
    max_examples=2 * settings().max_examples // 5, suppress_health_check=[HealthCheck.too_slow]
)
@given(
    turns=st.lists(st.integers(-1, 40), max_size=12),
    sizes=st.lists(st.integers(1, 60), max_size=40),
    max_lines=st.integers(1, 50),
)
def test_nothing_is_lost_uncounted(turns: list[int], sizes: list[int], max_lines: int) -> None:
    """Whatever a target does, accepted = written + dropped + queued, and no line is torn."""
    left = iter(turns)

    def act(block: bytes) -> int:
        turn = next(left, len(block))
        if turn < 0:
            raise OSError(errno.EIO, "I/O error")
        return min(turn, len(block))

    target = ListTarget(act)
    sink = QueueSink(target, name="property", max_lines=max_lines, tick=0.0005)
    lines = [b"%d:" % n + b"x" * size + b"\n" for n, size in enumerate(sizes)]
    for text in lines:
        sink.write(text)
    sink.close(10)
    found = sink.statistics()

    assert balanced(found)
    assert found.queued == 0
    assert len(target.lines) == found.written
    assert [text for text in lines if text in set(target.lines)] == target.lines


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
@pytest.mark.slow
def test_a_forked_child_starts_with_an_empty_queue(tmp_path: Path) -> None:
    """Parent's lines appear once; the child's appear too; its flush returns [SK-1, SK-2]."""
    program = f"""
import os, sys
from pathlib import Path
from tachograph.sinks import QueueSink, RollingFile, Period
sink = QueueSink(RollingFile(Path({str(tmp_path)!r}), prefix="log", period=Period.HOUR), name="x")
for n in range(500):
    sink.write(b"parent %d\\n" % n)
children = []
for c in range(10):
    pid = os.fork()
    if pid == 0:
        sink.write(b"child %d\\n" % c)
        os._exit(0 if sink.flush(5) and sink.close() else 1)
    children.append(pid)
codes = [os.waitpid(pid, 0)[1] for pid in children]
sys.exit(0 if sink.close() and not any(codes) else 1)
"""
    done = subprocess.run([sys.executable, "-c", program], timeout=60, check=False)
    text = "".join(file.read_text() for file in tmp_path.iterdir())

    assert done.returncode == 0
    assert sorted(text.splitlines()) == sorted(
        [f"parent {n}" for n in range(500)] + [f"child {c}" for c in range(10)]
    )


@pytest.mark.slow
def test_a_normal_exit_flushes(tmp_path: Path) -> None:
    """A sink that nobody closed writes what waits at exit [SK-4]."""
    program = (
        "from pathlib import Path\n"
        "from tachograph.sinks import QueueSink, RollingFile, Period\n"
        f"target = RollingFile(Path({str(tmp_path)!r}), prefix='log', period=Period.HOUR)\n"
        "sink = QueueSink(target, name='x')\n"
        "[sink.write(b'%d\\n' % n) for n in range(2_000)]\n"
    )
    subprocess.run([sys.executable, "-c", program], timeout=30, check=True)
    (file,) = tmp_path.iterdir()

    assert [str(n) for n in range(2_000)] == file.read_text().splitlines()


def test_a_mark_that_fails_costs_only_itself(made: Callable[..., QueueSink]) -> None:
    """The line goes on without it."""
    gate = Gate()
    target = ListTarget(gate)

    def broken(text: bytes, lost: int) -> bytes:
        raise ValueError(lost)

    sink = made(target, max_lines=2, mark_dropped=broken)
    sink.write(line(0))
    gate.entered.wait(5)
    for n in range(1, 6):
        sink.write(line(n))
    gate.open()

    assert sink.flush()
    assert target.lines == [line(0), line(4), line(5)]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
@pytest.mark.slow
def test_workers_of_multiprocessing_write_their_lines(tmp_path: Path) -> None:
    """They end without atexit, and still flush [SK-3]."""
    program = (
        "import multiprocessing, sys\n"
        "from pathlib import Path\n"
        "from tachograph.sinks import QueueSink, RollingFile, Period\n"
        "target = RollingFile(Path(sys.argv[1]), prefix='log', period=Period.HOUR)\n"
        "sink = QueueSink(target, name='x')\n"
        "def work(n):\n"
        "    sink.write(b'%d\\n' % n)\n"
        "workers = [multiprocessing.get_context('fork').Process(target=work, args=(n,))"
        " for n in range(5)]\n"
        "[w.start() for w in workers]; [w.join() for w in workers]\n"
    )
    command = [sys.executable, "-c", program, str(tmp_path)]
    subprocess.run(command, timeout=30, check=True)
    (file,) = tmp_path.iterdir()

    assert sorted(file.read_text().split()) == ["0", "1", "2", "3", "4"]


def test_no_thread_before_the_first_line(tmp_path: Path) -> None:
    """Making a sink starts nothing."""
    before = threading.active_count()
    sink = QueueSink(RollingFile(tmp_path, prefix="log", period=Period.HOUR), name="idle")
    after = threading.active_count()
    sink.close()

    assert before == after


def test_a_forgotten_sink_writes_what_waits_and_its_thread_ends() -> None:
    """Nobody has to close a sink that nobody refers to [SK-8]."""
    target = Recording()
    sink = QueueSink(target, name="forgotten")
    sink.write(b"one\n")
    sink.write(b"two\n")
    del sink
    gc.collect()
    end = time.monotonic() + 5
    while time.monotonic() < end and any(
        thread.name == "tachograph-forgotten" for thread in threading.enumerate()
    ):
        time.sleep(0.005)

    assert b"one\ntwo\n" == b"".join(target.blocks)
    assert target.closed
    assert not any(thread.name == "tachograph-forgotten" for thread in threading.enumerate())


def test_an_observer_is_told_what_happens() -> None:
    """Lines written, what waits and how idle the thread is; its own failures stay its own."""
    told: list[tuple[str, float]] = []

    def observe(event: str, value: float) -> None:
        told.append((event, value))
        raise ValueError

    sink = QueueSink(Recording(), name="observed", observer=observe)
    sink.write(b"one\n")
    assert sink.flush()
    sink.close()

    assert ("written", 1) in told
    assert ("queued", 0) in told
    assert all(0 <= value <= 1 for event, value in told if event == "idle")


class Recording:
    """A target that keeps what it was given."""

    def __init__(self) -> None:
        self.blocks: list[bytes] = []
        self.closed = False

    def write(self, block: bytes) -> int:
        self.blocks.append(block)
        return len(block)

    def flush(self) -> None: ...

    def close(self) -> None:
        self.closed = True
