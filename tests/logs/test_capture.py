"""Observers of lines."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from tachograph._base.ratelimit import reset_once
from tachograph.logs import LogPipeline, add_capture, context, get_logger, remove_capture

if TYPE_CHECKING:
    from tests.logs.conftest import Lines


@pytest.fixture
def seen() -> Any:
    """Lines observed during the test."""
    found: list[dict[str, Any]] = []
    add_capture(found.append)
    yield found
    remove_capture(found.append)


def messages(seen: list[dict[str, Any]]) -> list[str]:
    """The messages of lines."""
    return [line["message"] for line in seen]


def test_sees_lines_without_a_pipeline(seen: list[dict[str, Any]]) -> None:
    """An observer sees lines as a reader of the stream would, though nothing is set up."""
    with context(request_id="6f1c"):
        get_logger("orders").warning("x %d", 1, a=(1, 2))
    line = seen[0]

    assert ("WARNING", "orders", "x 1", "6f1c", [1, 2]) == tuple(
        line[name] for name in ("level", "logger", "message", "request_id", "a")
    )


def test_levels_apply(seen: list[dict[str, Any]]) -> None:
    """A line below the level in force is not seen."""
    logging.getLogger("orders").setLevel(logging.ERROR)
    get_logger("orders").warning("no")
    get_logger("orders").error("yes")

    assert ["yes"] == messages(seen)


def test_sees_tasks_and_threads(seen: list[dict[str, Any]]) -> None:
    """Lines of tasks and threads are seen, also of a thread that was there before."""
    begin, ready = threading.Event(), threading.Event()

    def work() -> None:
        ready.set()
        begin.wait(5)
        get_logger("orders").warning("thread")

    async def main() -> None:
        task = asyncio.create_task(asyncio.to_thread(get_logger("orders").warning, "task"))
        await task

    thread = threading.Thread(target=work)
    thread.start()
    ready.wait(5)
    begin.set()
    thread.join()
    asyncio.run(main())

    assert ["task", "thread"] == sorted(messages(seen))


def test_pipeline_and_observer_both_get_the_line(
    start: Callable[..., LogPipeline], lines: Lines, seen: list[dict[str, Any]]
) -> None:
    """The pipeline writes as always; its globals are not in what observers see."""
    start(globals={"service_name": "orders"})
    get_logger("orders").info("x", a=1)

    assert {**seen[0], "service_name": "orders"} == lines.last


def test_observers_end_on_their_own(seen: list[dict[str, Any]]) -> None:
    """Each of several observers gets a dictionary of its own until it is removed."""
    other: list[dict[str, Any]] = []
    add_capture(other.append)
    get_logger("orders").warning("both")
    remove_capture(other.append)
    remove_capture(other.append)
    get_logger("orders").warning("one")

    assert [["both", "one"], ["both"]] == [messages(seen), messages(other)]
    assert seen[0] is not other[0]


def test_nothing_stays_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the last observer the handler and the level are gone."""
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", [])
    monkeypatch.setattr(root, "level", logging.WARNING)
    found: list[dict[str, Any]] = []
    add_capture(found.append)
    get_logger("orders").info("unconfigured logging shows INFO")
    remove_capture(found.append)

    assert ["unconfigured logging shows INFO"] == messages(found)
    assert ([], logging.WARNING) == (root.handlers, root.level)


def test_configured_level_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where logging is configured, observing changes no level."""
    monkeypatch.setattr(logging.getLogger(), "handlers", [logging.NullHandler()])
    before = logging.getLogger().level
    found: list[dict[str, Any]] = []
    add_capture(found.append)
    during = logging.getLogger().level
    remove_capture(found.append)

    assert before == during


def test_observer_that_raises_is_removed(
    seen: list[dict[str, Any]], caplog: pytest.LogCaptureFixture
) -> None:
    """An observer that raises does not disturb the caller; it is removed and a warning says so."""
    reset_once()
    calls: list[str] = []

    def broken(line: dict[str, Any]) -> None:
        calls.append(line["message"])
        raise KeyError("k")

    add_capture(broken)
    get_logger("orders").warning("one")
    get_logger("orders").warning("two")

    assert ["one"] == calls
    assert ["one", "A log observer was removed, it raised KeyError: 'k'", "two"] == messages(seen)
    assert "tachograph" in {record.name for record in caplog.records}


def test_pytests_handlers_do_not_count_as_set_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Under pytest, which listens on the root logger, INFO is seen without any set-up."""
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", [h for h in root.handlers if "pytest" in repr(type(h))])
    root.setLevel(logging.WARNING)
    found: list[dict[str, Any]] = []
    add_capture(found.append)
    logging.getLogger("orders").info("seen")
    remove_capture(found.append)

    assert root.handlers
    assert ["seen"] == [line["message"] for line in found]
