"""The queue of lines: the native one and its twin behave alike."""

from __future__ import annotations

import sys
import threading
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tachograph._core import native
from tachograph.sinks.lines import PureLines

TWINS = [PureLines] + ([] if native is None else [native.Lines])


class Called:
    """Counts how often the queue asked for attention."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self) -> None:
        self.times += 1


@pytest.fixture(params=TWINS, ids=lambda twin: twin.__name__)
def make(request: pytest.FixtureRequest) -> Any:
    """One of the twins."""
    return request.param


def test_lines_come_out_in_order(make: Any) -> None:
    """A batch holds whole lines, oldest first, and knows where each ends."""
    lines = make(10, 1000, Called())
    for line in (b"one\n", b"three\n", b"2\n"):
        lines.append(line)

    batch = lines.take()

    assert b"one\nthree\n2\n" == batch.data
    assert (3, 4) == (len(batch), batch.first)
    assert [0, 0, 1, 1, 2, 3, 3] == [batch.whole(n) for n in (0, 3, 4, 9, 10, 12, 99)]
    assert lines.take() is None


def test_the_oldest_lines_are_dropped_when_there_are_too_many(make: Any) -> None:
    """Beyond the number of lines or bytes the oldest go, and are counted."""
    lines = make(3, 20, Called())
    for n in range(5):
        lines.append(b"%d\n" % n)
    lines.append(b"0123456789012345\n")

    assert b"4\n0123456789012345\n" == lines.take().data
    assert (4, 4, 6) == (lines.dropped, lines.unmarked, lines.popped)


def test_one_line_larger_than_the_limit_still_waits(make: Any) -> None:
    """A line is never refused for its size; it replaces what was there."""
    lines = make(3, 10, Called())
    lines.append(b"a\n")
    lines.append(b"x" * 200_000 + b"\n")

    batch = lines.take()

    assert (1, 200_001, 1) == (len(batch), len(batch.data), lines.dropped)


def test_bytes_that_were_taken_count_until_they_are_released(make: Any) -> None:
    """Memory is bounded over what waits and what is being written."""
    lines = make(100, 10, Called())
    lines.append(b"12345\n")
    batch = lines.take()
    lines.append(b"6789\n")
    lines.append(b"more\n")

    assert b"more\n" == lines.take().data
    assert 11 == lines.bytes
    lines.release(len(batch.data))
    assert 5 == lines.bytes


def test_attention_is_asked_for_when_asleep_and_at_the_first_drop(make: Any) -> None:
    """A busy queue calls nobody; the first loss since the last batch does, once."""
    called = Called()
    lines = make(2, 1000, called)
    lines.append(b"a\n")
    lines.asleep = False
    lines.append(b"b\n")
    assert 1 == called.times
    lines.append(b"c\n")
    lines.append(b"d\n")
    assert 2 == called.times


def test_a_shut_queue_refuses_and_counts(make: Any) -> None:
    """Lines that come too late are counted, not kept."""
    lines = make(2, 1000, Called())
    lines.shut = True
    lines.append(b"a\n")

    assert (1, 0) == (lines.refused, len(lines))


def test_a_reset_queue_is_as_new(make: Any) -> None:
    """A forked child begins empty, and the object stays the same."""
    lines = make(2, 1000, Called())
    for _ in range(4):
        lines.append(b"a\n")
    lines.shut = True
    lines.reset()
    lines.append(b"b\n")

    assert (1, 0, 0, 2) == (len(lines), lines.popped, lines.dropped, lines.bytes)


def test_many_lines_fill_many_batches(make: Any) -> None:
    """Nothing is lost or doubled over the borders of batches."""
    lines = make(100_000, 2**30, Called())
    wanted = [b"%d %s\n" % (n, b"x" * (n % 3_000)) for n in range(500)]
    for line in wanted:
        lines.append(line)
    got = b""
    while (batch := lines.take()) is not None:
        got += batch.data
        lines.release(len(batch.data))

    assert b"".join(wanted) == got
    assert 0 == lines.bytes


steps = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.integers(1, 40)),
        st.tuples(st.just("append"), st.just(70_000)),
        st.tuples(st.sampled_from(["take", "clear", "wake", "sleep", "mark"]), st.just(0)),
    ),
    max_size=60,
)


@pytest.mark.skipif(native is None, reason="the native core is not built")
@given(steps, st.integers(1, 8), st.integers(1, 200))
def test_the_twins_agree(steps: list[tuple[str, int]], max_lines: int, max_bytes: int) -> None:
    """Any sequence of calls leaves both with the same counts and the same bytes taken."""
    told = [Called(), Called()]
    twins: list[Any] = [
        PureLines(max_lines, max_bytes, told[0]),
        native.Lines(max_lines, max_bytes, told[1]),
    ]
    taken: list[bytes] = [b"", b""]
    for number, (step, size) in enumerate(steps):
        for i, lines in enumerate(twins):
            match step:
                case "append":
                    lines.append(b"%d" % (number % 10) * size + b"\n")
                case "take":
                    # The sizes of batches may differ, what is taken may not.
                    while (batch := lines.take()) is not None:
                        taken[i] += batch.data
                        lines.release(len(batch.data))
                case "clear":
                    lines.clear()
                case "mark":
                    lines.unmarked = 0
                case _:
                    lines.asleep = step == "sleep"
        states = [(len(t), t.bytes, t.popped, t.dropped, t.unmarked, bool(t.asleep)) for t in twins]
        assert states[0] == states[1]
    assert taken[0] == taken[1]
    assert told[0].times == told[1].times


def test_attention_is_asked_for_without_the_lock() -> None:
    """Where appends take a lock, whoever attends may wait for the writer, which takes that lock."""
    free: list[bool] = []

    def attend() -> None:
        taker = threading.Thread(target=lines.take)
        taker.start()
        taker.join(5)
        free.append(not taker.is_alive())

    lines = PureLines(2, 1_000, attend)
    lines._append_locked(b"one\n")  # asleep
    lines.asleep = False
    for _ in range(3):
        lines._append_locked(b"more\n")  # full

    assert [True, True] == free


def test_locked_appends_from_threads_are_counted() -> None:
    """Nothing is lost uncounted where only the lock makes changes whole."""
    lines = PureLines(100, 2_000, lambda: None)
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    taken = 0

    def append() -> None:
        for _ in range(5_000):
            lines._append_locked(b"a line\n")

    try:
        threads = [threading.Thread(target=append) for _ in range(4)]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads) or len(lines):
            batch = lines.take()
            if batch is not None:
                taken += len(batch)
                lines.release(len(batch.data))
    finally:
        sys.setswitchinterval(before)

    assert 20_000 == taken + lines.dropped == lines.popped
    assert 0 == lines.bytes
