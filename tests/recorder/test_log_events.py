"""Lines of the log in the trace."""

from __future__ import annotations

import logging

import pytest

from tachograph.recorder.events import buffer
from tachograph.recorder.log_events import LogEvents


@pytest.fixture
def heard() -> list[tuple[str, str, str]]:
    """What is recorded of lines of several loggers."""
    handler = LogEvents("orders")
    buffer.is_open = True
    try:
        for name, level, message in (
            ("orders", logging.DEBUG, "own"),
            ("orders.store", logging.INFO, "below"),
            ("ordersmore", logging.INFO, "another's"),
            ("other", logging.WARNING, "a warning"),
            ("other", logging.ERROR, "an error"),
        ):
            handler.handle(logging.LogRecord(name, level, "", 0, message, (), None))
        handler.handle(logging.LogRecord("orders", logging.INFO, "", 0, "%d", ("x",), None))
        handler.handle(logging.LogRecord("orders", logging.INFO, "", 0, "x" * 5_000, (), None))
        found = [event.values for event in buffer.take(100)]
    finally:
        buffer.clear()
    return [(level, name, message) for level, name, message, _ in found]


def test_own_lines_are_all_there_and_of_others_the_errors(
    heard: list[tuple[str, str, str]],
) -> None:
    """The service's logger and those below it at every level, others from ERROR on."""
    assert [line[2] for line in heard[:3]] == ["own", "below", "an error"]


def test_a_line_that_cannot_be_formatted_is_left_out(heard: list[tuple[str, str, str]]) -> None:
    """It raises nothing; its own handler tells of it."""
    assert "%d" not in [line[2] for line in heard]


def test_a_message_is_bounded(heard: list[tuple[str, str, str]]) -> None:
    """A message is cut at 1,024 characters."""
    assert len(heard[-1][2]) == 1_024
