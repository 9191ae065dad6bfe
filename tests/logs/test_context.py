"""Fields of the context: on every line, and on no other task's."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import threading
from typing import TYPE_CHECKING

import pytest

from tachograph.logs import bind_context, context, current_context, reset_context

if TYPE_CHECKING:
    from tests.logs.conftest import Lines

pytestmark = pytest.mark.usefixtures("pipeline")
log = logging.getLogger("orders")


def test_every_line_has_what_is_bound(lines: Lines) -> None:
    """A stdlib line carries the request's id without mentioning it."""
    with context(request_id="6f1c", method="GET"):
        log.info("inside")
    log.info("outside")

    assert ("6f1c", "GET") == (lines.all[0]["request_id"], lines.all[0]["method"])
    assert "request_id" not in lines.all[1]


def test_inner_binding_adds_and_replaces() -> None:
    """Binding again keeps the other fields; leaving the block brings the old value back."""
    with context(a=1, b=1):
        with context(b=2, c=3):
            inner = current_context()
        outer = current_context()

    assert {"a": 1, "b": 2, "c": 3} == inner
    assert {"a": 1, "b": 1} == outer


def test_mapping_is_a_snapshot() -> None:
    """What `current_context` returned neither changes later nor can be changed."""
    token = bind_context(a=1)
    before = current_context()
    bind_context(a=2)
    reset_context(token)

    assert {"a": 1} == before
    with pytest.raises(TypeError):
        before["a"] = 3  # type: ignore[index]


def test_block_that_raises_unbinds() -> None:
    """An exception that leaves the block takes the fields with it."""
    with pytest.raises(KeyError), context(a=1):
        raise KeyError

    assert {} == current_context()


def test_tasks_do_not_see_each_other(lines: Lines) -> None:
    """Two tasks inherit what was bound before them; what each binds stays its own."""

    async def request(name: str, mine: asyncio.Event, other: asyncio.Event) -> None:
        bind_context(request_id=name)
        mine.set()
        await other.wait()
        log.info(name)

    async def main() -> None:
        one, two = asyncio.Event(), asyncio.Event()
        with context(service="orders"):
            await asyncio.gather(request("one", one, two), request("two", two, one))
            log.info("after")

    asyncio.run(main())

    # asyncio logs lines of its own at DEBUG.
    ours = [line for line in lines.all if line["logger"] == "orders"]

    assert {"one": "one", "two": "two", "after": None} == {
        line["message"]: line.get("request_id") for line in ours
    }
    assert ["orders"] * 3 == [line["service"] for line in ours]


def test_to_thread_carries_the_context(lines: Lines) -> None:
    """A line logged by `asyncio.to_thread` has the request's id [TL-7]."""

    async def main() -> None:
        with context(request_id="6f1c"):
            await asyncio.to_thread(log.info, "in a thread")

    asyncio.run(main())

    assert ("in a thread", "6f1c") == (lines.last["message"], lines.last["request_id"])


def test_plain_thread_starts_empty(lines: Lines) -> None:
    """A thread that nobody gave a context logs without the fields of the one that started it."""
    with context(request_id="6f1c"):
        # An empty context, as threads have before Python 3.14 by themselves.
        thread = threading.Thread(target=contextvars.Context().run, args=(log.info, "alone"))
        thread.start()
        thread.join()

    assert "alone" == lines.last["message"]
    assert "request_id" not in lines.last


def test_foreign_and_used_tokens_change_nothing() -> None:
    """A token of another task, or one used before, is ignored instead of raising."""
    foreign = contextvars.copy_context().run(bind_context, a=1)
    token = bind_context(b=2)
    reset_context(foreign)
    during = current_context()
    reset_context(token)
    reset_context(token)

    assert {"b": 2} == during
    assert {} == current_context()
