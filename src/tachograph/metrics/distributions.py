"""Many observations in one record: distribution, mean, histogram.

A histogram's buckets are logarithmic: bucket i holds what lies above base^(i-1) and not above
base^i, and stands for the value in its middle, from which none of its members differs by more than
one per cent. Zero has a bucket of its own, negative values have theirs. Count, sum, least and most
are exact.
"""

from __future__ import annotations

import math
from datetime import timedelta
from decimal import Decimal
from typing import Any

from tachograph.formats.plan import Buckets, Summary
from tachograph.formats.quantities import Quantity
from tachograph.metrics.statistics import statistics
from tachograph.metrics.units import Unit, text_of

__all__ = ["Distribution", "Histogram", "Mean"]

RELATIVE_ERROR = 0.01
_BASE = (1 + RELATIVE_ERROR) / (1 - RELATIVE_ERROR)
_LOG_BASE = math.log(_BASE)
_MIDDLE = 2 / (1 + _BASE)  # of a bucket, in parts of its upper bound
_KEPT = 1_000
_LARGEST = 1.7976931348623157e308

Number = int | float | Decimal | timedelta | Quantity


class _Observations:
    """What the three have in common: numbers in, the wrong ones counted."""

    __slots__ = ("_unit", "rejected")

    def __init__(self, unit: Unit | str = Unit.NONE) -> None:
        self._unit = unit
        self.rejected: list[str] = []
        """Why values were left out; at most one reason a type, told in the record's `_errors`."""

    def end(self) -> None:
        """Take nothing more: what is added from now on is counted as too late."""
        self.__class__ = _OVER.get(self.__class__, self.__class__)

    def _number(self, value: Any) -> float | None:
        """Return *value* as a number in the field's unit, or None for one that is none."""
        kind = value.__class__
        number: float
        if kind is float or kind is int:
            number = value
        elif isinstance(value, timedelta | Quantity):
            return self._converted(value)
        elif isinstance(value, int | float | Decimal) and not isinstance(value, bool):
            number = float(value)
        else:
            self._reject(f"expected a number, got {kind.__name__}")
            return None
        if number != number:  # noqa: PLR0124 -- NaN
            statistics.nan_observations += 1
            return None
        return max(-_LARGEST, min(_LARGEST, number)) if kind is not int else number

    def _converted(self, value: timedelta | Quantity) -> float | None:
        if isinstance(value, timedelta):
            value = Quantity(value // timedelta(microseconds=1), "Microseconds")
        try:
            return self._number(value.into(text_of(self._unit)))
        except (TypeError, OverflowError) as error:
            self._reject(str(error))
            return None

    def _reject(self, reason: str) -> None:
        statistics.observations_rejected += 1
        if reason not in self.rejected:
            self.rejected.append(reason)


class Mean(_Observations):
    """Count, sum, least and most of what was added; absent when nothing was.

    Args:
        unit: The unit of plain numbers, to which quantities and `timedelta`s are converted.
    """

    __slots__ = ("_count", "_least", "_most", "_total")

    def __init__(self, unit: Unit | str = Unit.NONE) -> None:
        super().__init__(unit)
        self._count = 0
        self._total: float = 0
        self._least: float = math.inf
        self._most: float = -math.inf

    def add(self, value: Number, n: int = 1) -> None:
        """Add an observation that occurred *n* times."""
        number = self._number(value)
        if number is not None and n > 0:
            self._count += n
            self._total += number * n
            self._least = min(self._least, number)
            self._most = max(self._most, number)

    def close(self) -> Summary | None:
        """Return the plain value, None without observations."""
        if not self._count:
            return None
        return Summary(self._count, self._total, self._least, self._most)


class Histogram(Mean):
    """Observations in buckets, so that percentiles are known within one per cent.

    Its memory grows with the range of the values, not with their number: 230 buckets for each
    factor of 100.

    Args:
        unit: The unit of plain numbers, to which quantities and `timedelta`s are converted.
    """

    __slots__ = ("_above", "_below", "_zero")

    def __init__(self, unit: Unit | str = Unit.NONE) -> None:
        super().__init__(unit)
        self._above: dict[int, int] = {}
        self._below: dict[int, int] = {}
        self._zero = 0

    def add(self, value: Number, n: int = 1) -> None:
        """Add an observation that occurred *n* times."""
        number = self._number(value)
        if number is None or n <= 0:
            return
        self._count += n
        self._total += number * n
        self._least = min(self._least, number)
        self._most = max(self._most, number)
        if number == 0:
            self._zero += n
            return
        buckets = self._above if number > 0 else self._below
        index = math.ceil(math.log(abs(number)) / _LOG_BASE)
        buckets[index] = buckets.get(index, 0) + n

    def merge(self, other: Histogram) -> None:
        """Add all observations of *other*."""
        self._count += other._count
        self._total += other._total
        self._least = min(self._least, other._least)
        self._most = max(self._most, other._most)
        self._zero += other._zero
        for mine, theirs in ((self._above, other._above), (self._below, other._below)):
            for index, count in theirs.items():
                mine[index] = mine.get(index, 0) + count

    def close(self) -> Buckets | None:  # type: ignore[override]
        """Return the plain value, None without observations."""
        summary = super().close()
        if summary is None:
            return None
        below = [(-_value(i), n) for i, n in sorted(self._below.items(), reverse=True)]
        zero = [(0.0, self._zero)] if self._zero else []
        above = [(_value(i), n) for i, n in sorted(self._above.items())]
        least, most = summary.minimum, summary.maximum
        inside = [(max(least, min(most, v)), n) for v, n in (*below, *zero, *above)]
        return Buckets(summary, tuple(inside))


class Distribution(_Observations):
    """All observations in their order, up to 1,000; then it becomes a histogram, which is counted.

    Args:
        unit: The unit of plain numbers, to which quantities and `timedelta`s are converted.
    """

    __slots__ = ("_folded", "_values")

    def __init__(self, unit: Unit | str = Unit.NONE) -> None:
        super().__init__(unit)
        self._values: list[float] = []
        self._folded: Histogram | None = None

    def add(self, value: Number) -> None:
        """Add an observation."""
        number = self._number(value)
        if number is None:
            return
        if self._folded is not None:
            self._folded.add(number)
            return
        self._values.append(number)
        if len(self._values) > _KEPT:
            folded = Histogram()
            for each in self._values:
                folded.add(each)
            self._values.clear()
            self._folded = folded
            statistics.distributions_folded += 1

    def close(self) -> tuple[float, ...] | Buckets | None:
        """Return the plain value, None without observations."""
        if self._folded is not None:
            return self._folded.close()
        return tuple(self._values) or None


class _Over:
    """What the three turn into when their record has taken the value.

    By a change of class, so that adding costs nothing for the check.
    """

    __slots__ = ()

    def add(self, value: Number, n: int = 1) -> None:
        """Do nothing."""
        statistics.late("An observation was added")

    def merge(self, other: Histogram) -> None:
        """Do nothing."""
        statistics.late("Observations were added")


class _OverMean(_Over, Mean):
    __slots__ = ()


class _OverHistogram(_Over, Histogram):
    __slots__ = ()


class _OverDistribution(_Over, Distribution):
    __slots__ = ()


_OVER: dict[type, type] = {
    Mean: _OverMean,
    Histogram: _OverHistogram,
    Distribution: _OverDistribution,
}


def _value(index: int) -> float:
    try:
        return min(_LARGEST, math.exp(index * _LOG_BASE) * _MIDDLE)
    except OverflowError:
        return _LARGEST
