"""The current record of a context."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

import pytest

import tachograph as tg
from tachograph.metrics import statistics
from tachograph.testing import capture_events, strict


class Handler(tg.WideEvent):
    found: bool | None = None
    lookup = tg.stopwatch(unit=tg.Unit.MILLISECONDS)


class Request(tg.WideEvent):
    request_id: str
    handler: Handler = tg.slot(flatten=True)


class Database(tg.WideEvent):
    rows: int = 0


def test_a_child_task_writes_into_the_record_of_its_creator() -> None:
    """Mutation in place is visible upstream [CU-1]."""

    async def handle() -> None:
        Handler.current().found = True

    async def main() -> None:
        async with Request(request_id="a"):
            await asyncio.create_task(handle())

    with capture_events() as events:
        asyncio.run(main())

    assert events.one(Request).found is True


def test_concurrent_requests_do_not_mix() -> None:
    """No value crosses from one request into another [CU-2]."""

    async def request(name: str, found: bool) -> None:
        async with Request(request_id=name):
            await asyncio.sleep(0)
            Handler.current().found = found
            await asyncio.sleep(0)

    async def main() -> None:
        await asyncio.gather(*(request(str(n), n % 2 == 0) for n in range(50)))

    with capture_events() as events:
        asyncio.run(main())

    assert all(event.found is (int(event.request_id) % 2 == 0) for event in events)
    assert len(events) == 50


def test_to_thread_sees_the_record() -> None:
    """`asyncio.to_thread` copies the context [CU-3]."""

    def work() -> None:
        Handler.current().found = True

    async def main() -> None:
        async with Request(request_id="a"):
            await asyncio.to_thread(work)

    with capture_events() as events:
        asyncio.run(main())

    assert events.one(Request).found is True


def test_an_executor_does_not_and_the_write_is_counted() -> None:
    """`run_in_executor` copies no context: the write is lost, counted; strict raises [CU-4]."""

    def work() -> None:
        Handler.current().found = True

    before = statistics.orphan_writes
    with capture_events() as events, ThreadPoolExecutor(1) as pool, Request(request_id="a"):
        pool.submit(work).result()

    assert events.one(Request).found is None
    assert statistics.orphan_writes == before + 1
    with strict(), pytest.raises(RuntimeError, match="outside any scope"):
        work()


def test_a_record_inside_another_leaves_the_outer_one_current() -> None:
    """Each class has its own current record [CU-5]."""
    with capture_events() as events, Request(request_id="a"), Database() as rows:
        Database.current().rows = 3
        Handler.current().found = False
        same = Database.current() is rows

    assert same
    assert events.one(Database).rows == 3
    assert events.one(Request).found is False


def test_the_inert_record_takes_everything() -> None:
    """Outside any scope instruments, reads and conditions work and raise nothing."""
    inert = Handler.current()
    with inert.lookup:
        pass
    span = inert.lookup.start()
    span.stop()

    assert not inert
    assert inert.found is None
