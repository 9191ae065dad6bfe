"""Names of services."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tachograph.errors import CommandError
from tachograph.scaffold.names import MAX_LENGTH, Project


@pytest.mark.parametrize(
    ("name", "package"),
    [("orders", "orders"), ("order-history-2", "order_history_2"), ("a", "a")],
)
def test_a_good_name_gives_a_package(name: str, package: str) -> None:
    """Lower-case words joined by `-` are taken as they are."""
    assert package == Project(name).package


@pytest.mark.parametrize(
    ("name", "reason", "suggestion"),
    [
        ("Orders", "expected lower-case letters", "orders"),
        ("OrderHistory", "expected lower-case letters", "order-history"),
        ("order_history", "words joined by `-`", "order-history"),
        ("my service", "words joined by `-`", "my-service"),
        ("2fast", "beginning with a letter", "service-2fast"),
        ("-x", "expected lower-case letters", "x"),
        ("../up", "expected lower-case letters", "up"),
        ("", "expected lower-case letters", "orders"),
        ("größe", "expected lower-case letters", "gr-e"),
        ("class", "is a word of the Python language", "class-service"),
        ("match", "is a word of the Python language", "match-service"),
        ("json", "would hide the module `json`", "json-service"),
        ("starlette", "which the service itself needs", "starlette-service"),
        ("tests", "which the service itself needs", "tests-service"),
        ("x" * 41, "it has 41 characters, at most 40 fit", "x" * 32),
    ],
)
def test_a_bad_name_is_refused_with_a_better_one(name: str, reason: str, suggestion: str) -> None:
    """The message says why the name cannot be used, and one that can."""
    with pytest.raises(CommandError) as caught:
        Project(name)

    assert 2 == caught.value.exit_code
    assert reason in str(caught.value)
    assert str(caught.value).endswith(f"Try `tacho new {suggestion}`.")


@given(st.text(max_size=60))
def test_every_suggestion_can_be_used(name: str) -> None:
    """Whatever was typed, the name in the message is a good one."""
    try:
        project = Project(name)
    except CommandError as error:
        found = re.search(r"Try `tacho new (.*)`\.$", str(error))
        assert found is not None
        project = Project(found[1])

    assert len(project.name) <= MAX_LENGTH


@pytest.mark.parametrize("description", ["two\nlines", " ", "bell\x07"])
def test_a_description_is_one_line(description: str) -> None:
    """A description becomes a line of metadata."""
    with pytest.raises(CommandError, match="description of one line"):
        Project("orders", description)
