"""The native core gives back what it takes, and refuses what it cannot use."""

from __future__ import annotations

import asyncio
import contextlib
import enum
import gc
import os
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import tachograph as tg
from tachograph._core import native
from tachograph.formats.json import FlatJson
from tachograph.metrics import Destination, attach, detach
from tachograph.metrics.deadlines import deadlines
from tachograph.sinks import QueueSink

core: Any = native

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(native is None, reason="the native core is not built"),
]

IN_FLIGHT = tg.Counter()


class Color(enum.Enum):
    RED = 1


class Part(tg.WideEvent):
    rows: int = 0
    tags: list[str] = tg.metric(default_factory=list)
    watch = tg.stopwatch()


class Job(tg.WideEvent):
    name: str
    color: Color = Color.RED
    ratio: float = 0.5
    in_flight = tg.gauge(IN_FLIGHT)
    outcome = tg.outcome()
    timer = tg.timer()
    part: Part = tg.slot()


class Nowhere:
    """A target that takes everything."""

    def write(self, block: bytes) -> int:
        return len(block)

    def flush(self) -> None: ...

    def close(self) -> None: ...


@pytest.fixture
def sink() -> Iterator[QueueSink]:
    """Where the records of the test go."""
    sink = QueueSink(Nowhere(), name="leaks")
    attach([Destination(FlatJson(), sink)])
    yield sink
    detach()
    sink.close()


def plain() -> None:
    """A record as most are."""
    with Job(name="a") as job:
        Part.current().rows = 3
        with job.part.watch:
            pass
        job.part.watch.start().discard()
        job.timer.stop()


def unusual() -> None:
    """Values that Python has to write."""
    with Job(name='"\ud800' * 3) as job:
        job.part.rows = "no"  # type: ignore[assignment]
        job.extra["key"] = 1


def failing() -> None:
    """A scope that raises."""
    with contextlib.suppress(ValueError), Job(name="a"):
        raise ValueError


def refused() -> None:
    """Mistakes of the caller."""
    with contextlib.suppress(TypeError):
        Job(nme="a")  # type: ignore[call-arg]
    with contextlib.suppress(TypeError):
        Job("a")  # type: ignore[call-arg]
    with contextlib.suppress(AttributeError):
        Job(name="a").timer = 3  # type: ignore[assignment]


def discarded() -> None:
    """A record that is not wanted."""
    with Job(name="a") as job:
        job.discard()


def never_opened() -> None:
    """A record that is made and left."""
    Job(name="a", part=Part(rows=3))  # type: ignore[call-arg]


def held() -> None:
    """A record that waits."""
    with Job(name="a") as job:
        hold = job.hold(timeout=0.001)
    hold.release()


def late() -> None:
    """Writes that come too late."""
    with Job(name="a") as job:
        pass
    job.name = "b"
    with job.part.watch:
        pass


@pytest.mark.parametrize(
    "act", [plain, unusual, failing, refused, discarded, never_opened, held, late]
)
def test_nothing_is_kept(act: Callable[[], None], sink: QueueSink) -> None:
    """Memory blocks do not grow with the number of records, whatever happens to them."""

    def blocks(times: int) -> int:
        for _ in range(times):
            act()
        assert sink.flush()
        passed = threading.Event()  # the deadlines before it are over then
        deadlines.after(0.002, passed.set)
        assert passed.wait(30)
        gc.collect()
        return sys.getallocatedblocks()

    blocks(600)
    before = blocks(300)
    after = blocks(3_000)

    assert after - before < 900, f"{after - before} blocks were kept by 3,000 calls"
    assert 0 == IN_FLIGHT.value


def test_the_plain_path_leaves_the_garbage_collector_alone(sink: QueueSink) -> None:
    """Ten thousand records cause no collection: each frees what it allocated."""
    plain()
    gc.collect()
    runs = list[Any]()
    gc.callbacks.append(lambda phase, info: runs.append(phase))
    try:
        for _ in range(10_000):
            plain()
    finally:
        gc.callbacks.pop()

    assert [] == runs


def test_classes_can_be_collected() -> None:
    """A class that nobody uses any more goes with its plan."""

    def make() -> None:
        class Local(tg.WideEvent):
            part: Part = tg.slot()

        with Local() as local:
            local.discard()

    make()
    gc.collect()
    before = len(gc.get_objects())
    for _ in range(20):
        make()
    gc.collect()

    # What stays is the generated source, for tracebacks.
    assert len(gc.get_objects()) - before < 20 * 60


def test_a_record_ended_in_another_context_ends() -> None:
    """The context variable cannot be set back there; nothing raises, nothing else is current."""

    async def main() -> None:
        job = Job(name="a")

        async def begin() -> None:
            job.__enter__()

        await asyncio.create_task(begin())
        job.discard()
        job.__exit__(None, None, None)
        assert not Job.current()

    asyncio.run(main())


# ruff: noqa: PLW0108 -- the core may be absent where the table is read


@pytest.mark.parametrize(
    "call",
    [
        lambda: core.Plan(),
        lambda: core.Plan(None, None, None, int, (), (), (1,), (), True),
        lambda: core.Plan(None, None, None, int, ((1, 2),), (), (), (), True),
        lambda: core.Plan(None, None, None, int, (), ((0, 0, int, int, ()),), (), (), True),
        lambda: core.Plan(None, None, None, int, (), (), (), ((3, 0, 0, None),), True),
        lambda: core.LineEncoder(b"", [()], print, 10),
        lambda: core.LineEncoder(b"", [(b"k", 1, 0, 5, print, 1)], print, 10),
        lambda: core.LineEncoder(b"", [(b"k", 1, 0, ((1, 2),), print, 1)], print, 10),
        lambda: core.LineEncoder(b"", [(b"k", 1, 0, None, print, 0)], print, 10),
        lambda: core.Lines(1, 2),
        lambda: core.Lines("a", 2, print),
        lambda: core.Lines(1, 2, print).append("text"),
        lambda: core.Lines(1, 2, print).release("text"),
        lambda: core.offset_of(Job, "emit"),
        lambda: core.offset_of(int, "real"),
        lambda: core.bind(int, 3),
        lambda: core.bind(1),
        lambda: core.Counter("x"),
        lambda: core.Counter().add(1, 2),
        lambda: core.Stopwatch().elapsed_ns("x"),
        lambda: core.Timer(),
        lambda: core.Span(),
        lambda: core.Batch(),
        lambda: Job.__dict__["timer"].__get__(3, int),
    ],
)
def test_wrong_arguments_are_refused(call: Callable[[], object]) -> None:
    """An exception, never a crash."""
    with pytest.raises((TypeError, ValueError)):
        call()


def test_a_record_without_a_plan_is_harmless() -> None:
    """The bare native class can be made and opened, and does nothing."""
    record = core.Record()

    assert record.__enter__() is record
    record.__exit__(None, None, None)
    record._pause()


def test_the_sanitized_core_is_the_one_under_test() -> None:
    """Where the sanitizers run, they watch the core that was built for them."""
    tree = os.environ.get("TACHOGRAPH_SANITIZED")

    assert tree is None or Path(core.__file__).is_relative_to(tree)
