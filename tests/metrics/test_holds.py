"""Work that outlives the scope: holds, and children in other hands."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator

import pytest

import tachograph as tg
from tachograph.metrics import statistics
from tachograph.testing import CapturedEvents, capture_events


class Part(tg.WideEvent):
    rows: int = 0
    found: bool = False


class Job(tg.WideEvent):
    name: str = ""
    duration = tg.timer()
    part: Part = tg.slot()
    last: int = 0


@pytest.fixture
def events() -> Iterator[CapturedEvents]:
    """Capture what the test emits."""
    with capture_events() as captured:
        yield captured


def wait_for(events: CapturedEvents, count: int = 1) -> None:
    """Wait until *count* records were emitted."""
    end = time.monotonic() + 5
    while len(events.all(Job)) < count and time.monotonic() < end:
        time.sleep(0.005)


def test_a_hold_released_after_the_scope_emits_then(events: CapturedEvents) -> None:
    """The record is written at the release, with what was changed meanwhile [HL-1, LC-11]."""
    with Job(name="a") as job:
        hold = job.hold(timeout=5)
    assert [] == events.all(Job)
    job.last = 7
    hold.release()

    assert 7 == events.one(Job).last


def test_a_hold_released_in_the_scope_changes_nothing(events: CapturedEvents) -> None:
    """The record is written at the end of the scope [HL-2]."""
    with Job() as job:
        job.hold(timeout=5).release()

    assert "_incomplete" not in events.one(Job)


def test_the_last_of_several_holds_emits(events: CapturedEvents) -> None:
    """Two of three released: nothing yet; the third: one line [HL-3]."""
    with Job() as job:
        holds = [job.hold(timeout=5) for _ in range(3)]
    holds[0].release()
    holds[2].release()
    assert [] == events.all(Job)
    holds[1].release()

    assert 1 == len(events.all(Job))


def test_a_deadline_emits_an_incomplete_record(events: CapturedEvents) -> None:
    """A hold that is never released expires, is named and counted [HL-4]."""
    before = statistics.holds_expired
    with Job() as job:
        job.hold(timeout=0.02)
    wait_for(events)

    assert ["hold"] == events.one(Job)["_incomplete"]
    assert before + 1 == statistics.holds_expired


def test_flush_now_before_the_end_of_the_scope_waits_for_no_hold(events: CapturedEvents) -> None:
    """Open holds no longer matter [HL-5]."""
    with Job() as job:
        job.hold(timeout=5)
        job.flush_now()
        assert [] == events.all(Job)

    assert ["hold"] == events.one(Job)["_incomplete"]


def test_flush_now_after_the_end_of_the_scope_emits_at_once(events: CapturedEvents) -> None:
    """The waiting record is written by the call [HL-6]."""
    with Job() as job:
        job.hold(timeout=5)
    job.flush_now()

    assert 1 == len(events.all(Job))


@pytest.mark.parametrize("late", [False, True])
def test_a_discarded_record_with_holds_is_never_written(
    events: CapturedEvents, *, late: bool
) -> None:
    """Discarded before or after the end of the scope, and the hold released: none [HL-7, LC-6]."""
    with Job() as job:
        hold = job.hold(timeout=5)
        if not late:
            job.discard()
    job.discard()
    hold.release()

    assert [] == events.all(Job)
    assert hold.released


def test_a_discarded_record_with_an_opened_child_is_never_written(events: CapturedEvents) -> None:
    """The child may be handed back afterwards: 0 lines [LC-6]."""
    with Job() as job:
        late = job.open(job.part, wait=5)
        job.discard()
    assert late is not None
    late.close()

    assert [] == events.all(Job)


def test_a_second_release_is_a_no_op(events: CapturedEvents) -> None:
    """One line, whatever is released how often [HL-8]."""
    with Job() as job:
        hold = job.hold(timeout=5)
    hold.release()
    hold.release()

    assert 1 == len(events.all(Job))


def test_a_hold_taken_after_the_emission_is_released(events: CapturedEvents) -> None:
    """It holds nothing and is counted [HL-9]."""
    before = statistics.late_holds
    with Job() as job:
        pass

    assert job.hold().released
    assert before + 1 == statistics.late_holds


def test_a_task_that_raises_releases_its_hold(events: CapturedEvents) -> None:
    """The hold's `with` ends, and the record has no error of it [HL-10]."""

    async def work(hold: tg.metrics.Hold) -> None:
        with hold:
            await asyncio.sleep(0)
            msg = "on purpose"
            raise ValueError(msg)

    async def main() -> None:
        with Job() as job:
            task = asyncio.create_task(work(job.hold(timeout=5)))
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(main())

    assert "_incomplete" not in events.one(Job)


def test_a_deadline_comes_though_the_thread_that_took_the_hold_is_gone(
    events: CapturedEvents,
) -> None:
    """One thread keeps all deadlines [HL-11]."""

    def work() -> None:
        with Job() as job:
            job.hold(timeout=0.05)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    wait_for(events)

    assert 1 == len(events.all(Job))


def test_eight_threads_releasing_at_once_write_one_line(events: CapturedEvents) -> None:
    """However the last releases race [LC-13]."""
    for round_ in range(50):
        with Job(name=str(round_)) as job:
            holds = [job.hold(timeout=5) for _ in range(8)]
        start = threading.Barrier(8)

        def release(hold: tg.metrics.Hold, start: threading.Barrier = start) -> None:
            start.wait()
            hold.release()

        threads = [threading.Thread(target=release, args=(hold,)) for hold in holds]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert [str(n) for n in range(50)] == [event.name for event in events.all(Job)]


def test_timers_stop_at_the_end_of_the_scope(events: CapturedEvents) -> None:
    """Work afterwards does not lengthen the request's duration."""
    with Job() as job:
        hold = job.hold(timeout=5)
    time.sleep(0.05)
    hold.release()

    assert events.one(Job).duration < 40


@pytest.mark.parametrize("timeout", [0, -1, float("nan")])
def test_a_hold_needs_a_positive_timeout(timeout: float) -> None:
    """What is wrong is said at once."""
    with pytest.raises(ValueError, match="timeout in seconds above 0"):
        Job().hold(timeout=timeout)


def test_a_child_handed_back_in_time_is_in_place(events: CapturedEvents) -> None:
    """Filled and closed before the parent ends: fields in the order of the declaration [CH-1]."""
    with Job() as job:
        late = job.open(job.part, wait=2)
        assert late is not None
        with late as part:
            part.rows = 3
    event = events.one(Job)

    assert 3 == event["rows"]
    assert ["name", "duration", "rows", "found", "last"] == list(event)[2:]


def test_the_parent_waits_for_its_child(events: CapturedEvents) -> None:
    """The child closes after the parent: one line after that, fields present [CH-2]."""
    with Job() as job:
        late = job.open(job.part, wait=5)
    assert late is not None
    assert [] == events.all(Job)
    late.child.rows = 4
    late.close()

    assert 4 == events.one(Job)["rows"]


def test_a_child_that_never_comes_back_is_left_out(events: CapturedEvents) -> None:
    """One line at the deadline without its fields, named as incomplete [CH-3]."""
    with Job() as job:
        late = job.open(job.part, wait=0.02)
        job.part.rows = 9
    wait_for(events)

    assert late is not None
    assert late.parent_closed
    assert ["part"] == events.one(Job)["_incomplete"]
    assert "rows" not in events.one(Job)


def test_a_child_nobody_waits_for_is_left_out(events: CapturedEvents) -> None:
    """The parent ends first: one line at once [CH-4, CH-7]."""
    with Job() as job:
        late = job.open(job.part, wait=None)
        assert late is not None
        assert not late.parent_closed

    assert late.parent_closed
    assert ["part"] == events.one(Job)["_incomplete"]


def test_a_child_is_handed_out_once(events: CapturedEvents) -> None:
    """The second `open` gives None and is counted [CH-5]."""
    before = statistics.children_opened_twice
    with Job() as job:
        assert job.open(job.part, wait=None) is not None
        assert job.open(job.part, wait=None) is None

    assert before + 1 == statistics.children_opened_twice


def test_a_child_that_was_never_opened_has_its_defaults(events: CapturedEvents) -> None:
    """Children are filled in place as a rule [CH-6]."""
    with Job():
        pass

    assert 0 == events.one(Job)["rows"]


def test_a_child_whose_task_is_cancelled_is_delivered(events: CapturedEvents) -> None:
    """With the values it had [CH-8]."""

    async def work(late: tg.metrics.Late[Part]) -> None:
        with late as part:
            part.rows = 2
            await asyncio.sleep(10)

    async def main() -> None:
        with Job() as job:
            late = job.open(job.part, wait=5)
            assert late is not None
            task = asyncio.create_task(work(late))
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(main())

    assert 2 == events.one(Job)["rows"]


def test_only_a_child_can_be_opened() -> None:
    """Another record is refused."""
    with pytest.raises(ValueError, match="expected a child of this Job"):
        Job().open(Part())


def test_extra_keys_come_after_the_declared_fields(events: CapturedEvents) -> None:
    """By exactly the name they were given, in the order in which they came."""
    with Job() as job:
        job.extra["shard-7"] = 3
        job.extra["mode"] = "fast"

    assert ["last", "shard-7", "mode"] == list(events.one(Job))[-3:]
