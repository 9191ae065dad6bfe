"""The one clock."""

from __future__ import annotations

import time

from tachograph._base.clock import Clock


def test_it_reads_the_systems_clocks() -> None:
    """Wall time in nanoseconds since 1970; the monotonic clock never goes back."""
    clock = Clock()
    before, reading, after = time.time_ns(), clock.time_ns(), time.time_ns()

    assert before <= reading <= after
    assert clock.monotonic_ns() <= clock.monotonic_ns()


def test_reset_undoes_a_replacement() -> None:
    """A test that replaced a reading leaves nothing behind."""
    clock = Clock()
    clock.time_ns = lambda: 5
    clock.reset()

    assert clock.time_ns() > 5
