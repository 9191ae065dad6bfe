"""Settings from the environment."""

from __future__ import annotations

import pytest

from tachograph._base.env import collected, read_bool, read_text


def test_a_blank_variable_is_unset() -> None:
    """Surrounding blanks do not count."""
    environ = {"A": "  x ", "B": "  ", "C": ""}

    assert [read_text(name, environ) for name in "ABCD"] == ["x", None, None, None]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("true", True),
        ("ON", True),
        ("1", True),
        ("y", True),
        ("no", False),
        ("F", False),
        ("", None),
    ],
)
def test_words_for_yes_and_no(text: str, expected: bool | None) -> None:
    """Whatever their case."""
    assert read_bool("A", {"A": text}) is expected


def test_other_words_are_refused() -> None:
    """The message names the variable and what it may hold."""
    with pytest.raises(ValueError, match="A: expected one of true, false"):
        read_bool("A", {"A": "maybe"})


def test_problems_are_collected_by_variable() -> None:
    """Each line of an error, its field renamed where a variable fills it; others pass."""
    problems: list[str] = []
    with collected(problems, {"size": "SIZE"}):
        raise ValueError("size: too small.\nname: too long.")
    with collected(problems):
        pass
    with pytest.raises(KeyError), collected(problems):
        raise KeyError("size")

    assert ["SIZE: too small.", "name: too long."] == problems
