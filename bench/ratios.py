"""Figures of a bench: the median of ratios, with what the true median lies in.

The interval is that of order statistics, which supposes nothing of how the ratios are spread: the
narrowest pair of measured values, equally far from both ends, between which the median lies with at
least 95 % certainty. Of five values or fewer even all of them are less certain than that, and the
figure says how certain.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import NamedTuple

__all__ = ["CERTAIN", "Estimate", "estimate", "estimate_ratios", "percentile"]

CERTAIN = 0.95


class Estimate(NamedTuple):
    """A median and its interval.

    Attributes:
        median: Of the values.
        low: Where the interval begins.
        high: Where it ends.
        certainty: How likely the true median is in there.
        count: How many values there are.
    """

    median: float
    low: float
    high: float
    certainty: float
    count: int

    def __str__(self) -> str:
        """Return `0.97 (0.95–0.99)`, with the certainty where it is less than 95 %."""
        if self.count == 1:
            return f"{self.median:.2f} (once)"
        doubt = "" if self.certainty >= CERTAIN else f"; {self.certainty:.0%}"
        return f"{self.median:.2f} ({self.low:.2f}–{self.high:.2f}{doubt})"


def estimate(values: Sequence[float]) -> Estimate:
    """Return the median of *values* and its interval.

    Raises:
        ValueError: There are no values.
    """
    if not values:
        raise ValueError("Expected measured values, got none: was a count of rounds 0?")
    ordered = sorted(values)
    count = len(ordered)
    skipped, outside = 0, 2 * 0.5**count  # the median is beyond all values, on either side
    while True:
        wider = outside + 2 * math.comb(count, skipped + 1) * 0.5**count
        if wider > 1 - CERTAIN or 2 * (skipped + 1) >= count:
            break
        skipped, outside = skipped + 1, wider
    return Estimate(
        statistics.median(ordered),
        ordered[skipped],
        ordered[count - 1 - skipped],
        max(0.0, 1 - outside),
        count,
    )


def estimate_ratios(values: Sequence[float], bases: Sequence[float]) -> Estimate:
    """Return the estimate of each value over the base that was measured beside it.

    Raises:
        ValueError: There are none, or not as many of both.
    """
    return estimate([value / base for value, base in zip(values, bases, strict=True)])


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest of *values* that *share* of them do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * share) - 1)]
