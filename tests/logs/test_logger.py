"""The bound logger: fields, levels, and whose line it is."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from tachograph.logs import BoundLogger, LogPipeline, context, get_logger

if TYPE_CHECKING:
    from tests.logs.conftest import Lines

OWN = {"timestamp", "level", "logger", "message"}


def fields(line: dict[str, Any]) -> dict[str, Any]:
    """What a line has beyond what each has."""
    return {name: value for name, value in line.items() if name not in OWN}


@pytest.mark.usefixtures("pipeline")
class TestFields:
    def test_line_has_event_arguments_and_fields(self, lines: Lines) -> None:
        """The event is the message, its arguments are formatted in, fields are keys of the line."""
        get_logger("orders").info("paid %d of %s", 3, "five", order_id=17, ok=True)

        assert ("orders", "INFO", "paid 3 of five") == tuple(
            lines.last[name] for name in ("logger", "level", "message")
        )
        assert {"order_id": 17, "ok": True} == fields(lines.last)

    def test_binding_makes_new_loggers(self, lines: Lines) -> None:
        """`bind` adds, `unbind` removes, `new` starts over; the logger itself never changes."""
        log = get_logger("orders", a=1)
        for one in (
            log.bind(b=2),
            log.bind(a=3),
            log.bind(b=2).unbind("a"),
            log.try_unbind("nope", "a"),
            log.new(c=4),
            log,
        ):
            one.info("x")

        assert [{"a": 1, "b": 2}, {"a": 3}, {"b": 2}, {}, {"c": 4}, {"a": 1}] == [
            fields(line) for line in lines.all
        ]

    def test_unbinding_what_is_not_bound_fails(self) -> None:
        """`unbind` of a name that is not bound raises `KeyError` and names what is."""
        with pytest.raises(KeyError, match="'b' is not bound; bound are a"):
            get_logger("orders", a=1).unbind("a", "b")

    def test_call_beats_bound_beats_context(self, lines: Lines) -> None:
        """The same name: the call's value wins, then the logger's, then the context's."""
        with context(a="context", b="context", c="context"):
            get_logger("orders", a="bound", b="bound").info("x", a="call")

        assert {"a": "call", "b": "bound", "c": "context"} == fields(lines.last)

    @pytest.mark.parametrize("name", ["self", "event", "level", "name", "args", "msg", "message"])
    def test_any_field_name_is_allowed(self, lines: Lines, name: str) -> None:
        """A field may be called like a parameter or like an attribute of a record."""
        log = get_logger("orders")
        log.info("call", **{name: "x"})
        log.bind(**{name: "x"}).log("info", "bound")

        assert ["x", "x"] == [line.get(f"{name}_", line.get(name)) for line in lines.all]
        assert ["call", "bound"] == lines.messages

    def test_extra_becomes_fields(self, lines: Lines) -> None:
        """`extra`, a habit from stdlib, gives fields; those given by name win."""
        get_logger("orders").info("x", extra={"a": 1, "b": 1}, b=2)

        assert {"a": 1, "b": 2} == fields(lines.last)

    def test_percent_without_arguments_is_text(self, lines: Lines) -> None:
        """An event without arguments is not formatted."""
        get_logger("orders").info("100%s", order=1)

        assert "100%s" == lines.last["message"]

    def test_stack_is_a_field_on_request(self, lines: Lines) -> None:
        """`stack_info=True` adds the stack down to the caller."""
        get_logger("orders").info("x", stack_info=True)

        assert 'get_logger("orders").info("x", stack_info=True)' in lines.last["stack_info"]
        assert "_truncated" not in lines.last


@pytest.mark.usefixtures("pipeline")
class TestLevels:
    @pytest.mark.parametrize("method", ["debug", "info", "warning", "error", "critical"])
    def test_each_method_has_its_level(self, lines: Lines, method: str) -> None:
        """A method logs at the level of its name."""
        getattr(get_logger("orders"), method)("x")

        assert method.upper() == lines.last["level"]

    @pytest.mark.parametrize(
        ("level", "shown"),
        [("Warn", "WARNING"), (logging.ERROR, "ERROR"), ("critical", "CRITICAL")],
    )
    def test_log_takes_names_and_numbers(self, lines: Lines, level: int | str, shown: str) -> None:
        """`log` takes a level's number, or its name in any case."""
        get_logger("orders").log(level, "x")

        assert shown == lines.last["level"]

    @pytest.mark.parametrize("level", ["loud", None, 2.5])
    def test_unknown_level_is_logged_as_a_warning(self, lines: Lines, level: Any) -> None:
        """A level that is none does not raise: the line is a WARNING and says what was wrong."""
        get_logger("orders").log(level, "x")

        assert "WARNING" == lines.last["level"]
        assert lines.last["level_error"].endswith(f"got {level!r}")

    def test_exception_logs_what_is_handled(self, lines: Lines) -> None:
        """`exception` is an ERROR with the exception being handled, `exc_info` gives another."""
        log = get_logger("orders")
        try:
            raise KeyError("k")
        except KeyError:
            log.exception("failed")
            log.info("other", exc_info=ValueError("v"))
            log.exception("none", exc_info=False)  # noqa: LOG007 -- what is tested

        assert ["ERROR", "INFO", "ERROR"] == [line["level"] for line in lines.all]
        assert ["KeyError", "ValueError", None] == [
            line.get("exception", {}).get("type") for line in lines.all
        ]


def test_disabled_line_makes_no_record(
    start: Callable[..., LogPipeline], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A line below the level is not even turned into a record."""
    start("warning")
    made: list[str] = []
    log = get_logger("orders")
    monkeypatch.setattr(BoundLogger, "_log", lambda *_: made.append("x"))
    for method in (log.debug, log.info):
        method("no")
    log.log("info", "no")
    log.warning("yes")

    assert ["x"] == made
    assert (False, True) == (log.is_enabled_for(logging.INFO), log.is_enabled_for(logging.WARNING))


def here() -> int:
    """The line of the caller."""
    frame = inspect.currentframe()
    assert frame is not None
    assert frame.f_back is not None
    return frame.f_back.f_lineno


def test_record_names_the_line_of_the_caller(caplog: pytest.LogCaptureFixture) -> None:
    """Other handlers find file, line and function of the user's call; `stacklevel` goes outward."""
    log = get_logger("orders", bound=1)

    def inner() -> None:
        log.warning("outward", stacklevel=2)

    expected = []
    for method in (log.warning, log.error, log.exception, log.critical):
        method("x"), expected.append(here())  # type: ignore[func-returns-value]
    log.log("error", "x"), expected.append(here())  # type: ignore[func-returns-value]
    inner(), expected.append(here())  # type: ignore[func-returns-value]

    assert expected == [record.lineno for record in caplog.records]
    assert {__file__} == {record.pathname for record in caplog.records}
    assert {"test_record_names_the_line_of_the_caller"} == {r.funcName for r in caplog.records}


def test_goes_through_the_stdlib_logger(caplog: pytest.LogCaptureFixture) -> None:
    """A bound logger is its stdlib logger: name, level, and what other tools capture."""
    log = get_logger("orders.api")
    logging.getLogger("orders.api").setLevel(logging.ERROR)
    log.warning("no")
    log.error("yes %d", 1, order_id=17)

    assert [("orders.api", logging.ERROR, "yes 1")] == caplog.record_tuples
    assert 17 == caplog.records[0].__dict__["order_id"]
    assert ("orders.api", "<BoundLogger 'orders.api' with a>") == (log.name, repr(log.bind(a=1)))
