"""The captures that users' tests rely on."""

from __future__ import annotations

import logging
import threading

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
