"""Fields and messages of stdlib records."""

from __future__ import annotations

import logging
import sys
from typing import Any

import pytest

from tachograph.logs.record import exception_of, fields_of, hand_over, message_of, printable

PLACE = ("a.py", 7, "f")


class Kept(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep *record*."""
        self.records.append(record)


class Unprintable:
    def __str__(self) -> str:
        msg = "no text"
        raise RuntimeError(msg)


@pytest.fixture
def kept() -> Kept:
    """A handler of the application on the logger `records`."""
    handler = Kept()
    logger = logging.getLogger("records")
    logger.addHandler(handler)
    logger.propagate = False
    return handler


def give(fields: dict[str, Any], **options: Any) -> None:
    """Hand *fields* over to the logger `records`."""
    hand_over(logging.getLogger("records"), 20, "m", (), fields, place=PLACE, **options)


def test_other_handlers_find_fields_as_attributes(kept: Kept) -> None:
    """A handler of the application reads fields where stdlib's `extra` puts them."""
    give({"order_id": 17})

    assert 17 == kept.records[0].__dict__["order_id"]


def test_a_field_may_have_any_name(kept: Kept) -> None:
    """Names that stdlib refuses in `extra` are fields all the same and leave the record intact."""
    wanted = {"name": "bob", "args": (1,), "message": "x", "getMessage": 3, "taskName": "t", "a": 1}
    give(wanted)
    record = kept.records[0]

    assert wanted == fields_of(record)
    assert ("records", "m") == (record.name, record.getMessage())


def test_place_and_logger_are_on_the_record(kept: Kept) -> None:
    """File, line and function given are those of the record."""
    give({})
    record = kept.records[0]

    assert PLACE == (record.pathname, record.lineno, record.funcName)
    assert {} == fields_of(record)


def test_logger_filters_apply() -> None:
    """A filter of the logger can refuse a record and add attributes, which become fields."""
    logger = logging.getLogger("records")
    handler = Kept()
    logger.addHandler(handler)
    logger.propagate = False

    def only_a(record: logging.LogRecord) -> bool:
        record.tenant = "t1"
        return "a" in record.__dict__

    logger.addFilter(only_a)
    try:
        give({"a": 1})
        give({"b": 1})
    finally:
        logger.removeFilter(only_a)

    assert [{"a": 1, "tenant": "t1"}] == [fields_of(record) for record in handler.records]


@pytest.mark.parametrize("form", ["true", "instance", "triple"])
def test_exception_in_every_form(kept: Kept, form: str) -> None:
    """`exc_info` may be True, an exception, or the triple."""
    error = KeyError("k")
    try:
        raise error
    except KeyError:
        forms = {"true": True, "instance": error, "triple": sys.exc_info()}
        give({}, exc_info=forms[form])

    assert error is exception_of(kept.records[0])


@pytest.mark.parametrize("nothing", [None, False, True, (None, None, None), (), "text"])
def test_no_exception_in_any_form(kept: Kept, nothing: Any) -> None:
    """Asking for an exception when there is none gives a record without one."""
    give({}, exc_info=nothing)

    assert exception_of(kept.records[0]) is None


@pytest.mark.parametrize(
    ("msg", "args", "text", "problem"),
    [
        ("100%", (), "100%", None),
        ("%s and %d", ("a", 2), "a and 2", None),
        ("%(k)s", ({"k": 1},), "1", None),
        ("%d", ("a",), "%d", "message: TypeError:"),
        ("%s", (1, 2), "%s", "message: TypeError: not all arguments converted"),
        ("100% sure %s", ("x",), "100% sure %s", "message: "),
        ("%s", (Unprintable(),), "%s", "message: RuntimeError: no text"),
        (Unprintable(), (), "<unprintable Unprintable>", "message: RuntimeError: no text"),
        (ValueError("v"), (), "v", None),
        (None, (), "None", None),
    ],
)
def test_messages(msg: Any, args: tuple[Any, ...], text: str, problem: str | None) -> None:
    """A message that cannot be formatted stays as it is, with the reason; none raises."""
    record = logging.LogRecord("n", 20, "f", 1, msg, args, None)
    found, why = message_of(record)

    assert text == found
    assert why is None if problem is None else str(why).startswith(problem)


def test_arguments_of_a_bad_message_are_shown() -> None:
    """The reason quotes the arguments, so that what was to be said is not lost."""
    record = logging.LogRecord("n", 20, "f", 1, "no place", (1, "two"), None)

    assert "(arguments: (1, 'two'))" in str(message_of(record)[1])


def test_record_class_of_the_application_formats() -> None:
    """A record class with its own `getMessage` is asked, as stdlib does."""

    class Braces(logging.LogRecord):
        def getMessage(self) -> str:  # noqa: N802 -- stdlib's name
            return str(self.msg).format(*(self.args or ()))

    assert ("a-b", None) == message_of(Braces("n", 20, "f", 1, "{}-{}", ("a", "b"), None))


def test_printable_never_raises() -> None:
    """A value without text is named by its type; a text that is a subclass becomes plain."""

    class Text(str):
        __slots__ = ()

    assert ["1", "<unprintable Unprintable>"] == [printable(1), printable(Unprintable())]
    assert str is type(printable(Text("x")))


def test_terminal_copy_of_uvicorns_message_is_no_field() -> None:
    """Uvicorn's `color_message` repeats the message; another logger's is a field like any."""
    ours, theirs = (logging.LogRecord(n, 20, "f", 1, "m", (), None) for n in ("uvicorn.error", "x"))
    for record in (ours, theirs):
        record.color_message = "coloured"

    assert [{}, {"color_message": "coloured"}] == [fields_of(ours), fields_of(theirs)]
