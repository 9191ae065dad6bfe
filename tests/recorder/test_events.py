"""Events of the program's own: declared as typed functions, kept until they are on file."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable
from typing import Any

import pytest

from tachograph.errors import DeclarationError
from tachograph.recorder import events as module
from tachograph.recorder.events import EventBuffer, event
from tachograph.testing import FakeClock
from tachograph.trace import events as builtin


@event
def cache_miss(shard: int, key: str = "none", *, ratio: float | None = None) -> None:
    """A lookup that went to the store."""


@event
def awkward(buffer: int, kind: str, default_kind: bytes = b"", /, record: bool = True) -> None:
    """Parameters with the names that the generated function could use."""


@event
def nothing() -> None:
    """No fields."""


def values(waiting: EventBuffer) -> list[tuple[Any, ...]]:
    """Take what waits."""
    return [each.values for each in waiting.take(10**6)]


def test_a_typed_function_records_its_arguments(waiting: EventBuffer) -> None:
    """By place and by name, with defaults, stamped by the monotonic clock."""
    with FakeClock() as time:
        cache_miss(1)
        time.advance(2)
        cache_miss(shard=2, key="k", ratio=0.5)
        nothing()
    found = waiting.take(10)

    assert [(1, "none", None), (2, "k", 0.5), ()] == [each.values for each in found]
    assert [1_000_000_000, 3_000_000_000] == [each.time_ns for each in found[:2]]
    kind = found[0].kind
    assert f"{__name__}.cache_miss" == kind.name
    assert (("shard", "int", False), ("key", "str", False), ("ratio", "float", True)) == kind.fields
    assert "A lookup that went to the store." == kind.doc


def test_the_function_stays_what_it_was(waiting: EventBuffer) -> None:
    """Name, documentation and signature are the declared ones, and a wrong call is told."""
    call: Callable[..., Any] = cache_miss

    assert "cache_miss" == cache_miss.__name__
    assert "A lookup that went to the store." == cache_miss.__doc__
    assert ["shard", "key", "ratio"] == list(inspect.signature(cache_miss).parameters)
    with pytest.raises(TypeError, match="shard"):
        call()
    with pytest.raises(TypeError):
        call(1, "k", 0.5)
    with pytest.raises(TypeError, match="positional-only"):
        awkward(buffer=1, kind="")  # type: ignore[call-arg] # pyright: ignore[reportCallIssue]


def test_parameters_may_have_any_names(waiting: EventBuffer) -> None:
    """None of them hides what the generated function needs."""
    awkward(1, "k", b"x", record=False)
    awkward(2, "k")

    assert [(1, "k", b"x", False), (2, "k", b"", True)] == values(waiting)


def test_nothing_is_kept_while_it_is_off(waiting: EventBuffer) -> None:
    """Use before the start or in a pause is a no-op (recorder.md row 19)."""
    waiting.is_open = False
    cache_miss(1)

    assert [] == values(waiting)
    assert 0 == waiting.dropped


def undeclarable() -> dict[str, Callable[..., Any]]:
    """Functions that are no events."""

    def no_annotation(a) -> None: ...  # type: ignore[no-untyped-def]
    def a_list(a: list[int]) -> None: ...
    def two_types(a: int | str) -> None: ...
    def only_none(a: None) -> None: ...
    def many(*a: int) -> None: ...
    def named(**a: int) -> None: ...
    async def waits(a: int) -> None: ...

    return {
        "`a`: expected an annotation": no_annotation,
        "`a: list[int]`: expected an annotation": a_list,
        "`a: int | str`: expected an annotation": two_types,
        "`a: None`: expected an annotation": only_none,
        "a fixed number of fields": many,
        "has a fixed number of fields": named,
        "expected a plain function": waits,
    }


@pytest.mark.parametrize("message", undeclarable())
def test_what_is_no_event_is_a_declaration_error(message: str) -> None:
    """At the declaration, with the name of the event and what was expected."""
    with pytest.raises(DeclarationError) as caught:
        event(undeclarable()[message])
    assert str(caught.value).startswith(f"event {__name__}.undeclarable.")
    assert message.replace("'", "") in str(caught.value).replace("'", "")


def test_every_mistake_of_a_declaration_is_told_at_once() -> None:
    """One line each."""

    def wrong(a: list[int], b: int, *c: int) -> None: ...

    with pytest.raises(DeclarationError) as caught:
        event(wrong)
    assert 2 == len(str(caught.value).splitlines())


def test_annotations_that_do_not_resolve_are_a_declaration_error() -> None:
    """Names that are not there are told with the event's."""

    def lost(a: Nowhere) -> None: ...  # type: ignore[name-defined] # noqa: F821

    with pytest.raises(DeclarationError, match="Nowhere"):
        event(lost)


def test_a_name_stands_for_one_list_of_fields() -> None:
    """The same declaration again is fine; with other fields it is an error."""

    def declare(fields: str) -> Callable[..., Any]:
        names: dict[str, Any] = {"__name__": "app"}
        exec(f"def twice({fields}) -> None: ...", names)
        made: Callable[..., Any] = names["twice"]
        return made

    with pytest.raises(DeclarationError, match="expected an annotation"):
        event(declare("a: list"))
    event(declare("a: int"))
    event(declare("a: int"))
    with pytest.raises(DeclarationError, match="another event of this name has other fields"):
        event(declare("a: int, b: int"))


def test_no_event_has_a_built_in_ones_name() -> None:
    """An event's name has a dot between module and function; no built-in one has any."""
    from tachograph.recorder.requests import LOG
    from tachograph.recorder.spans import SPAN
    from tachograph.trace import compact

    names = {kind.name for kind in (LOG, SPAN)}
    names |= {block.name for block in (*compact.BLOCKS, compact.NAME, compact.LANE, compact.CLOCK)}
    names |= set(builtin.EVENTS)

    assert len(names) > 20
    assert [] == [name for name in names if "." in name]


def test_a_full_buffer_drops_the_newest_and_counts(
    waiting: EventBuffer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What waits is bounded; each event that finds no room is counted (recorder.md row 8)."""
    monkeypatch.setattr(module, "_MOST", 3)
    for shard in range(5):
        cache_miss(shard)

    assert 2 == waiting.dropped
    assert [0, 1, 2] == [each[0] for each in values(waiting)]
    cache_miss(7)
    assert [(7, "none", None)] == values(waiting)


def test_takes_the_oldest_first(waiting: EventBuffer) -> None:
    """As many as asked for, the rest stays."""
    for shard in range(5):
        cache_miss(shard)

    assert [0, 1] == [each.values[0] for each in waiting.take(2)]
    assert 3 == len(waiting)


def test_any_thread_may_record(waiting: EventBuffer) -> None:
    """None is lost, none comes twice."""

    def work(thread: int) -> None:
        for number in range(500):
            cache_miss(thread * 1000 + number)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = [each[0] for each in values(waiting)]

    assert [thread * 1000 + n for thread in range(4) for n in range(500)] == sorted(found)
