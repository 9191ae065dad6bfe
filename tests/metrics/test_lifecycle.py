"""Exactly once: who emits, when."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator

import pytest

import tachograph as tg
from tachograph.metrics import statistics
from tachograph.testing import CapturedEvents, capture_events, strict


class Job(tg.WideEvent):
    name: str = ""
    success: bool = False
    status_code: int = tg.metric(0, as_property=True)
    error_type: str | None = None
    outcome = tg.outcome()


class Other(tg.WideEvent):
    count: int = 0


@pytest.fixture
def events() -> Iterator[CapturedEvents]:
    """Capture what the test emits."""
    with capture_events() as captured:
        yield captured


def test_a_scope_that_ends_emits_one_line_after_it_ended(events: CapturedEvents) -> None:
    """Nothing is emitted inside the scope, one record after it [LC-1]."""
    with Job(name="a"):
        inside = len(events)

    assert inside == 0
    assert events.one(Job).outcome == "Ok"


def test_an_exception_passes_through_unchanged(events: CapturedEvents) -> None:
    """The record tells the outcome and the error's type [LC-2]."""
    error = ValueError("no")

    with pytest.raises(ValueError, match="no") as caught, Job():
        raise error

    assert caught.value is error
    assert events.one(Job).outcome == "Error"
    assert events.one(Job).error_type == "ValueError"


def test_a_cancelled_task_emits_once(events: CapturedEvents) -> None:
    """The outcome is Cancelled and the cancellation goes on [LC-3]."""

    async def work(started: asyncio.Event) -> None:
        async with Job():
            started.set()
            await asyncio.Event().wait()

    async def main() -> bool:
        started = asyncio.Event()
        task = asyncio.create_task(work(started))
        await started.wait()
        task.cancel()
        await asyncio.wait([task])
        return task.cancelled()

    assert asyncio.run(main())
    assert events.one(Job).outcome == "Cancelled"


def test_closing_an_async_generator_ends_its_scope(events: CapturedEvents) -> None:
    """`GeneratorExit` counts as cancelled [LC-4]."""

    async def numbers() -> AsyncIterator[int]:
        with Job():
            yield 1
            yield 2

    async def main() -> None:
        generator = numbers()
        await anext(generator)
        await generator.aclose()  # type: ignore[attr-defined]

    asyncio.run(main())

    assert events.one(Job).outcome == "Cancelled"


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(1)])
def test_the_end_of_the_process_is_an_outcome_of_its_own(
    events: CapturedEvents, error: BaseException
) -> None:
    """`KeyboardInterrupt` and `SystemExit` give Exit and pass through [LC-5]."""
    with pytest.raises(type(error)), Job():
        raise error

    assert events.one(Job).outcome == "Exit"


def test_a_discarded_record_is_never_emitted(events: CapturedEvents) -> None:
    """`discard` before the end emits nothing; after the emission it has no effect [LC-7]."""
    with Job() as gone:
        gone.discard()
    with Job() as kept:
        pass
    kept.discard()

    assert len(events.all(Job)) == 1


def test_the_decorator_opens_a_record_around_each_call(events: CapturedEvents) -> None:
    """Functions, coroutines, generators and async generators: one line a call [LC-8]."""

    @Job.scope(name="def")
    def plain() -> str:
        return Job.current().name

    @Job.scope(name="async def")
    async def coroutine() -> str:
        return Job.current().name

    @Job.scope(name="generator")
    def generator() -> Iterator[str]:
        yield Job.current().name

    @Job.scope(name="async generator")
    async def async_generator() -> AsyncIterator[str]:
        yield Job.current().name

    async def consume() -> list[str]:
        return [item async for item in async_generator()]

    seen = [plain(), asyncio.run(coroutine()), *generator(), *asyncio.run(consume())]

    assert seen == ["def", "async def", "generator", "async generator"]
    assert [event.name for event in events.all(Job)] == seen


def test_a_generator_that_is_closed_early_emits_once(events: CapturedEvents) -> None:
    """The record ends at exhaustion, close or error [LC-8]."""

    @Job.scope()
    def numbers() -> Iterator[int]:
        yield 1
        yield 2

    for _ in numbers():
        break
    gc.collect()

    assert events.one(Job).outcome == "Cancelled"


def test_a_generators_record_is_not_current_for_its_consumer(events: CapturedEvents) -> None:
    """Between two items the consumer sees its own record [LC-8]."""

    @Job.scope(name="inner")
    def numbers() -> Iterator[str]:
        yield Job.current().name
        yield Job.current().name

    seen = []
    with Job(name="outer"):
        for name in numbers():
            seen += [name, Job.current().name]

    assert seen == ["inner", "outer", "inner", "outer"]
    assert len(events.all(Job)) == 2


def test_a_record_that_was_never_ended_is_emitted_when_collected(events: CapturedEvents) -> None:
    """It is marked incomplete, counted, and warned of once [LC-9]."""
    before = statistics.leaked_records
    record = Job(name="leak").__enter__()
    Job.current().name = "leaked"
    record._pause()
    del record
    gc.collect()

    assert events.one(Job)["_incomplete"] == ["scope"]
    assert statistics.leaked_records == before + 1


def test_a_scope_open_at_exit_is_emitted_before_the_sinks_flush(tmp_path: object) -> None:
    """The process ends inside a scope: the line is there, marked incomplete [LC-10]."""
    program = (
        "import sys, tachograph as tg\n"
        "class Job(tg.WideEvent):\n"
        "    name: str = ''\n"
        "guard = tg.init_telemetry(tg.TelemetryConfig(service='s', pretty=False))\n"
        "job = Job(name='open').__enter__()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True
    )

    assert '"name":"open","_incomplete":["scope"]' in done.stdout


def test_what_is_written_after_the_emission_is_counted(events: CapturedEvents) -> None:
    """Late writes are ignored and counted; strict mode raises [LC-12]."""
    with Job() as record:
        pass
    before = statistics.late_writes
    record.name = "late"

    assert statistics.late_writes == before + 1
    assert events.one(Job).name == ""
    with strict(), pytest.raises(RuntimeError, match=r"Job\.name was assigned after"):
        record.name = "late"


def test_a_bad_value_costs_its_field_only(events: CapturedEvents) -> None:
    """The rest of the record is written and `_errors` names the field [LC-14]."""
    with Job(name="a") as record:
        record.success = "yes"  # type: ignore[assignment]

    assert events.one(Job).name == "a"
    assert events.one(Job)["_errors"] == ["success: expected bool, got str"]


def test_nested_records_are_emitted_inner_first(events: CapturedEvents) -> None:
    """A record inside another is a record of its own [LC-16]."""
    with Job(), Other():
        pass

    assert [event.record for event in events] == ["Other", "Job"]


def test_initial_values_are_written_when_nothing_was_assigned(events: CapturedEvents) -> None:
    """Pessimistic defaults show up after an early exception [LC-17]."""
    with pytest.raises(ValueError, match="early"), Job():
        raise ValueError("early")

    assert events.one(Job).success is False
    assert events.one(Job).status_code == "0"


def test_records_wait_for_a_destination() -> None:
    """What is emitted before set-up is written afterwards, in order [LC-18]."""
    program = (
        "import tachograph as tg\n"
        "class Job(tg.WideEvent):\n"
        "    name: str = ''\n"
        "Job(name='first').emit(); Job(name='second').emit()\n"
        "with tg.init_telemetry(tg.TelemetryConfig(service='s', pretty=False)):\n"
        "    Job(name='third').emit()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True
    )
    names = [line.split('"name":"')[1].split('"')[0] for line in done.stdout.splitlines()]

    assert names == ["first", "second", "third"]


def test_a_process_without_destination_says_so_once_at_exit() -> None:
    """Nothing raises, nothing is written, one warning tells what to call [LC-19]."""
    program = (
        "import tachograph as tg\n"
        "class Job(tg.WideEvent):\n"
        "    name: str = ''\n"
        "Job(name='first').emit(); Job(name='second').emit()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True
    )

    assert done.stdout == ""
    assert done.stderr.count("Records that were never written: 2") == 1
    assert "init_telemetry" in done.stderr


def test_threads_of_one_block_are_captured(events: CapturedEvents) -> None:
    """A thread without a context gives its records to the innermost capture."""
    thread = threading.Thread(target=lambda: Job(name="thread").emit())
    thread.start()
    thread.join()

    assert events.one(Job).name == "thread"


def test_a_gauge_goes_down_however_the_scope_ends() -> None:
    """It is read at close, own scope included, and lowered afterwards [RQ-13]."""
    counter = tg.Counter()

    class Counted(tg.WideEvent):
        in_flight = tg.gauge(counter)

    with capture_events() as events, Counted(), pytest.raises(ValueError, match="x"), Counted():
        raise ValueError("x")

    assert [event.in_flight for event in events] == [2, 1]
    assert counter.value == 0
