"""Names of levels."""

from __future__ import annotations

import logging

import pytest

from tachograph.logs.levels import OFF, TRACE, level_name, level_number


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("trace", TRACE),
        ("Debug", logging.DEBUG),
        ("INFO", logging.INFO),
        ("warn", logging.WARNING),
        ("warning", logging.WARNING),
        (" error ", logging.ERROR),
        ("critical", logging.CRITICAL),
        ("off", OFF),
        ("fatal", None),
        ("20", None),
        ("", None),
    ],
)
def test_names_mean_numbers(name: str, number: int | None) -> None:
    """A level name counts in any case; anything else is no level."""
    assert number == level_number(name)


def test_numbers_have_one_name() -> None:
    """A number is called what a filter calls it; another number is shown as it is."""
    assert ["warning", "off", "35"] == [level_name(n) for n in (logging.WARNING, OFF, 35)]


def test_off_is_above_every_level() -> None:
    """No line has a level that `off` lets through, not even one above CRITICAL."""
    assert max(logging.CRITICAL + 10, 1_000) < OFF
