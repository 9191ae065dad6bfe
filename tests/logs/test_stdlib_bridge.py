"""The handler: it never raises, never waits, and counts."""

from __future__ import annotations

import asyncio
import logging
import signal
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from tachograph.logs import LogPipeline, get_logger
from tachograph.logs.line import JsonLine
from tachograph.logs.stdlib_bridge import MAX_NESTING, Bridge
from tachograph.logs.tally import Tally

if TYPE_CHECKING:
    from tests.logs.conftest import Lines

log = logging.getLogger("orders")


def test_no_lock() -> None:
    """The handler has no lock that a log call could wait for."""
    tally = Tally()

    assert Bridge(JsonLine({}, tally), lambda _: None, tally).lock is None


def test_lines_of_many_threads_are_whole(pipeline: LogPipeline, lines: Lines) -> None:
    """Threads that log at once lose nothing and mix nothing."""
    go = threading.Barrier(8)

    def work(worker: int) -> None:
        go.wait()
        for number in range(100):
            get_logger("orders", worker=worker).info("n", number=number)

    threads = [threading.Thread(target=work, args=(worker,)) for worker in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = [(line["worker"], line["number"]) for line in lines.all]

    assert [(w, n) for w in range(8) for n in range(100)] == sorted(found)
    assert 800 == pipeline.statistics().lines


def test_a_sink_that_raises_is_survived(start: Callable[..., LogPipeline], lines: Lines) -> None:
    """A sink that raises costs the line, counted; the caller sees nothing."""
    pipeline = start()

    def full(_line: bytes) -> None:
        msg = "full"
        raise OSError(msg)

    pipeline._bridge._write = full
    log.info("lost")

    assert (0, 1) == (pipeline.statistics().lines, pipeline.statistics().lost)


def test_a_record_that_cannot_be_written_leaves_a_line(pipeline: LogPipeline, lines: Lines) -> None:
    """If making the line fails, a line about that is written instead."""
    record = logging.makeLogRecord({"name": "strange", "levelno": 20})
    del record.__dict__["levelname"]
    logging.getLogger().handle(record)

    assert ("strange", "a line that could not be written") == (
        lines.last["logger"],
        lines.last["message"],
    )
    assert ["AttributeError: 'LogRecord' object has no attribute 'levelname'"] == (
        lines.last["_errors"]
    )
    assert (1, 1) == (pipeline.statistics().lost, pipeline.statistics().lines)


def test_a_value_that_logs_itself_ends(pipeline: LogPipeline, lines: Lines) -> None:
    """A `__str__` that logs the same object ends after a few lines, and the loss is counted."""

    class Loud:
        def __str__(self) -> str:
            log.info("inside", extra={"me": self})
            return "loud"

    log.info("outside", extra={"me": Loud()})

    assert ["inside"] * (MAX_NESTING - 1) + ["outside"] == lines.messages
    assert ["loud"] * MAX_NESTING == [line["me"] for line in lines.all]
    assert 1 == pipeline.statistics().recursive


def test_endless_repr_costs_its_field(pipeline: LogPipeline, lines: Lines) -> None:
    """A `__repr__` that calls itself for ever costs its field only."""

    class Endless:
        def __repr__(self) -> str:
            return f"{self!r}"

    log.info("x", extra={"me": Endless(), "other": 1})

    assert ("<unprintable Endless>", 1) == (lines.last["me"], lines.last["other"])
    assert 1 == pipeline.statistics().field_errors


def test_containers_that_hold_themselves_end(lines: Lines, pipeline: LogPipeline) -> None:
    """A list or dictionary inside itself is written to a limited depth."""
    loop: list[Any] = [1]
    loop.append(loop)
    tree: dict[str, Any] = {}
    tree["me"] = tree
    log.info("x", extra={"a": loop, "b": tree})

    assert 1 == lines.last["a"][0]
    assert 0 == pipeline.statistics().lost


def test_signal_handler_may_log_during_a_line(pipeline: LogPipeline, lines: Lines) -> None:
    """A signal that arrives while a line is made logs its own line and returns."""

    class Interrupts:
        def __str__(self) -> str:
            signal.raise_signal(signal.SIGUSR1)
            return "interrupted"

    before = signal.signal(signal.SIGUSR1, lambda *_: log.warning("signal"))
    try:
        log.info("x", extra={"v": Interrupts()})
    finally:
        signal.signal(signal.SIGUSR1, before)

    assert ["signal", "x"] == lines.messages
    assert 2 == pipeline.statistics().lines


def test_keyboard_interrupt_passes(pipeline: LogPipeline) -> None:
    """What ends the program is no failure of a line: it goes through."""

    class Interrupted:
        def __str__(self) -> str:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        log.info("x", extra={"v": Interrupted()})

    assert 0 == pipeline.statistics().lost


def test_filters_of_the_handler_apply() -> None:
    """A filter on the handler refuses records, or replaces them as Python 3.12 allows."""
    written: list[bytes] = []
    tally = Tally()
    bridge = Bridge(JsonLine({}, tally), written.append, tally)

    def replace(record: logging.LogRecord) -> Any:
        return record.msg != "no" and logging.makeLogRecord({"msg": "other"})

    bridge.addFilter(replace)
    for msg in ("no", "yes"):
        bridge.handle(logging.makeLogRecord({"msg": msg}))

    assert 1 == len(written)


def test_asyncio_reports_arrive(pipeline: LogPipeline, lines: Lines) -> None:
    """What asyncio says about a lost exception is a line with the exception."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.call_exception_handler({"message": "lost", "exception": ValueError("v")})

    asyncio.run(main())

    assert ("asyncio", "ERROR", "ValueError") == (
        lines.last["logger"],
        lines.last["level"],
        lines.last["exception"]["type"],
    )
    assert 0 == pipeline.statistics().lost
