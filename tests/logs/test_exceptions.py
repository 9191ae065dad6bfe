"""Exceptions as data."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tachograph.logs.exceptions import MAX_BYTES, exception_text, qualified_name


def described(error: BaseException) -> dict[str, Any]:
    """The text of *error*, read back."""
    found: dict[str, Any] = json.loads(exception_text(error))
    return found


def raised(error: BaseException) -> BaseException:
    """*error* after it was raised and caught."""
    try:
        raise error
    except BaseException as caught:
        return caught


class StoreError(Exception):
    class InnerError(Exception):
        pass


class MuteError(Exception):
    def __str__(self) -> str:
        raise RuntimeError


def test_type_message_and_frames() -> None:
    """An exception has its qualified type, its text, and frames with file, line and function."""
    found = described(raised(StoreError.InnerError("no answer")))

    assert (f"{__name__}.StoreError.InnerError", "no answer") == (found["type"], found["message"])
    assert {"type", "message", "frames"} == set(found)
    assert [
        {"file": __file__, "line": raised.__code__.co_firstlineno + 3, "function": "raised"}
    ] == (found["frames"])


def test_builtins_have_no_module() -> None:
    """A builtin exception is called by its name alone."""
    assert ["ValueError", f"{__name__}.StoreError"] == [
        qualified_name(ValueError),
        qualified_name(StoreError),
    ]


def test_innermost_frame_is_last() -> None:
    """Frames run from the outside to where it was raised, as in a traceback."""

    def outer() -> None:
        inner()

    def inner() -> None:
        raise KeyError

    with pytest.raises(KeyError) as caught:
        outer()
    functions = [
        frame["function"].rpartition(".")[2] for frame in described(caught.value)["frames"]
    ]

    assert ["outer", "inner"] == functions[-2:]


def test_cause_and_context() -> None:
    """`raise from` gives `cause`, raising while handling gives `context`, `from None` neither."""
    caused, implicit, hidden = StoreError("c"), StoreError("i"), StoreError("h")
    caused.__cause__ = KeyError("k")
    caused.__context__ = IndexError("not shown")
    implicit.__context__ = ValueError("v")
    hidden.__context__ = ValueError("v")
    hidden.__suppress_context__ = True

    assert "KeyError" == described(caused)["cause"]["type"]
    assert "context" not in described(caused)
    assert "ValueError" == described(implicit)["context"]["type"]
    assert {"type", "message", "frames"} == set(described(hidden))


def test_notes_are_texts() -> None:
    """Notes are listed; one without text is named by its type."""
    error = StoreError("x")
    error.add_note("shard 3")
    error.__notes__.append(MuteError())  # type: ignore[arg-type]

    assert ["shard 3", "<unprintable MuteError>"] == described(error)["notes"]


def test_groups_have_their_children() -> None:
    """A group lists its exceptions, nested groups theirs."""
    group = ExceptionGroup("g", [ValueError("a"), ExceptionGroup("h", [KeyError("b")])])
    found = described(group)

    assert "g (2 sub-exceptions)" == found["message"]
    assert ["ValueError", "ExceptionGroup"] == [child["type"] for child in found["exceptions"]]
    assert "KeyError" == found["exceptions"][1]["exceptions"][0]["type"]


def test_a_cycle_ends() -> None:
    """An exception that leads back to itself is described once; the way back is counted."""
    a, b = StoreError("a"), StoreError("b")
    a.__cause__, b.__context__ = b, a
    own = StoreError("own")
    own.__cause__ = own

    assert {"context": 1} == described(a)["cause"]["omitted"]
    assert {"cause": 1} == described(own)["omitted"]


def test_a_long_chain_is_cut() -> None:
    """Sixteen exceptions are described, the rest of the chain is counted as left out."""
    error = first = StoreError("0")
    for number in range(1, 40):
        error.__cause__ = StoreError(str(number))
        error = error.__cause__
    found, depth = described(first), 1
    while "cause" in found:
        found, depth = found["cause"], depth + 1

    assert (16, {"cause": 1}) == (depth, found["omitted"])


def test_deep_recursion_keeps_both_ends() -> None:
    """Of many frames the outermost and the innermost are kept, the number of others is said."""

    def down(depth: int) -> None:
        if depth == 0:
            raise KeyError
        down(depth - 1)

    with pytest.raises(KeyError) as caught:
        down(200)
    found = described(caught.value)

    assert 32 == len(found["frames"])
    assert 202 == 32 + found["omitted"]["frames"]
    assert "test_deep_recursion_keeps_both_ends" == found["frames"][0]["function"]


def test_many_children_are_cut() -> None:
    """Of a large group eight children are described, the number of others is said."""
    found = described(ExceptionGroup("g", [ValueError(str(n)) for n in range(100)]))

    assert (8, {"exceptions": 92}) == (len(found["exceptions"]), found["omitted"])


def test_many_notes_are_cut() -> None:
    """Of many notes eight are kept, the number of others is said."""
    error = StoreError("x")
    error.__notes__ = [str(n) for n in range(20)]

    assert (8, {"notes": 12}) == (len(described(error)["notes"]), described(error)["omitted"])


@pytest.mark.parametrize("notes", [None, "text", 3, []])
def test_strange_notes_are_no_notes(notes: Any) -> None:
    """`__notes__` that is no list is ignored."""
    error = StoreError("x")
    error.__dict__["__notes__"] = notes

    assert "notes" not in described(error)


def test_no_text_is_named_by_type() -> None:
    """An exception whose `__str__` raises is described nevertheless."""
    assert "<unprintable MuteError>" == described(MuteError())["message"]


def tree(depth: int, text: str) -> BaseException:
    """Groups in groups, each with a cause, all with long texts."""
    if depth == 0:
        error = ValueError(text)
        error.__notes__ = [text] * 20
        return error
    children = [tree(depth - 1, text) for _ in range(4)]
    group = BaseExceptionGroup(text, children)
    group.__cause__ = tree(depth - 1, text)
    return group


@pytest.mark.parametrize("text", ["x" * 10_000, "\0" * 10_000, "ü" * 10_000, "\ud800" * 10_000])
@pytest.mark.parametrize("depth", [0, 3])
def test_whatever_it_holds_the_text_is_bounded(depth: int, text: str) -> None:
    """The text of an exception stays below 32 KiB and is JSON."""
    encoded = exception_text(tree(depth, text)).encode()

    assert MAX_BYTES >= len(encoded)
    assert json.loads(encoded)["type"] in ("ValueError", "ExceptionGroup")


@given(
    st.recursive(st.text(), lambda inner: st.lists(inner, min_size=1, max_size=3), max_leaves=30)
)
def test_any_tree_is_one_json_object(shape: Any) -> None:
    """Any tree of groups becomes one JSON object on one line."""

    def build(node: Any) -> Exception:
        if isinstance(node, str):
            return ValueError(node)
        return ExceptionGroup("g", [build(child) for child in node])

    text = exception_text(build(shape))

    assert "\n" not in text
    assert json.loads(text)["type"] == (
        "ValueError" if isinstance(shape, str) else "ExceptionGroup"
    )
