"""The bridge: loops and the process in records of their own, whatever the loops do."""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import tachograph as tg
from tachograph._base.ratelimit import reset_once
from tachograph.metrics.names import STYLES, restyle
from tachograph.metrics.runtime import RuntimeBridge, RuntimeMetrics
from tachograph.testing import CapturedEvents, capture_events

Make = Callable[..., RuntimeBridge]


@pytest.fixture
def make() -> Iterator[Make]:
    """Return a function that makes a bridge without a thread: the test calls `tick`."""
    made: list[RuntimeBridge] = []

    def bridge(**settings: Any) -> RuntimeBridge:
        made.append(RuntimeBridge(tg.RuntimeConfig(**settings), threaded=False))
        return made[-1]

    yield bridge
    with capture_events():  # what they say at their end is nobody's
        for one in made:
            one.close()


async def _some_turns() -> None:
    """Let the loop do what it was asked to."""
    for _ in range(3):
        await asyncio.sleep(0)


def test_a_sample_comes_every_interval(make: Make) -> None:
    """One record of each loop and one of the process; before its time there is none."""

    async def main() -> CapturedEvents:
        bridge = make(interval=30)
        begun = bridge._next_s
        with capture_events() as events, bridge.watch(name="api"):
            bridge.tick(begun - 0.01)
            early = len(events)
            bridge.tick(begun)
            bridge.tick(begun + 29.9)
            bridge.tick(begun + 30)
            assert early == 0
            assert len(events) == 4
        return events

    events = asyncio.run(main())
    names = [event.record for event in events]

    assert ["RuntimeMetrics", "ProcessMetrics"] * 3 == names  # the last pair when the watch ended
    assert {"api"} == {e["loop_name"] for e in events.all("RuntimeMetrics")}
    assert {1} == {e["loops_count"] for e in events.all("RuntimeMetrics")}


def test_samples_that_came_too_late_are_counted(make: Make) -> None:
    """A suspended process makes up for nothing: one sample, and the missed ones in statistics."""
    bridge = make(interval=10)
    begun = bridge._next_s
    with capture_events() as events:
        bridge.tick(begun + 35)
        bridge.tick(begun + 39)
    found = bridge.statistics()

    assert 1 == len(events)
    assert (1, 3, 0) == (found["samples"], found["missed"], found["failures"])


def test_every_field_is_filled_by_something(make: Make) -> None:
    """On a plain loop everything is known but what is not in use: none is declared for nothing."""

    async def main() -> dict[str, Any]:
        bridge = make()
        with capture_events() as events, bridge.watch():
            await asyncio.get_running_loop().run_in_executor(None, gc.collect)
            (probe,) = bridge._probes.values()
            probe._beat()
            await asyncio.sleep(0)
            probe.look()
            await _some_turns()
            bridge.tick(bridge._next_s, delay_s=0.001)
        return dict(events.all(RuntimeMetrics)[0])

    import anyio.to_thread  # noqa: F401 -- its threads are seen where it is loaded

    found = asyncio.run(main())
    declared = {field.attribute for field in RuntimeMetrics.__wide_event__.fields}

    assert declared == found.keys() & declared
    assert "main" == found["loop_name"]
    assert (1.0, 1.0) == (found["gil_delay_ms"], found["gil_delay_max_ms"])
    assert found["gc_collections_gen2"] >= 1


@pytest.mark.parametrize("style", STYLES)
def test_names_follow_the_style(make: Make, style: str) -> None:
    """All fields are renamed and none is lost [RT-7]."""
    bridge = make(rename=style)
    classes: tuple[Any, ...] = (bridge._runtime_class, bridge._process_class)
    bases: tuple[Any, ...] = (RuntimeMetrics, tg.ProcessMetrics)
    for cls, base in zip(classes, bases, strict=True):
        expected = [restyle(f.attribute, style) for f in base.__wide_event__.fields]

        assert expected == [field.emitted for field in cls.__wide_event__.fields]
        assert base.__wide_event__.plan.name == cls.__wide_event__.plan.name
        assert base.__wide_event__.plan.doc == cls.__wide_event__.plan.doc


def test_everything_is_restored(make: Make) -> None:
    """Selector, collector, task factory, exception handler and threads are as before [RT-5]."""

    def state(loop: Any) -> list[Any]:
        return [
            loop._selector.select,
            vars(loop._selector).keys() & {"select"},
            list(gc.callbacks),
            loop.get_task_factory(),
            loop.get_exception_handler(),
            {thread.name for thread in threading.enumerate()},
        ]

    async def main() -> list[list[Any]]:
        loop = asyncio.get_running_loop()
        states = [state(loop)]
        bridge = RuntimeBridge(tg.RuntimeConfig())
        with capture_events():
            bridge.watch()
            states.append(state(loop))
            bridge.close()
        states.append(state(loop))
        return states

    before, during, after = asyncio.run(main())

    assert before == after
    assert before[0] != during[0]
    assert len(before[2]) + 1 == len(during[2])
    assert {"tachograph-runtime"} == during[5] - before[5]


def test_loops_of_several_threads_have_a_record_each(make: Make) -> None:
    """By the names of their threads, one that is taken gets a number [RT-6]."""
    bridge = make()
    ready = threading.Barrier(4)
    done = threading.Event()

    async def main() -> None:
        bridge.watch()
        await asyncio.sleep(0)
        await asyncio.to_thread(ready.wait, 10)
        await asyncio.to_thread(done.wait, 10)

    names = ("a", "b", "b")
    threads = [threading.Thread(target=asyncio.run, args=(main(),), name=name) for name in names]
    with capture_events() as events:
        for thread in threads:
            thread.start()
        ready.wait(10)
        bridge.tick(bridge._next_s)
        done.set()
        for thread in threads:
            thread.join()
        found = events.all(RuntimeMetrics)
        bridge.tick(bridge._next_s)

    assert ["a", "b", "b-2"] == sorted(event["loop_name"] for event in found)
    assert {3} == {event["loops_count"] for event in found}
    assert 0 == bridge.statistics()["loops"]  # closed loops have had their last record
    assert 6 == len(events.all(RuntimeMetrics))


def test_a_loop_is_watched_once(make: Make) -> None:
    """A second request changes nothing; an ended watch ends once."""

    async def main() -> tuple[int, int]:
        bridge = make()
        first = bridge.watch()
        bridge.watch(asyncio.get_running_loop())
        count = bridge.statistics()["loops"]
        with capture_events() as events:
            first.close()
            first.close()
        return count, len(events.all(RuntimeMetrics))

    assert (1, 1) == asyncio.run(main())


def test_watching_where_no_loop_runs_is_refused(make: Make) -> None:
    """A full sentence says where to call it."""
    bridge = make()
    loop = asyncio.new_event_loop()
    loop.close()
    with pytest.raises(RuntimeError, match="inside the coroutine"):
        bridge.watch()
    with pytest.raises(RuntimeError, match="got a closed one"):
        bridge.watch(loop)


def test_a_part_that_fails_costs_only_itself(
    make: Make, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is counted and said once; the process is still reported, the next sample comes."""
    reset_once()

    async def main() -> tuple[dict[str, int], list[str]]:
        bridge = make()
        bridge.watch()
        (probe,) = bridge._probes.values()
        monkeypatch.setattr(type(probe), "sample", lambda self: 1 / 0)
        with capture_events() as events:
            bridge.tick(bridge._next_s)
            bridge.tick(bridge._next_s)
        return bridge.statistics(), [event.record for event in events]

    statistics, records = asyncio.run(main())

    assert ["ProcessMetrics"] * 2 == records
    assert (2, 2) == (statistics["samples"], statistics["failures"])
    assert 1 == sum("ZeroDivisionError" in line for line in caplog.messages)


def test_a_short_process_gets_one_sample(make: Make) -> None:
    """One that ends before its first interval is over is reported at its end, once."""
    bridge = make()
    with capture_events() as events:
        bridge.close()
        bridge.close()

    assert ["ProcessMetrics"] == [event.record for event in events]


def test_samplers_do_not_thin_it_out(tmp_path: Any) -> None:
    """A sampling made for requests keeps every record of the runtime."""
    config = tg.TelemetryConfig(
        service="x", telemetry_dir=tmp_path, sampling=tg.Sampling(1e-9), runtime=tg.RuntimeConfig()
    )
    with tg.init_telemetry(config) as guard:
        pass
    text = "".join(path.read_text() for path in tmp_path.glob("metrics.log.*"))

    assert 1 == text.count('"record":"ProcessMetrics"')
    assert 1 == guard.statistics()["runtime"]["samples"]


def test_it_is_off_unless_asked_for(tmp_path: Any) -> None:
    """Then no thread, no loop and no collector is touched, and watching is a no-op."""
    before = list(gc.callbacks)

    async def main(guard: tg.TelemetryGuard) -> bool:
        with guard.watch_loop():
            return "select" in vars(asyncio.get_running_loop()._selector)  # type: ignore[attr-defined]

    with tg.init_telemetry(tg.TelemetryConfig(service="x", telemetry_dir=tmp_path)) as guard:
        touched = asyncio.run(main(guard))

        assert before == gc.callbacks
        assert "tachograph-runtime" not in {t.name for t in threading.enumerate()}
    assert not touched
    assert "runtime" not in guard.statistics()


def test_a_loop_without_internals_lacks_what_needs_them(make: Make) -> None:
    """On uvloop selector and queue are absent; lag, tasks and the rest are there [RT-4]."""
    uvloop = pytest.importorskip("uvloop", reason="uvloop is not made for this platform")

    async def main() -> dict[str, Any]:
        bridge = make()
        with capture_events() as events, bridge.watch():
            await asyncio.sleep(0)
            (probe,) = bridge._probes.values()
            probe._beat()
            probe.look()
            await _some_turns()
            bridge.tick(bridge._next_s, delay_s=0.0)
        return dict(events.all(RuntimeMetrics)[0])

    found = uvloop.run(main())
    needs = {"busy_ratio", "park_count", "ready_depth", "steps_count", "timers_scheduled"}
    rest = {"loop_lag_max_ms", "tasks_alive", "gc_pause_ms", "gil_delay_ms", "threads_count"}

    assert set() == needs & found.keys()
    assert rest == rest & found.keys()


def _measured(work: Callable[[], Any], seconds: float) -> list[dict[str, Any]]:
    """Return the runtime records of a loop that does *work*, sampled by the bridge's thread."""

    async def main() -> None:
        bridge = RuntimeBridge(tg.RuntimeConfig(interval=seconds))
        try:
            with bridge.watch():
                await work()
        finally:
            bridge.close()

    with capture_events() as events:
        asyncio.run(main())
    return [dict(event) for event in events.all(RuntimeMetrics)]


@pytest.mark.slow
def test_a_blocked_loop_is_reported_on_time() -> None:
    """`time.sleep` for 2 s: the record comes while it lasts and tells the lag so far [RT-1]."""
    during: list[int] = []

    async def work() -> None:
        await asyncio.sleep(0.1)
        with capture_events() as events:
            time.sleep(2.0)
            during.append(len(events.all(RuntimeMetrics)))
        await asyncio.sleep(0.2)

    async def main() -> None:
        bridge = RuntimeBridge(tg.RuntimeConfig(interval=0.5))
        try:
            with bridge.watch():
                await work()
        finally:
            bridge.close()

    with capture_events() as outer:
        asyncio.run(main())
    most = max(event["loop_lag_max_ms"] for event in outer.all(RuntimeMetrics))

    assert during[0] >= 2
    assert most >= 1_900


@pytest.mark.slow
def test_an_idle_loop_is_parked() -> None:
    """Busy for less than a twentieth, and it went to sleep [RT-2]."""
    (found, *_) = _measured(lambda: asyncio.sleep(1.2), 1.0)

    assert found["busy_ratio"] < 0.05
    assert found["park_count"] > 0


@pytest.mark.slow
def test_a_loop_that_is_blocked_half_the_time_is_half_busy() -> None:
    """Alternately 10 ms blocked and 10 ms awaited [RT-3]."""

    async def work() -> None:
        for _ in range(55):
            time.sleep(0.01)
            await asyncio.sleep(0.01)

    (found, *_) = _measured(work, 1.0)

    assert 0.4 <= found["busy_ratio"] <= 0.75


FORK = """
import asyncio, json, os, sys, threading
import tachograph as tg
from tachograph.testing import capture_events

guard = tg.init_telemetry(tg.TelemetryConfig(
    service="x", telemetry_dir=sys.argv[1], runtime=tg.RuntimeConfig()))
names = lambda: sorted(t.name for t in threading.enumerate())

async def parent():
    with guard.watch_loop(name="parent"):
        if not (child := os.fork()):
            asyncio.set_event_loop(None)
            asyncio._set_running_loop(None)
            before = names(), guard.statistics()["runtime"]["loops"]
            asyncio.run(served(before))
            guard.close()
            os._exit(0)
        os.waitpid(child, 0)

async def served(before):
    with guard.watch_loop(name="child"):
        print(json.dumps([*before, names()]), flush=True)

asyncio.run(parent())
guard.close()
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_forked_child_starts_anew(tmp_path: Any) -> None:
    """Its parent's loops are not its own; its thread starts with the first loop of its own."""
    import json

    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FORK, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert 0 == done.returncode, done.stderr
    threads, loops, later = json.loads(done.stdout)
    lines = [
        json.loads(line)
        for path in tmp_path.glob("metrics.log.*")
        for line in path.read_text().splitlines()
    ]

    assert (0, False, True) == (
        loops,
        "tachograph-runtime" in threads,
        "tachograph-runtime" in later,
    )
    assert ["child", "parent"] == [
        line["loop_name"] for line in lines if line["record"] == "RuntimeMetrics"
    ]
