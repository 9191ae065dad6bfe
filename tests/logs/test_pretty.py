"""Lines for a person."""

from __future__ import annotations

import io
import logging
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tachograph.logs import context
from tachograph.logs.pretty import PrettyLine, is_colour_wanted
from tachograph.logs.tally import Tally

ANSI = re.compile(r"\x1b\[[0-9;]*m")


class Unprintable:
    def __str__(self) -> str:
        raise RuntimeError


def record_of(msg: Any = "stored", level: int = logging.INFO, **attributes: Any) -> Any:
    """A record of a fixed time, with *attributes* as fields."""
    record = logging.makeLogRecord({"name": "orders.api", "msg": msg, "levelno": level})
    record.created = 1705312800.123456
    record.__dict__.update(attributes)
    return record


def text_of(record: Any, *, colour: bool = False, tally: Tally | None = None) -> str:
    """What is shown of *record*."""
    return PrettyLine(tally or Tally(), colour=colour).encode(record).decode()


def test_whole_line() -> None:
    """Time, level, logger, message in columns, then fields, then the context."""
    with context(request_id="6f1c", key="hidden by the field"):
        text = text_of(record_of(key="k", size=5, ok=True, note="two words", none=None, empty=""))

    assert (
        "10:00:00.123 INFO  orders.api       stored                           "
        'key=k size=5 ok=true note="two words" none=null empty="" request_id=6f1c\n'
    ) == text


def test_line_without_fields_ends_with_its_message() -> None:
    """There are no blanks at the end of a line."""
    assert "10:00:00.123 ERROR orders.api       stored\n" == text_of(record_of(level=logging.ERROR))


@pytest.mark.parametrize(
    ("level", "name"),
    [(5, "TRACE"), (10, "DEBUG"), (20, "INFO "), (25, "INFO "), (30, "WARN "), (50, "CRIT ")],
)
def test_levels_are_five_wide(level: int, name: str) -> None:
    """Level names take the same room, a number between two levels shows the lower one."""
    assert f"10:00:00.123 {name} orders.api" == text_of(record_of(level=level))[:29]


def test_long_logger_names_keep_their_end() -> None:
    """Of a long logger name the end is shown."""
    text = text_of(record_of(name="orders.adapters.persistence.store"))

    assert " …rsistence.store stored" in text


def test_colour_changes_nothing_but_colour() -> None:
    """With the colour codes removed the coloured line is the plain one."""
    record = record_of(key="k", size=5, exc_info=(ValueError, ValueError("v"), None))
    plain, coloured = text_of(record), text_of(record, colour=True)

    assert plain == ANSI.sub("", coloured)
    assert "\x1b[32mINFO \x1b[0m" in coloured
    assert "\x1b[36m5\x1b[0m" in coloured
    assert "\x1b[31mValueError: v\x1b[0m" in coloured


def test_exception_follows_indented() -> None:
    """An exception is a traceback below the line, its causes and groups included."""
    try:
        try:
            raise KeyError("k")
        except KeyError as error:
            raise ExceptionGroup("g", [ValueError("v")]) from error
    except ExceptionGroup as group:
        lines = text_of(record_of(exc_info=(type(group), group, group.__traceback__))).split("\n")

    assert "    Traceback (most recent call last):" == lines[1]
    assert "    KeyError: 'k'" in lines
    assert "      | ExceptionGroup: g (1 sub-exception)" in lines
    assert "        | ValueError: v" in lines
    assert all(line.startswith("    ") or not line for line in lines[1:])


def test_long_traceback_is_cut_in_the_middle() -> None:
    """Of a very long traceback both ends are shown and the number of lines between."""
    error = ValueError("last")
    error.__notes__ = [f"note {number}" for number in range(500)]
    text = text_of(record_of(exc_info=(ValueError, error, None)))

    assert "\n    ... 381 lines left out ...\n" in text
    assert 122 == text.count("\n")


def test_further_lines_of_a_message_are_indented() -> None:
    """A message of several lines keeps its columns: what follows the first is indented."""
    first, *further = text_of(record_of("one\ntwo\nthree", a=1)).split("\n")

    assert first.endswith("one                              a=1")
    assert ["    two", "    three", ""] == further


def test_control_characters_are_shown() -> None:
    """Logged data cannot colour, move or clear the terminal."""
    text = text_of(record_of("\x1b[2J\r\x9b", a="\x1b]0;t\x07", **{"\x1b": 1}))

    assert "\\x1b[2J\\r\\x9b" in text
    assert re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", text) is None


def test_what_goes_wrong_is_said_and_counted() -> None:
    """A message that does not fit is shown with the reason; a value without text by its type."""
    tally = Tally()
    text = text_of(record_of("%d", args=("x",), v=Unprintable()), tally=tally)

    assert "v=<unprintable Unprintable>" in text
    assert "\n    message: TypeError: %d format" in text
    assert (1, 1) == (tally.message_errors, tally.field_errors)


def test_long_values_and_messages_are_cut() -> None:
    """A value ends after 200 characters, a message after 4,096."""
    tally = Tally()
    text = text_of(record_of("m" * 5_000, v="v" * 300), tally=tally)

    assert f"{'m' * 4_096}… v={'v' * 200}…\n" in text.replace('"', "")
    assert 1 == tally.truncated


def test_stack_is_below_the_line() -> None:
    """A stack asked for is shown as text below the line."""
    text = text_of(record_of(stack_info="Stack (most recent call last):\n  File x"))

    assert text.endswith("stored\n    Stack (most recent call last):\n      File x\n")


def test_least_line() -> None:
    """For a record that cannot be written there is a line that says so."""
    line = PrettyLine(Tally()).least(record_of(), ValueError("why"))

    assert b"orders.api: a line that could not be written (ValueError: why)\n" == line


class Stream(io.StringIO):
    def __init__(self, *, terminal: bool) -> None:
        super().__init__()
        self._terminal = terminal

    def isatty(self) -> bool:
        """Tell what the test wants."""
        return self._terminal


@pytest.mark.parametrize(
    ("terminal", "environ", "wanted"),
    [
        (True, {}, True),
        (True, {"NO_COLOR": ""}, True),
        (True, {"NO_COLOR": "1"}, False),
        (True, {"TERM": "dumb"}, False),
        (False, {}, False),
    ],
)
def test_colour_is_for_terminals(
    monkeypatch: pytest.MonkeyPatch, terminal: bool, environ: dict[str, str], wanted: bool
) -> None:
    """Colour needs a terminal, and nobody who asks for none by `NO_COLOR` or `TERM=dumb`."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    for name, value in environ.items():
        monkeypatch.setenv(name, value)

    assert wanted is is_colour_wanted(Stream(terminal=terminal))


def test_a_closed_stream_has_no_colour() -> None:
    """A stream that cannot be asked is no terminal."""
    stream = io.StringIO()
    stream.close()

    assert not is_colour_wanted(stream)


@given(
    st.text(),
    st.dictionaries(st.text(), st.text() | st.integers() | st.lists(st.text())),
    st.booleans(),
)
def test_any_record_can_be_shown(msg: str, fields: dict[str, Any], colour: bool) -> None:
    """Any record becomes text that ends with a newline and holds no control characters."""
    text = text_of(
        record_of(msg, args=None, **{f"f{n}": v for n, v in fields.items()}), colour=colour
    )

    assert text.endswith("\n")
    assert re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", ANSI.sub("", text)) is None
