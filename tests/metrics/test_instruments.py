"""Fields that measure themselves."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

import tachograph as tg
from tachograph.formats.json import FlatJson
from tachograph.metrics import Destination, attach, detach, statistics
from tachograph.sinks import QueueSink
from tachograph.testing import FakeClock, capture_events, strict


class Job(tg.WideEvent):
    total = tg.timer(unit=tg.Unit.MILLISECONDS)
    waiting = tg.stopwatch(unit=tg.Unit.MILLISECONDS)


def test_a_stopped_timer_keeps_its_value() -> None:
    """`stop` is idempotent: the first call counts, 3 s twice [IN-1]."""
    with capture_events() as events, FakeClock() as time, Job() as job:
        time.advance(3)
        first = job.total.stop()
        time.advance(2)
        second = job.total.stop()

    assert first == second == 3_000_000_000
    assert events.one(Job).total == 3_000


def test_a_timer_runs_from_start_to_end() -> None:
    """Between the two ends of the scope when nobody stops it [IN-2]."""
    with capture_events() as events, FakeClock() as time, Job():
        time.advance(4)

    assert events.one(Job).total == 4_000


def test_a_stopwatch_that_never_started_is_absent() -> None:
    """Not zero; touched or not [IN-3]."""
    with capture_events() as events, Job() as job:
        assert 0 == job.waiting.spans

    assert "waiting" not in events.one(Job)


def test_spans_add_up() -> None:
    """1 s and 2 s are 3,000 ms [IN-4]; overlapping ones count in full."""
    with capture_events() as events, FakeClock() as time:
        with Job() as job:
            for seconds in (1, 2):
                with job.waiting:
                    time.advance(seconds)
                time.advance(5)
        with Job() as job:
            first, second = job.waiting.start(), job.waiting.start()
            time.advance(0.05)
            first.stop()
            second.stop()
            second.stop()

    assert [3_000, 100] == [event.waiting for event in events]


def test_a_discarded_span_did_not_happen() -> None:
    """1 s, then 2 s that are discarded: 1,000 ms [IN-5]."""
    with capture_events() as events, FakeClock() as time, Job() as job:
        with job.waiting:
            time.advance(1)
        span = job.waiting.start()
        time.advance(2)
        span.discard()

    assert events.one(Job).waiting == 1_000


def test_an_overwriting_span_is_the_only_one() -> None:
    """1 s, then 5 s that overwrite: 5,000 ms [IN-6]."""
    with capture_events() as events, FakeClock() as time, Job() as job:
        with job.waiting:
            time.advance(1)
        span = job.waiting.start()
        time.advance(5)
        span.overwrite()

    assert events.one(Job).waiting == 5_000


async def _wait(job: Job, started: asyncio.Event) -> None:
    with job, job.waiting:
        started.set()
        await asyncio.Event().wait()


def test_a_span_of_a_cancelled_task_counts() -> None:
    """Until the cancellation [IN-7]."""

    async def cancel(time: FakeClock) -> None:
        started = asyncio.Event()
        task = asyncio.ensure_future(_wait(Job(), started))
        await started.wait()
        time.advance(0.3)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    with capture_events() as events, FakeClock() as time:
        asyncio.run(cancel(time))

    assert events.one(Job).waiting == 300


def test_an_open_span_counts_until_the_end() -> None:
    """Work that is cut off shows the time until the cut [RQ-10, IN-7]."""
    with capture_events() as events, FakeClock() as time, Job() as job:
        job.waiting.start()
        time.advance(0.3)

    assert events.one(Job).waiting == 300


def test_a_gauge_shows_what_is_open_at_the_close() -> None:
    """Its own record included: of three the first to close shows 3, and 2 are left [IN-8]."""
    counter = tg.Counter()

    class Request(tg.WideEvent):
        in_flight = tg.gauge(counter)

    with capture_events() as events, Request() as last, Request():
        with Request():
            assert 3 == last.in_flight
        assert 2 == counter.value

    assert [3, 2, 1] == [event.in_flight for event in events]


def test_the_wall_clock_may_step() -> None:
    """Durations come from the monotonic clock: an hour back changes none [IN-15]."""
    with capture_events() as events, FakeClock() as time, Job() as job, job.waiting:
        time.set_time(1_705_312_800_000_000_000 - 3_600 * 10**9)
        time.advance(2)

    assert (2_000, 2_000) == (events.one(Job).total, events.one(Job).waiting)


def test_an_instrument_cannot_be_assigned() -> None:
    """The message says that it measures itself."""
    with capture_events(), Job() as job, pytest.raises(AttributeError, match="measures itself"):
        job.total = 5  # type: ignore[assignment]


def test_a_counter_never_goes_below_zero() -> None:
    """It stops at zero and counts how often it was asked to go below [IN-9]."""
    counter = tg.Counter(1)
    counter.add(-2)

    assert counter.value == 0
    assert counter.underflows == 1


def test_a_counter_is_set_and_added_to() -> None:
    """Set to 5, and 2 more: 7 [IN-10]."""
    counter = tg.Counter()
    counter.set(5)

    assert 7 == counter.add(2) == counter.value


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


class Discarding:
    """A target that keeps nothing."""

    def write(self, block: bytes) -> int:
        return len(block)

    def flush(self) -> None: ...

    def close(self) -> None: ...


class Measured(tg.WideEvent):
    watch = tg.stopwatch()
    rows = tg.distribution()
    size = tg.mean()
    took = tg.histogram()


def measured() -> Measured:
    """Return a record that was emitted with something in each instrument."""
    with Measured() as record:
        with record.watch:
            pass
        for many in (record.rows, record.size, record.took):
            many.add(1)
    return record


LATE: dict[str, tuple[Callable[[Measured], Any], str]] = {
    "with": (lambda r: r.watch.__enter__(), "A stopwatch was started"),
    "start": (lambda r: r.watch.start(), "A stopwatch was started"),
    "clear": (lambda r: r.watch.clear(), "A stopwatch was cleared"),
    "distribution": (lambda r: r.rows.add(2), "An observation was added"),
    "mean": (lambda r: r.size.add(2), "An observation was added"),
    "histogram": (lambda r: r.took.add(2, 3), "An observation was added"),
    "merge": (lambda r: r.took.merge(tg.metrics.Histogram()), "Observations were added"),
}


@pytest.mark.parametrize("direct", [True, False])
@pytest.mark.parametrize("case", LATE)
def test_what_is_measured_too_late_is_counted(direct: bool, case: str) -> None:
    """By either way to the line, and it raises in strict mode."""
    use, what = LATE[case]
    sink = QueueSink(Discarding(), name="late")
    sampler = None if direct else tg.Sampling(1.0)
    attach([Destination(FlatJson(), sink, sampler=sampler)])
    try:
        record, other = measured(), measured()
    finally:
        detach()
        sink.close()
    before = statistics.late_writes
    use(record)
    counted = statistics.late_writes - before
    with strict(), pytest.raises(RuntimeError, match=f"{what} after the record was emitted"):
        use(other)

    assert 1 == counted


def test_an_instrument_that_was_kept_knows_that_it_is_too_late() -> None:
    """It need not be reached through the record."""
    with capture_events(), Measured() as record:
        rows, watch = record.rows, record.watch
        rows.add(1)
        opened = [watch.start() for _ in range(3)]
    before = statistics.late_writes
    rows.add(2)
    with watch:
        pass
    span = watch.start()
    counted = statistics.late_writes - before
    for late in (span.stop, span.discard, opened[0].stop):  # it ended what was begun in time
        late()
    unchanged = statistics.late_writes - before
    opened[1].discard()
    opened[2].overwrite()

    assert (3, 3, 5) == (counted, unchanged, statistics.late_writes - before)
    assert 3 == watch.spans


def test_reading_after_the_emission_is_no_mistake() -> None:
    """Values stay as they were emitted."""
    with capture_events():
        record = measured()
    before = statistics.late_writes

    assert (1,) == record.rows.close()
    assert 1 == record.watch.spans
    assert record.watch.elapsed_ns(0) is not None
    assert before == statistics.late_writes
