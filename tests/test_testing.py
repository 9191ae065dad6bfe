"""The captures that users' tests rely on."""

from __future__ import annotations

import asyncio
import logging
import threading
import types
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

import tachograph as tg
from tachograph._base.clock import clock
from tachograph.metrics import output
from tachograph.testing import FakeClock, capture_events, capture_logs


class Job(tg.WideEvent, rename="PascalCase"):
    job_name: str = tg.metric(default="")
    found: bool | None = None


def test_values_are_those_of_the_line() -> None:
    """By emitted name or by attribute; an absent one is None or a `KeyError` that explains."""
    with capture_events() as events:
        Job(job_name="a").emit()
    event = events.one(Job)

    assert event["JobName"] == event.job_name == "a"
    assert event.found is None
    with pytest.raises(KeyError, match="is absent here"):
        event["Found"]
    with pytest.raises(KeyError, match="is no field"):
        event["job_name"]
    with pytest.raises(AttributeError, match="Did you mean job_name"):
        event.job_nmae  # noqa: B018


class Cart(tg.WideEvent):
    items: int = 0
    get: str = ""


def test_a_field_wins_over_a_method_of_mappings() -> None:
    """`items` is a field where it is declared, else what a mapping has."""
    with capture_events() as events:
        Cart(items=2, get="tea").emit()
        Job(job_name="a").emit()
    cart, job = events

    assert (2, "tea") == (cart.items, cart.get)
    assert {**cart} == cart == dict(cart)
    assert ("a", None) == (job.get("JobName"), job.get("Found"))
    assert list(job.items()) == list(dict(job).items())
    assert "JobName" in job
    assert job != cart


def test_one_explains_what_it_found() -> None:
    """None or several are an assertion that shows what was emitted."""
    with capture_events() as events:
        with pytest.raises(AssertionError, match="expected one Job, got 0"):
            events.one(Job)
        Job(job_name="a").emit()
        Job(job_name="b").emit()
        with pytest.raises(AssertionError, match="got 2"):
            events.one(Job)

    assert [event.job_name for event in events.all("Job")] == ["a", "b"]
    assert events.last.job_name == "b"
    assert len(events) == 2


def test_blocks_nest_and_end() -> None:
    """The innermost one gets the record; after the block it is no longer collected."""
    with capture_events() as outer:
        with capture_events() as inner:
            Job().emit()
        Job().emit()
    Job().emit()
    output._pending.clear()  # it waits for a destination

    assert (len(outer), len(inner)) == (1, 1)
    with pytest.raises(AssertionError, match="none was emitted"), capture_events() as nothing:
        _ = nothing.last


def test_logs_of_all_threads_are_captured() -> None:
    """As dictionaries, with fields."""
    with capture_logs() as logs:
        thread = threading.Thread(target=lambda: tg.get_logger("x").info("there", n=1))
        thread.start()
        thread.join()
        logging.getLogger("x").warning("here")
    tg.get_logger("x").warning("after")

    assert [line["message"] for line in logs] == ["there", "here"]
    assert logs[0]["n"] == 1


def test_the_clock_moves_on_demand_only() -> None:
    """Both readings together, or the wall clock alone; the real ones come back."""
    with FakeClock(5_000_000_000) as time:
        first = clock.monotonic_ns()
        time.advance(1.5)
        second = clock.monotonic_ns()
        wall = clock.time_ns()
        time.set_time(1)
        stepped = clock.time_ns()

    assert second - first == 1_500_000_000
    assert wall == 6_500_000_000
    assert stepped == 1
    assert clock.time_ns() > wall


def test_records_of_a_thread_pool_are_captured() -> None:
    """A worker thread has no context of the test; the innermost open block gets them [TU-1]."""
    with capture_events() as events, ThreadPoolExecutor(1) as pool:
        pool.submit(lambda: Job(job_name="pooled").emit()).result()

    assert "pooled" == events.one(Job).job_name


def test_a_block_sees_no_task_of_another() -> None:
    """A task that outlives the block it was started in stays with that one [TU-2]."""

    async def late(go: asyncio.Event) -> None:
        await go.wait()
        Job(job_name="late").emit()

    async def both() -> tuple[list[str], list[str]]:
        go = asyncio.Event()
        with capture_events() as first:
            task = asyncio.ensure_future(late(go))
            await asyncio.sleep(0)
        with capture_events() as second:
            Job(job_name="own").emit()
            go.set()
            await task
        return [e.job_name for e in first], [e.job_name for e in second]

    assert (["late"], ["own"]) == asyncio.run(both())


def test_a_misspelt_field_is_told_with_the_nearest() -> None:
    """`latencyy` names `latency` [TU-3]."""

    class Call(tg.WideEvent):
        latency: float = 0.0

    with capture_events() as events, Call():
        pass

    with pytest.raises(AttributeError, match=r"'latencyy'\. Did you mean latency\?"):
        events.one(Call).latencyy  # noqa: B018


def test_a_moved_clock_is_exact() -> None:
    """Three seconds inside a timer are 3,000 ms [TU-4]."""

    class Timed(tg.WideEvent):
        took = tg.timer(unit=tg.Unit.MILLISECONDS)

    with capture_events() as events, FakeClock() as time, Timed():
        time.advance(3)

    assert 3_000 == events.one(Timed).took


@pytest.mark.slow
def test_a_hundred_nested_children() -> None:
    """One line, the fields in their order, however deep the children are [TU-5]."""

    class Leaf(tg.WideEvent):
        f0: int = 0

    cls: Any = Leaf
    for depth in range(1, 101):
        cls = _around(cls, depth)
    with capture_events() as events, cls() as record:
        at = record
        while hasattr(at, "inner"):
            at = at.inner
        at.f0 = 7

    assert [f"f{depth}" for depth in range(100, -1, -1)] == list(events.last)[2:]
    assert 7 == events.last["f0"]


def _around(child: Any, depth: int) -> Any:
    def body(namespace: Any) -> None:
        namespace["__annotations__"] |= {f"f{depth}": int, "inner": child}
        namespace[f"f{depth}"] = 0
        namespace["inner"] = tg.slot()

    return types.new_class(f"Level{depth}", (tg.WideEvent,), exec_body=body)
