"""Saying things once."""

from __future__ import annotations

import logging

import pytest

from tachograph._base.ratelimit import RateLimit, once, reset_once, warn_once
from tachograph.testing import FakeClock


def test_a_key_is_new_once() -> None:
    """Until it is forgotten."""
    reset_once()

    assert [once("a"), once("a"), once("b")] == [True, False, True]
    reset_once()
    assert once("a")


def test_a_warning_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    """Through the logger `tachograph`, where the application's lines go."""
    reset_once()
    with caplog.at_level(logging.WARNING, "tachograph"):
        warn_once("k", "100 % lost")
        warn_once("k", "100 % lost")

    assert [record.getMessage() for record in caplog.records] == ["100 % lost"]


def test_an_interval_must_pass() -> None:
    """The first is allowed, then one per interval."""
    with FakeClock() as time:
        limit = RateLimit(1.0)
        found = [limit.allow(), limit.allow()]
        time.advance(1)
        found.append(limit.allow())

    assert found == [True, False, True]
