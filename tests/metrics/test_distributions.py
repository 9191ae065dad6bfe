"""Many observations in one record."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tachograph as tg
from tachograph.formats.plan import Buckets, Summary
from tachograph.metrics import Distribution, Histogram, Mean, statistics
from tachograph.testing import CapturedEvents, capture_events

magnitudes = st.one_of(
    st.floats(1e-300, 1e300), st.floats(-1e300, -1e-300), st.just(0.0), st.integers(-(10**9), 10**9)
)


class Job(tg.WideEvent, rename="PascalCase"):
    cache = tg.distribution(unit=tg.Unit.MILLISECONDS)
    db = tg.mean(unit=tg.Unit.SECONDS)
    sizes = tg.histogram(unit=tg.Unit.BYTES)


@pytest.fixture
def events() -> Iterator[CapturedEvents]:
    """Capture what the test emits."""
    with capture_events() as captured:
        yield captured


def test_a_distribution_keeps_all_in_order(events: CapturedEvents) -> None:
    """Three observations, as they came [IN-11]."""
    with Job() as job:
        for value in (3, 1, timedelta(microseconds=170)):
            job.cache.add(value)

    assert [3, 1, 0.17] == events.one(Job)["Cache"]


def test_a_mean_keeps_sum_and_count(events: CapturedEvents) -> None:
    """1 to 6 seconds are 21 in 6 [IN-12]."""
    with Job() as job:
        for value in range(1, 7):
            job.db.add(timedelta(seconds=value))
    event = events.one(Job)

    assert (6, 21, 1, 6) == tuple(event[f"Db{s}"] for s in ("Count", "Sum", "Min", "Max"))


def test_without_observations_the_field_is_absent(events: CapturedEvents) -> None:
    """Touched or not."""
    with Job() as job:
        assert isinstance(job.cache, Distribution)

    assert ["timestamp", "record"] == list(events.one(Job))


def test_percentiles_are_within_one_per_cent(events: CapturedEvents) -> None:
    """1 to 10,000: the 50th and the 99th [AG-6]."""
    with Job() as job:
        for value in range(1, 10_001):
            job.sizes.add(value)
    event = events.one(Job)

    assert event["SizesP50"] == pytest.approx(5_000, rel=0.01)
    assert event["SizesP99"] == pytest.approx(9_900, rel=0.01)
    assert (10_000, 50_005_000, 1, 10_000) == tuple(
        event[f"Sizes{s}"] for s in ("Count", "Sum", "Min", "Max")
    )


def test_nan_is_counted_and_the_rest_kept() -> None:
    """NaN, -1, 0 and 1 are three observations and one rejected [AG-5]."""
    before = statistics.nan_observations
    histogram = Histogram()
    for value in (math.nan, -1, 0, 1):
        histogram.add(value)
    closed = histogram.close()

    assert closed is not None
    assert (3, -1, 1) == (closed.summary.count, closed.summary.minimum, closed.summary.maximum)
    assert [-1, 0, 1] == [round(value, 1) for value, _ in closed.buckets]
    assert before + 1 == statistics.nan_observations


def test_a_long_distribution_becomes_a_histogram() -> None:
    """After a thousand, and that is counted; no observation is lost."""
    before = statistics.distributions_folded
    distribution = Distribution()
    for value in range(2_500):
        distribution.add(value)
    closed = distribution.close()

    assert isinstance(closed, Buckets)
    assert (2_500, 0, 2_499) == (
        closed.summary.count,
        closed.summary.minimum,
        closed.summary.maximum,
    )
    assert before + 1 == statistics.distributions_folded


@pytest.mark.parametrize("make", [Distribution, Mean, Histogram])
@pytest.mark.parametrize("wrong", ["3", None, True, object(), timedelta(seconds=1)])
def test_what_is_no_number_is_left_out(make: Any, wrong: Any) -> None:
    """Nothing raises; the loss is counted, and the other observations stay."""
    before = statistics.observations_rejected
    many = make()
    many.add(1)
    many.add(wrong)

    assert before + 1 == statistics.observations_rejected
    assert 1 == len(many.rejected)
    assert many.close() is not None


def test_a_field_without_any_number_tells_why(events: CapturedEvents) -> None:
    """The reason stands in the record."""
    with Job() as job:
        job.db.add("x")  # type: ignore[arg-type]

    assert ["Db: expected a number, got str"] == events.one(Job)["_errors"]


def test_other_numbers_and_infinities() -> None:
    """Decimals are taken, infinities are the largest float."""
    mean = Mean()
    mean.add(Decimal("0.5"), n=3)
    mean.add(math.inf)
    closed = mean.close()

    assert closed is not None
    assert (4, 0.5, 1.7976931348623157e308) == (closed.count, closed.minimum, closed.maximum)


@given(st.lists(magnitudes, min_size=1, max_size=200), st.floats(0, 1))
def test_every_quantile_is_within_one_per_cent(values: list[float], q: float) -> None:
    """Of the value at that rank, over all magnitudes, negative ones too."""
    histogram = Histogram()
    for value in values:
        histogram.add(value)
    closed = histogram.close()
    assert closed is not None
    exact = sorted(values)[max(1, math.ceil(q * len(values))) - 1]

    assert closed.quantile(q) == pytest.approx(exact, rel=0.0101)
    assert len(values) == sum(count for _, count in closed.buckets) == closed.summary.count
    assert (min(values), max(values)) == (closed.summary.minimum, closed.summary.maximum)


@given(st.lists(st.integers(-1000, 1000)), st.lists(st.integers(-1000, 1000)))
def test_merging_is_adding_all(first: list[int], second: list[int]) -> None:
    """Two histograms merged are one of all values."""
    one, other, both = Histogram(), Histogram(), Histogram()
    for value in first:
        one.add(value)
        both.add(value)
    for value in second:
        other.add(value)
        both.add(value)
    one.merge(other)

    assert both.close() == one.close()


def test_an_emitted_record_takes_no_more(events: CapturedEvents) -> None:
    """What is added afterwards is not in the line."""
    with Job() as job:
        job.cache.add(1)
    job.cache.add(2)

    assert [1] == events.one(Job)["Cache"]


def test_summaries_are_plain() -> None:
    """The plain value of a mean."""
    mean = Mean()
    mean.add(2)

    assert Summary(1, 2, 2, 2) == mean.close()
