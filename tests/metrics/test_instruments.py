"""Fields that measure themselves."""

from __future__ import annotations

import threading

import pytest

import tachograph as tg
from tachograph.testing import FakeClock, capture_events


class Job(tg.WideEvent):
    total = tg.timer(unit=tg.Unit.MILLISECONDS)
    waiting = tg.stopwatch(unit=tg.Unit.MILLISECONDS)


def test_a_timer_runs_from_start_to_end() -> None:
    """Milliseconds between the two ends of the scope [IN]."""
    with capture_events() as events, FakeClock() as time, Job():
        time.advance(0.25)

    assert events.one(Job).total == 250


def test_a_stopped_timer_keeps_its_value() -> None:
    """`stop` is idempotent: the first call counts [IN]."""
    with capture_events() as events, FakeClock() as time, Job() as job:
        time.advance(0.1)
        first = job.total.stop()
        time.advance(0.1)
        second = job.total.stop()

    assert first == second == 100_000_000
    assert events.one(Job).total == 100


def test_a_stopwatch_sums_its_spans_and_is_absent_without_one() -> None:
    """Each span counts in full, overlapping ones too [IN]."""
    with capture_events() as events, FakeClock() as time:
        with Job() as job:
            with job.waiting:
                time.advance(0.1)
            time.advance(1)
            first, second = job.waiting.start(), job.waiting.start()
            time.advance(0.05)
            first.stop()
            second.stop()
            second.stop()
        with Job():
            pass

    assert events.all(Job)[0].waiting == 200
    assert "waiting" not in events.all(Job)[1]


def test_an_open_span_counts_until_the_end() -> None:
    """Work that is cut off shows the time until the cut [RQ-10]."""
    with capture_events() as events, FakeClock() as time, Job() as job:
        job.waiting.start()
        time.advance(0.3)

    assert events.one(Job).waiting == 300


def test_an_instrument_cannot_be_assigned() -> None:
    """The message says that it measures itself."""
    with capture_events(), Job() as job, pytest.raises(AttributeError, match="measures itself"):
        job.total = 5  # type: ignore[assignment]


def test_a_counter_never_goes_below_zero() -> None:
    """It stops at zero and counts how often it was asked [GD-1]."""
    counter = tg.Counter(1)
    counter.add(-2)

    assert counter.value == 0
    assert counter.underflows == 1


def test_threads_may_change_a_counter() -> None:
    """No increment is lost."""
    counter = tg.Counter()
    threads = [
        threading.Thread(target=lambda: [counter.add(1) for _ in range(2_000)]) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert counter.value == 8_000


def test_an_outcome_that_was_assigned_wins() -> None:
    """Code that knows better than the exception says so."""

    class Task(tg.WideEvent):
        outcome = tg.outcome()

    with capture_events() as events, Task() as task:
        task.outcome = tg.Outcome.CANCELLED

    assert events.one(Task).outcome == "Cancelled"


def test_the_timestamp_is_the_start_of_the_scope() -> None:
    """A record never has the time of its writing."""
    with capture_events() as events, FakeClock() as time, Job():
        time.advance(5)

    assert events.one(Job)["timestamp"] == "2024-01-15T10:00:00.000000Z"
