"""Which records are written, and how many each of them stands for.

Strategy: one draw a record, from a random generator or from the hash of an id, so that all services
keep the same requests. A record kept at rate r stands for 1/r records; since a weight is a whole
number, it is one of the two next to 1/r, chosen so that weights sum up to the records offered.
"""

from __future__ import annotations

import hashlib
import math
import random
from collections.abc import Callable, Iterator
from typing import Any

from tachograph._base.forks import tell_in_children
from tachograph._base.ratelimit import warn_once
from tachograph.errors import ConfigError
from tachograph.metrics.instruments import Outcome
from tachograph.metrics.statistics import statistics

__all__ = ["Sampling", "multiplicity"]

_MOST = 2**64 - 1
_TINY = 2.0**-63


def multiplicity(rate: float, draw: float) -> int:
    """Return the whole number of records that one kept at *rate* stands for.

    With n = floor(1/rate) it is n with probability (n + 1) - 1/rate, else n + 1, so that its mean
    is 1/rate.

    Args:
        rate: Above 0, at most 1.
        draw: Uniform in [0, 1), independent of the one by which the record was kept.
    """
    if rate < _TINY:
        return _MOST
    exact = 1 / rate
    n = math.floor(exact)
    return n if draw < (n + 1) - exact else n + 1


class Sampling:
    """A fixed part of all records, and every one that went wrong or took long.

    Args:
        rate: The part that is kept, above 0 and at most 1.
        by: Attribute whose value decides, as a request's id does for all services alike; None to
            draw at random.
        keep_errors: Keep records whose scope raised (other than by being cancelled), where an
            `outcome()` of the record or of a child was set to another than Ok, or whose
            `server_error` is true.
        keep_slower_than: Seconds; keep records that took longer.
        keep: Keep the records for which this returns true.
        seed: For tests: makes the random draws repeatable.

    Raises:
        ConfigError: A value is invalid.
    """

    def __init__(
        self,
        rate: float,
        *,
        by: str | None = None,
        keep_errors: bool = True,
        keep_slower_than: float | None = None,
        keep: Callable[[Any], bool] | None = None,
        seed: int | None = None,
    ) -> None:
        if not 0 < rate <= 1:
            msg = f"rate: expected a number above 0 and at most 1, got {rate!r}."
            raise ConfigError(msg)
        if keep_slower_than is not None and not keep_slower_than >= 0:
            msg = f"keep_slower_than: expected seconds, 0 or more, got {keep_slower_than!r}."
            raise ConfigError(msg)
        self._rate = rate
        self._by = by
        self._keep_errors = keep_errors
        self._slow_ns = None if keep_slower_than is None else round(keep_slower_than * 1e9)
        self._keep = keep
        self._random = random.Random(seed)  # noqa: S311 -- nothing secret depends on it
        tell_in_children(self)

    def forget_parent(self) -> None:
        """In a forked child: draw other numbers than the parent."""
        self._random.seed()

    @property
    def rate(self) -> float:
        """The part of all records that it lets through."""
        return self._rate

    def decide(self, record: Any, *, error: BaseException | None, duration_ns: int) -> int:
        """Return how many records this one stands for, 0 to leave it out. Never raises.

        Args:
            record: A record whose scope has ended.
            error: What ended it, if it raised.
            duration_ns: How long it took.
        """
        return self.weigh(record, error=error, duration_ns=duration_ns)[1]

    def weigh(
        self, record: Any, *, error: BaseException | None, duration_ns: int
    ) -> tuple[float, int]:
        """Return the rate at which such records are kept, and what `decide` does. Never raises.

        The rate is 1 for a record that is kept whatever is drawn: it stands for itself.

        Args:
            record: A record whose scope has ended.
            error: What ended it, if it raised.
            duration_ns: How long it took.
        """
        try:
            if self._must_keep(record, error, duration_ns):
                return 1.0, 1
            draw, second = self._draws(record)
        except Exception as failure:  # noqa: BLE001 -- telemetry never raises into the application
            statistics.sampling_errors += 1
            warn_once(f"sampling {type(failure)}", f"A record is kept unsampled: {failure!r}")
            return 1.0, 1
        return self._rate, multiplicity(self._rate, second) if draw < self._rate else 0

    def _must_keep(self, record: Any, error: BaseException | None, duration_ns: int) -> bool:
        if self._slow_ns is not None and duration_ns > self._slow_ns:
            return True
        if self._keep_errors:
            if isinstance(error, Exception) or getattr(record, "server_error", False) is True:
                return True
            if any(outcome is not Outcome.OK for outcome in _outcomes(record)):
                return True
        return self._keep is not None and bool(self._keep(record))

    def _draws(self, record: Any) -> tuple[float, float]:
        if self._by is None:
            return self._random.random(), self._random.random()
        value = str(getattr(record, self._by)).encode(errors="replace")
        found = hashlib.blake2b(value, digest_size=16).digest()
        return _fraction(found[:8]), _fraction(found[8:])


def _outcomes(record: Any) -> Iterator[Outcome]:
    """Yield the outcomes that were set in a record and its children."""
    for path in record.__wide_event__.outcomes:
        found = record
        for attribute in path.split("."):
            found = getattr(found, attribute, None)
        if isinstance(found, Outcome):
            yield found


def _fraction(eight: bytes) -> float:
    return (int.from_bytes(eight, "big") >> 11) / 2**53
