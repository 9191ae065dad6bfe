"""Spans that lines of the log start and end."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from tests.recorder.test_spans import take

from tachograph.recorder import span
from tachograph.recorder.events import EventBuffer
from tachograph.recorder.sources.log_spans import LogSpans
from tachograph.testing import FakeClock

_numbers = itertools.count()


class Log:
    """A logger with our handler."""

    def __init__(self) -> None:
        self.handler = LogSpans()
        self.logger = logging.getLogger(f"tests.log_spans.{next(_numbers)}")
        self.logger.setLevel(logging.DEBUG)
        self.logger.addHandler(self.handler)

    def start(self, name: str, **extra: Any) -> None:
        """Log that something starts."""
        self.logger.info("%s starts", name, extra={"span_start": name, **extra})

    def end(self, name: str, **extra: Any) -> None:
        """Log that it has ended."""
        self.logger.info("%s ended", name, extra={"span_end": name, **extra})


@pytest.fixture
def log() -> Iterator[Log]:
    """Ends with the test, in whose context nothing may stay open."""
    log = Log()
    yield log
    log.logger.removeHandler(log.handler)


def test_two_lines_are_a_span(waiting: EventBuffer, log: Log, time: FakeClock) -> None:
    """With the extra fields of both, a later one over an earlier, and the time between."""
    log.start("load", key="k", rows=0)
    time.advance(0.25)
    log.logger.info("half way", extra={"rows": 3})
    log.end("load", rows=7)
    found = take(waiting)["load"]

    assert (250_000_000, "Ok", None) == tuple(
        found[name] for name in ("duration_ns", "outcome", "parent_span_id")
    )
    assert {"key": "k", "rows": "7"} == found["fields"]
    assert (0, 0) == (log.handler.unmatched, log.handler.unended)


def test_parents_are_those_of_the_context(waiting: EventBuffer, log: Log) -> None:
    """Of lines within `with` blocks within lines."""
    log.start("a")
    with span("b"):
        log.start("c")
        log.end("c")
    log.end("a")
    found = take(waiting)

    parents = {name: each["parent_span_id"] for name, each in found.items()}
    assert {"a": None, "b": found["a"]["span_id"], "c": found["b"]["span_id"]} == parents
    with span("after"):
        pass
    assert take(waiting)["after"]["parent_span_id"] is None


def test_tasks_do_not_see_each_others(waiting: EventBuffer, log: Log) -> None:
    """Each ends its own span of the same name, whatever the order."""

    async def work(number: int) -> None:
        log.start("work", number=number)
        await asyncio.sleep(0.001 * (3 - number))
        log.end("work", ended=number)

    async def main() -> None:
        log.start("main")
        await asyncio.gather(*(work(number) for number in range(3)))
        log.end("main")

    asyncio.run(main())
    events = [each.values for each in waiting.take(10)]

    assert ["work", "work", "work", "main"] == [values[3] for values in events]
    for *_, parent, _task, _name, _duration, outcome, fields in (v[-6:] for v in events[:3]):
        assert (events[3][0], "Ok") == (parent, outcome)
        assert fields["number"] == fields["ended"]


def test_an_error_is_the_outcome(waiting: EventBuffer, log: Log) -> None:
    """The exception that the line has, or its level."""
    log.start("raises")
    try:
        raise KeyError("k")
    except KeyError:
        log.logger.exception("it failed", extra={"span_end": "raises"})
    log.start("says so")
    log.logger.error("it failed", extra={"span_end": "says so"})
    found = take(waiting)

    assert ["KeyError", "Error"] == [found[name]["outcome"] for name in ("raises", "says so")]


def test_an_end_ends_what_is_open_within(waiting: EventBuffer, log: Log) -> None:
    """The inner one's line was never logged: an exception went past it."""
    log.start("outer")
    log.start("inner")
    log.end("outer")
    log.end("inner")
    found = take(waiting)

    assert {"outer": "Ok", "inner": "Unended"} == {n: s["outcome"] for n, s in found.items()}
    assert (1, 1) == (log.handler.unmatched, log.handler.unended)


def test_a_with_block_is_not_ended_by_a_line(waiting: EventBuffer, log: Log) -> None:
    """It has an end of its own."""
    with span("load"):
        log.end("load")
        assert {} == take(waiting)

    assert "Ok" == take(waiting)["load"]["outcome"]
    assert 1 == log.handler.unmatched


def test_starts_without_ends_do_not_pile_up(waiting: EventBuffer, log: Log) -> None:
    """In a context that goes on for ever 128 are open at most."""
    for _ in range(1_000):
        log.start("forgotten")
    assert 896 == log.handler.unended == len(waiting)
    log.end("forgotten")

    while log.handler.unmatched == 0:
        log.end("forgotten")
    with span("after"):
        pass
    assert take(waiting)["after"]["parent_span_id"] is None


def test_one_line_may_end_and_start(waiting: EventBuffer, log: Log) -> None:
    """As phases follow each other."""
    log.start("read")
    log.logger.info("read; now write", extra={"span_end": "read", "span_start": "write"})
    log.end("write")
    found = take(waiting)

    assert [None, None] == [found[name]["parent_span_id"] for name in ("read", "write")]


def test_levels_are_the_loggers_and_the_handlers(waiting: EventBuffer, log: Log) -> None:
    """What is not logged is no span."""
    log.handler.setLevel(logging.WARNING)
    log.start("load")
    log.logger.warning("loaded", extra={"span_end": "load"})

    assert {} == take(waiting)
    assert 1 == log.handler.unmatched


def test_nothing_is_told_while_it_is_off(waiting: EventBuffer, log: Log) -> None:
    """A span that began before the start has no end that could be told [failure 19]."""
    waiting.is_open = False
    log.start("before")
    waiting.is_open = True
    log.end("before")

    assert {} == take(waiting)


class Mute:
    def __str__(self) -> str:
        raise RuntimeError

    __repr__ = __str__


def test_the_programs_own_code_in_a_name_breaks_nothing(
    waiting: EventBuffer, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The line's other handlers have it all the same [failure 27]."""
    monkeypatch.setattr(logging, "raiseExceptions", False)
    log.logger.info("x", extra={"span_start": Mute()})
    log.start("load", mute=Mute())
    log.end("load")

    assert "Mute" in take(waiting)["load"]["fields"]["mute"]
