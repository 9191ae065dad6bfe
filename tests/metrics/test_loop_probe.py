"""One loop, watched with a clock and a selector that the test moves."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import selectors
import time
from collections.abc import Callable, Iterator
from typing import Any

import anyio.to_thread
import pytest

from tachograph.metrics.loop_probe import LoopProbe


class Bench:
    """A loop whose selector takes as long as it was asked to wait, on the clock of the test."""

    def __init__(self) -> None:
        self.now = 100.0
        self.events: list[Any] = []
        self.takes: float | None = None
        self.loop = asyncio.SelectorEventLoop(selectors.SelectSelector())
        self.selector: Any = self.loop._selector  # type: ignore[attr-defined]
        self.real = self.selector.select
        self.selector.select = self.stand_in
        self.probe = LoopProbe(self.loop, "main", now=lambda: self.now)
        self.probe.install()
        self.loop._ready.clear()  # type: ignore[attr-defined]  # the heartbeat is called by hand

    def stand_in(self, timeout: float | None = None) -> list[Any]:
        self.now += (timeout or 0.0) if self.takes is None else self.takes
        return self.events

    def work(self, seconds: float) -> None:
        self.now += seconds

    def timer(self, when: float) -> asyncio.TimerHandle:
        return self.loop.call_at(when, lambda: None)


@pytest.fixture
def bench() -> Iterator[Bench]:
    """A loop that the test drives."""
    made = Bench()
    yield made
    made.probe.remove()
    made.selector.select = made.real
    made.loop.close()


def running(loop: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have *loop* say that it runs."""
    monkeypatch.setattr(loop, "is_running", lambda: True)


def test_busy_is_what_was_not_spent_in_the_selector(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only waiting counts as idle: asking the selector without waiting is work."""
    running(bench.loop, monkeypatch)
    for _ in range(4):
        bench.selector.select(0.01)
        bench.work(0.03)
    bench.takes = 0.02
    bench.selector.select(0)
    found = bench.probe.sample()

    assert (180.0, 140.0, 0.7778) == (
        found["elapsed_ms"],
        found["busy_ms"],
        found["busy_ratio"],
    )
    assert 4 == found["park_count"]


def test_a_park_that_still_lasts_is_idle(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Looked at from outside in the middle of a long sleep, the loop is not busy; once only."""
    running(bench.loop, monkeypatch)
    seen = []

    def sleeping(timeout: float | None = None) -> list[Any]:
        bench.now += 8.0
        seen.append(bench.probe.sample()["busy_ratio"])
        bench.now += 2.0
        return []

    monkeypatch.setattr(bench, "stand_in", sleeping)
    probe = LoopProbe(bench.loop, "x", now=lambda: bench.now)
    bench.selector.select = sleeping
    probe.install()
    bench.probe = probe
    bench.selector.select(None)
    bench.work(2.0)
    found = probe.sample()

    assert [0.0] == seen
    assert (4000.0, 0.5) == (found["elapsed_ms"], found["busy_ratio"])


def test_queues_events_and_steps_are_counted(bench: Bench) -> None:
    """Ready callbacks, events and due timers are the steps; the deepest queue is kept once."""
    for _ in range(3):
        bench.loop.call_soon(lambda: None)
    bench.timer(bench.now - 0.001)
    bench.events = [object(), object()]
    bench.selector.select(0)
    bench.loop._ready.clear()  # type: ignore[attr-defined]
    first, second = bench.probe.sample(), bench.probe.sample()

    assert (3, 0) == (first["ready_depth_max"], first["ready_depth"])
    assert (2, 6, 1) == (first["io_events"], first["steps_count"], first["timers_scheduled"])
    assert (0, 0, 0) == (
        second["ready_depth_max"],
        second["steps_count"],
        second["io_events"],
    )
    assert "step_mean_us" not in second


def test_an_empty_wakeup_found_nothing_to_do(bench: Bench) -> None:
    """No event and no timer due: somebody woke the loop for nothing."""
    timer = bench.timer(bench.now + 5)
    bench.takes = 1
    bench.selector.select(5)
    bench.takes = 4
    bench.selector.select(4)
    timer.cancel()

    assert 1 == bench.probe.sample()["empty_wakeups"]


def test_timers_are_late_from_ten_milliseconds(bench: Bench) -> None:
    """Those that are due are looked at, however many wait; cancelled ones run not at all."""
    for ahead in range(50):
        bench.timer(bench.now + 1 + ahead)
    for late_s in (0.5, 0.011, 0.009, 0.0):
        bench.timer(bench.now - late_s)
    bench.timer(bench.now - 0.4).cancel()
    bench.selector.select(0)
    found = bench.probe.sample()

    assert (2, 4) == (found["late_timers"], found["steps_count"])


def test_lag_is_seen_while_it_lasts(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A heartbeat that is overdue counts towards the maximum before it comes."""
    running(bench.loop, monkeypatch)
    bench.probe._begin()
    bench.now += 0.1
    bench.probe._beat()
    bench.now += 0.15
    bench.probe._beat()
    bench.now += 2.1
    blocked = bench.probe.sample()
    bench.now += 1.0
    bench.probe._beat()
    after = bench.probe.sample()

    assert (25.0, 2000.0) == (blocked["loop_lag_ms"], blocked["loop_lag_max_ms"])
    assert (3000.0, 3000.0) == (after["loop_lag_ms"], after["loop_lag_max_ms"])


def test_a_loop_that_does_not_run_is_neither_busy_nor_late(bench: Bench) -> None:
    """Between two runs nothing is known of it: those fields are absent, never 0."""
    bench.probe._begin()
    bench.now += 30
    bench.probe.note_pause()
    bench.probe._beat()
    found = bench.probe.sample()

    assert not {"busy_ratio", "busy_ms", "loop_lag_max_ms", "step_mean_us"} & found.keys()


def test_the_selector_is_put_back(bench: Bench) -> None:
    """At the end it is the one from before, an attribute only if it was one [RT-5]."""
    plain = asyncio.SelectorEventLoop()
    selector: Any = plain._selector  # type: ignore[attr-defined]
    probe = LoopProbe(plain, "plain")
    probe.install()
    wrapped = "select" in vars(selector)
    probe.remove()
    bench.probe.remove()

    assert wrapped
    assert "select" not in vars(selector)
    assert bench.stand_in == bench.selector.select
    plain.close()


def test_a_wrapper_around_ours_stays(bench: Bench) -> None:
    """Whoever came later keeps working, with ours below it counting for nobody [RT-5]."""
    ours = bench.selector.select

    def theirs(timeout: float | None = None) -> Any:
        return ours(timeout)

    bench.selector.select = theirs
    bench.probe.remove()
    bench.events = [object()]
    events = bench.selector.select(1)

    assert theirs is bench.selector.select
    assert bench.events == events


def test_a_selector_that_raises_is_let_through(bench: Bench) -> None:
    """The loop sees the error; the park has ended."""

    def broken(timeout: float | None = None) -> Any:
        bench.now += 1
        raise OSError("bad descriptor")

    probe = LoopProbe(bench.loop, "x", now=lambda: bench.now)
    bench.selector.select = broken
    probe.install()
    with pytest.raises(OSError, match="bad descriptor"):
        bench.selector.select(None)

    bench.now += 1
    found = probe.sample()
    probe.remove()

    assert (1, 2000.0) == (found["park_count"], found["elapsed_ms"])
    assert 1.0 == probe._counts.parked_s


class OwnTime(asyncio.SelectorEventLoop):
    def time(self) -> float:
        return 0.0


class Hidden:
    """A loop that shows nothing but what every loop must have."""

    def __init__(self) -> None:
        self._loop = asyncio.SelectorEventLoop()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._loop, name)


@pytest.mark.parametrize("make", [OwnTime, Hidden])
def test_what_is_hidden_is_absent(make: Callable[[], Any]) -> None:
    """Without the selector's internals there is no busy ratio and no depth, never a 0 [RT-4]."""
    loop = make()
    probe = LoopProbe(loop, "x")
    probe.install()
    found = probe.sample()
    probe.remove()
    loop.close()

    assert {"loop_name", "elapsed_ms"} == found.keys()


@pytest.mark.parametrize(("most", "expected"), [(2_000, 4), (3, None)])
def test_tasks_are_counted_where_they_are_few(most: int, expected: int | None) -> None:
    """Above the limit counting would hold the loop up, so the field is absent."""

    async def main() -> dict[str, Any]:
        gc.collect()  # tasks of earlier tests are known until they are collected
        loop = asyncio.get_running_loop()
        probe = LoopProbe(loop, "x", max_tasks=most)
        others = [loop.create_task(asyncio.sleep(60)) for _ in range(3)]
        probe.ask()
        # From 3.14 on tasks are kept in C, where only the count before tells how many there are.
        for _ in range(2):
            probe._count_tasks(0)
            found = probe.sample()
        for other in others:
            other.cancel()
        return found

    assert expected == asyncio.run(main()).get("tasks_alive")


def test_threads_of_anyio_are_seen() -> None:
    """Its limiter is found only inside a task of the loop."""

    async def main() -> dict[str, Any]:
        loop = asyncio.get_running_loop()
        probe = LoopProbe(loop, "x")
        probe.look()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return probe.sample()

    assert anyio.to_thread is not None
    found = asyncio.run(main())

    assert (0, 0) == (found["anyio_threads_in_use"], found["anyio_threads_waiting"])
    assert 1 == found["tasks_alive"]


def test_the_heartbeat_keeps_no_context_alive() -> None:
    """It runs in an empty context: a request's open record must not live on in it."""
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="none")

    async def main() -> str | None:
        variable.set("a request's")
        loop = asyncio.get_running_loop()
        probe = LoopProbe(loop, "x")
        probe.install()
        await asyncio.sleep(0)
        seen: str | None = probe._timer._context.get(variable)
        probe.remove()
        return seen

    assert asyncio.run(main()) is None


def test_removal_ends_the_heartbeat() -> None:
    """No timer of ours is left on the loop [RT-5]."""

    async def main() -> bool:
        loop = asyncio.get_running_loop()
        probe = LoopProbe(loop, "x")
        probe.install()
        await asyncio.sleep(0)
        timer = probe._timer
        probe.remove()
        return bool(timer.cancelled())

    assert asyncio.run(main())


def test_the_real_clock_is_the_loops() -> None:
    """Timers are compared by the clock that asyncio sets them by."""
    loop = asyncio.SelectorEventLoop()
    probe = LoopProbe(loop, "x")
    loop.close()

    assert probe._now is time.monotonic
