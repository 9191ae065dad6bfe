"""Spans of OpenTelemetry's SDK, as the recorder writes them."""

from __future__ import annotations

import asyncio
import gc
import importlib
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    TraceFlags,
    Tracer,
    set_span_in_context,
)
from tests.recorder.reading import segments, tell

from tachograph import recorder
from tachograph.recorder import RecorderConfig, SourcesConfig, span
from tachograph.recorder.events import EventBuffer
from tachograph.recorder.sources import otel
from tachograph.recorder.sources.otel import RecorderSpanProcessor
from tachograph.recorder.spans import SPAN, others


class Setup:
    """A provider of spans with our processor."""

    def __init__(self, waiting: EventBuffer) -> None:
        self.waiting = waiting
        self.processor: RecorderSpanProcessor
        self.provider = TracerProvider(shutdown_on_exit=False)

    def use(self, **settings: Any) -> Tracer:
        """Return a tracer whose spans go to a processor that is told so."""
        self.processor = RecorderSpanProcessor(**settings)
        self.provider.add_span_processor(self.processor)
        return self.provider.get_tracer("test")

    def take(self) -> dict[str, dict[str, Any]]:
        """Take the spans that wait, by name."""
        fields = [name for name, *_ in SPAN.fields]
        found = [
            {**dict(zip(fields, each.values, strict=True)), "time_ns": each.time_ns}
            for each in self.waiting.take(10**6)
        ]
        return {each["span_name"]: each for each in found}


@pytest.fixture
def setup(waiting: EventBuffer) -> Iterator[Setup]:
    """Ends with the test."""
    setup = Setup(waiting)
    yield setup
    setup.provider.shutdown()
    assert [] == others


def test_a_span_is_told_at_its_end(setup: Setup) -> None:
    """With its duration, when it ended, its attributes as texts, and its ids there."""
    tracer = setup.use()
    with tracer.start_as_current_span("load", attributes={"shard": 3}) as it:
        time.sleep(0.02)
        it.set_attribute("rows", [7, 8])
    now = time.monotonic_ns()
    found = setup.take()["load"]

    assert 20_000_000 <= found["duration_ns"] < 2_000_000_000
    assert 0 <= now - found["time_ns"] < 1_000_000_000
    assert ("Ok", None, None) == (found["outcome"], found["parent_span_id"], found["task_id"])
    context = it.get_span_context()
    assert {
        "shard": "3",
        "rows": "(7, 8)",
        "otel.trace_id": f"{context.trace_id:032x}",
        "otel.span_id": f"{context.span_id:016x}",
    } == found["fields"]


def test_times_that_the_program_gives_are_kept(setup: Setup) -> None:
    """A span may be told long after it was."""
    tracer = setup.use()
    now, wall = time.monotonic_ns(), time.time_ns()
    it = tracer.start_span("late", start_time=wall - 5 * 10**9)
    it.end(end_time=wall - 2 * 10**9)
    found = setup.take()["late"]

    assert 3 * 10**9 == found["duration_ns"]
    assert found["time_ns"] == pytest.approx(now - 2 * 10**9, abs=10**9)


def test_a_span_that_ends_before_it_starts_took_no_time(setup: Setup) -> None:
    """Durations are not negative."""
    wall = time.time_ns()
    setup.use().start_span("odd", start_time=wall).end(end_time=wall - 5)

    assert 0 == setup.take()["odd"]["duration_ns"]


def test_parents_are_those_of_the_context_whoever_opened_them(setup: Setup) -> None:
    """Ours within theirs within ours."""
    tracer = setup.use()
    with span("a"), tracer.start_as_current_span("b"), span("c"):
        with tracer.start_as_current_span("d"):
            pass
        with span("e"):
            pass
    found = setup.take()
    number = {name: each["span_id"] for name, each in found.items()}

    assert 5 == len(set(number.values()))
    assert {
        "a": None,
        "b": number["a"],
        "c": number["b"],
        "d": number["c"],
        "e": number["c"],
    } == {name: each["parent_span_id"] for name, each in found.items()}


def test_tasks_that_begin_within_have_it_as_their_parent(setup: Setup) -> None:
    """Also when they outlive it; siblings do not see each other's."""
    tracer = setup.use()

    async def child(name: str) -> None:
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        with tracer.start_as_current_span(name):
            await asyncio.sleep(0)
            with span(f"in {name}"):
                pass

    async def main() -> None:
        with tracer.start_as_current_span("outer"):
            tasks = [asyncio.create_task(child(name)) for name in "xy"]
        await asyncio.gather(*tasks)

    asyncio.run(main())
    found = setup.take()

    outer = found["outer"]["span_id"]
    assert [outer, outer] == [found[name]["parent_span_id"] for name in "xy"]
    for name in "xy":
        assert found[name]["span_id"] == found[f"in {name}"]["parent_span_id"]


def test_an_explicit_context_goes_before_the_current_one(setup: Setup) -> None:
    """The parent that is given, none where there is none in it; a remote one is none."""
    tracer = setup.use()
    with tracer.start_as_current_span("a") as a, tracer.start_as_current_span("b"):
        tracer.start_span("of a", context=set_span_in_context(a)).end()
        tracer.start_span("top", context=Context()).end()
    remote = SpanContext(1, 2, is_remote=True, trace_flags=TraceFlags(1))
    with tracer.start_as_current_span(
        "remote", context=set_span_in_context(NonRecordingSpan(remote))
    ):
        pass
    found = setup.take()

    parents = {name: found[name]["parent_span_id"] for name in ("of a", "top", "remote")}
    assert {"of a": found["a"]["span_id"], "top": None, "remote": None} == parents


def test_children_of_one_that_is_left_out_are_those_of_the_one_around(setup: Setup) -> None:
    """So no span has a parent that is not told."""
    tracer = setup.use(names=["GET *", "db"])
    with (
        tracer.start_as_current_span("GET /items"),
        tracer.start_as_current_span("middleware"),
        tracer.start_as_current_span("db"),
        span("own"),
    ):
        pass
    found = setup.take()

    assert {"GET /items", "db", "own"} == set(found)
    assert found["GET /items"]["span_id"] == found["db"]["parent_span_id"]
    assert found["db"]["span_id"] == found["own"]["parent_span_id"]


def test_rules_of_the_filter_hold_together(setup: Setup) -> None:
    """Name, attributes that it starts with, and the program's own judgement."""
    asked = []

    def only(it: ReadableSpan) -> bool:
        asked.append(it.name)
        return it.name != "db 3"

    tracer = setup.use(names=["db*"], having={"system": "p*", "port": "54??"}, only=only)
    cases: dict[str, dict[str, str | int]] = {
        "db 1": {"system": "postgres", "port": 5432},
        "db 2": {"system": "redis", "port": 5432},
        "db 3": {"system": "postgres", "port": 5433},
        "db 4": {"system": "postgres"},
        "web": {"system": "postgres", "port": 5432},
    }
    for name, attributes in cases.items():
        tracer.start_span(name, attributes=attributes).end()

    assert ["db 1", "db 3"] == asked
    assert {"db 1"} == set(setup.take())


def test_only_chosen_attributes_are_written(setup: Setup) -> None:
    """By patterns; the ids are always there."""
    tracer = setup.use(attributes=["http.*", "user"])
    tracer.start_span("x", attributes={"http.method": "GET", "user": "u", "token": "t"}).end()

    assert {"http.method", "user", "otel.trace_id", "otel.span_id"} == set(
        setup.take()["x"]["fields"]
    )


def test_an_error_is_the_outcome(setup: Setup) -> None:
    """The exception's type, if it is known."""
    tracer = setup.use()
    with pytest.raises(TimeoutError), tracer.start_as_current_span("raises"):
        raise TimeoutError
    from opentelemetry.trace import StatusCode

    it = tracer.start_span("says so")
    it.set_status(StatusCode.ERROR)
    it.end()
    found = setup.take()

    assert ["TimeoutError", "Error"] == [found[n]["outcome"] for n in ("raises", "says so")]


def test_a_filter_that_raises_costs_its_span_only(
    setup: Setup, caplog: pytest.LogCaptureFixture
) -> None:
    """The program goes on; it is counted, and said once a minute."""

    def only(it: ReadableSpan) -> bool:
        if it.name == "bad":
            raise KeyError(it.name)
        return True

    tracer = setup.use(only=only)
    with tracer.start_as_current_span("good"):
        tracer.start_span("bad").end()
        tracer.start_span("bad").end()

    assert {"good"} == set(setup.take())
    assert 2 == setup.processor.failures
    assert 1 == len([r for r in caplog.records if "was not recorded" in r.getMessage()])


def test_nothing_is_told_while_it_is_off(setup: Setup) -> None:
    """A span that began before has no number, one that ends after is not written."""
    tracer = setup.use()
    setup.waiting.is_open = False
    with tracer.start_as_current_span("before"):
        setup.waiting.is_open = True
        with tracer.start_as_current_span("inside"):
            pass
    with tracer.start_as_current_span("stopped"):
        setup.waiting.is_open = False
    setup.waiting.is_open = True

    assert {"inside": None} == {n: s["parent_span_id"] for n, s in setup.take().items()}


def test_spans_that_never_end_are_not_kept(setup: Setup) -> None:
    """Nor are those that did."""
    tracer = setup.use()
    for number in range(100):
        tracer.start_span("lost")
        tracer.start_span(f"ended {number}").end()
    gc.collect()

    assert (0, 0) == (len(setup.processor._spans), len(setup.processor._by_id))
    assert setup.processor.force_flush()


def test_in_a_recording_it_has_its_task(tmp_path: Path) -> None:
    """And is read back from the file."""
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(RecorderSpanProcessor())
    tracer = provider.get_tracer("test")

    async def work() -> None:
        with tracer.start_as_current_span("work", attributes={"k": "v"}):
            await asyncio.sleep(0)

    config = RecorderConfig(directory=tmp_path, sources=SourcesConfig.none())
    with recorder.start(config) as recording:
        home = recording.directory
        asyncio.run(work())
    provider.shutdown()
    assert home is not None
    told = tell(segments(home))

    (event,) = [each for each in told.own if each.name == "tacho:Span"]
    assert event["task_id"] in {step.task for steps in told.steps.values() for step in steps}
    assert ("work", "Ok", "v") == (
        event["span_name"],
        event["outcome"],
        dict(event["fields"])["k"],
    )


def test_without_the_sdk_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """An import that fails names the extra."""
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    monkeypatch.delitem(sys.modules, otel.__name__)
    with pytest.raises(ImportError, match=r"tachograph\[otel\]"):
        importlib.import_module(otel.__name__)
