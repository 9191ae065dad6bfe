"""Filters: reading them, refusing them, and the levels they set."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tachograph.errors import ConfigError
from tachograph.logs import Directives, LogPipeline
from tachograph.logs.directives import LevelChanges
from tachograph.logs.levels import LEVELS, OFF

if TYPE_CHECKING:
    from tests.logs.conftest import Lines

names = st.from_regex(r"[a-z_]{1,6}(\.[a-z_]{1,6}){0,2}", fullmatch=True)


@pytest.mark.parametrize(
    ("text", "level", "loggers"),
    [
        ("info", logging.INFO, {}),
        ("", logging.INFO, {}),
        ("WARN", logging.WARNING, {}),
        ("orders=debug", logging.INFO, {"orders": logging.DEBUG}),
        (
            " error , orders.api = Trace ,, uvicorn.access=off, ",
            logging.ERROR,
            {"orders.api": 5, "uvicorn.access": OFF},
        ),
        ("my-lib=info,debug", logging.DEBUG, {"my-lib": logging.INFO}),
    ],
)
def test_filters_that_are_right(text: str, level: int, loggers: dict[str, int]) -> None:
    """Case, blanks and empty parts do not matter; without a level it is `info`."""
    assert Directives(level, loggers) == Directives.parse(text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("loud", "at 1, 'loud': expected a level, got 'loud'."),
        ("infoo", "Did you mean `info`?"),
        ("20", "expected the name of a level, got the number 20. Write `info`."),
        ("orders=-3", "got the number -3. Write a name."),
        ("orders=", "expected a level after `=`, got nothing."),
        ("=debug", "expected a logger name before `=`, got nothing."),
        ("info,debug", "at 6, 'debug': the level for everything was given before."),
        ("a=info,a=off", "at 8, 'a=off': `a` was given a level before."),
        ("root=info", "write the level alone"),
        ("orders.*=info", "a name covers all below it. Write `orders`."),
        ("a..b=info", "expected a logger name like `orders.api`, got 'a..b'."),
        ("a b=info", "expected a logger name like `orders.api`, got 'a b'."),
    ],
)
def test_filters_that_are_wrong(text: str, said: str) -> None:
    """A wrong part is refused with its position, what was expected and the way out."""
    with pytest.raises(ConfigError) as caught:
        Directives.parse(text)

    assert said in str(caught.value)
    assert "`info,orders=debug,uvicorn.access=off`" in str(caught.value)


def test_every_wrong_part_is_named_at_once() -> None:
    """One error lists all wrong parts, and a part that is wrong twice says both."""
    with pytest.raises(ConfigError) as caught:
        Directives.parse("loud, =10,orders=debug,x=quiet")

    assert [
        "The log filter 'loud, =10,orders=debug,x=quiet' has 3 wrong parts:",
        "  at 1, 'loud': expected a level, got 'loud'.",
        (
            "  at 7, '=10': expected a logger name before `=`, got nothing. "
            "expected the name of a level, got the number 10. Write `debug`."
        ),
        "  at 24, 'x=quiet': expected a level, got 'quiet'.",
    ] == str(caught.value).split("\n")[:-1]


@given(st.sampled_from(sorted(LEVELS)), st.dictionaries(names, st.sampled_from(sorted(LEVELS))))
def test_text_reads_back(level: str, loggers: dict[str, str]) -> None:
    """The text of directives parses to the same directives."""
    loggers.pop("root", None)
    text = ",".join([level, *(f"{name}={word}" for name, word in loggers.items())])
    parsed = Directives.parse(text)

    assert parsed == Directives.parse(str(parsed))


@given(st.text())
def test_any_text_parses_or_is_refused(text: str) -> None:
    """Garbage is a filter or a `ConfigError`, never another exception."""
    try:
        found = str(Directives.parse(text))
    except ConfigError as error:
        found = str(error)

    assert "wrong part" in found or found.partition(",")[0] in LEVELS


def test_longest_prefix_wins() -> None:
    """A logger has the level of the longest name that is itself or above it, by whole parts."""
    directives = Directives.parse("error,a=info,a.b=debug,a.b.c=off")

    assert [logging.INFO, logging.DEBUG, logging.DEBUG, OFF, OFF, logging.ERROR] == [
        directives.level_of(name) for name in ("a.x", "a.b", "a.b.x", "a.b.c", "a.b.c.d", "ab")
    ]


@given(st.dictionaries(names, st.sampled_from(["debug", "info", "error"]), max_size=4), names)
def test_loggers_follow_the_table(loggers: dict[str, str], name: str) -> None:
    """The level in force of any stdlib logger is the one that `level_of` says."""
    loggers.pop("root", None)
    pairs = [f"t.{key}={word}" for key, word in loggers.items()]
    directives = Directives.parse(",".join(["warning", *pairs]))
    changes = LevelChanges()
    directives.apply(changes)
    try:
        found = logging.getLogger(f"t.{name}").getEffectiveLevel()
    finally:
        changes.undo()

    assert directives.level_of(f"t.{name}") == found


def test_pair_covers_loggers_below(start: Callable[..., LogPipeline], lines: Lines) -> None:
    """`orders=debug` lets DEBUG of `orders.api` through and nothing of `ordersx`."""
    start("info,orders=debug,orders.noise=off")
    for name in ("orders", "orders.api", "ordersx", "orders.noise", "other"):
        logging.getLogger(name).debug("from %s", name)
        logging.getLogger(name).info("info from %s", name)

    assert [
        "from orders",
        "info from orders",
        "from orders.api",
        "info from orders.api",
        "info from ordersx",
        "info from other",
    ] == lines.messages


def test_switched_off_lines_are_refused_by_the_logger(start: Callable[..., LogPipeline]) -> None:
    """A line below the level is stopped by stdlib's own check, before any record is made."""
    start("info,quiet=off")

    assert not logging.getLogger("orders").isEnabledFor(logging.DEBUG)
    assert not logging.getLogger("quiet.down").isEnabledFor(logging.CRITICAL + 10)


def test_pair_beats_code_and_level_does_not(start: Callable[..., LogPipeline]) -> None:
    """A logger under a named one loses the level code gave it; one that nobody names keeps it."""
    named, other = logging.getLogger("lib.part"), logging.getLogger("botocore")
    named.setLevel(logging.ERROR)
    other.setLevel(logging.ERROR)
    pipeline = start("debug,lib=info")
    levels = [named.getEffectiveLevel(), other.getEffectiveLevel()]
    pipeline.close()

    assert [logging.INFO, logging.ERROR] == levels
    assert [logging.ERROR, logging.ERROR] == [named.level, other.level]


def test_later_changes_are_kept() -> None:
    """`undo` gives back our own changes and leaves a level that somebody set afterwards."""
    ours, theirs = logging.getLogger("ours"), logging.getLogger("theirs")
    changes = LevelChanges()
    changes.set(ours, logging.DEBUG)
    changes.set(ours, logging.INFO)
    changes.set(theirs, logging.DEBUG)
    theirs.setLevel(logging.CRITICAL)
    changes.undo()

    assert [logging.NOTSET, logging.CRITICAL] == [ours.level, theirs.level]


def test_value_set_between_our_changes_comes_back() -> None:
    """When somebody sets a level between two of our changes, `undo` returns to theirs."""
    logger = logging.getLogger("between")
    changes = LevelChanges()
    changes.set(logger, logging.DEBUG)
    logger.setLevel(logging.ERROR)
    changes.set(logger, logging.DEBUG)
    changes.undo()

    assert logging.ERROR == logger.level
