"""Counts of the log path."""

from __future__ import annotations

from tachograph.logs.tally import LogStatistics, Tally


def test_snapshot_does_not_move() -> None:
    """A snapshot holds the counts of its moment."""
    tally = Tally()
    tally.lines += 2
    before = tally.snapshot()
    tally.lost += 1

    assert LogStatistics(2, 0, 0, 0, 0, 0) == before
    assert 1 == tally.snapshot().lost
