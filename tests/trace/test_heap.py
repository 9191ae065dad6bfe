"""What sampled allocations stand for, with numbers that a page of arithmetic confirms."""

from __future__ import annotations

import math
import random
from fractions import Fraction

import pytest

from tachograph.trace.events import EVENTS
from tachograph.trace.heap import SAMPLE_RATE, Usage, allocated, live, sample_rate, weight
from tachograph.trace.schema import Event, Pools

A, B = (1, 9), (2, 9)


def allocation(size: int, stack: tuple[int, ...] = A, at: int = 0) -> Event:
    """A sampled allocation."""
    return Event(EVENTS["AllocEvent"], 0, (1, size, at, stack), Pools())


def free(at: int) -> Event:
    """The end of a sampled block."""
    return Event(EVENTS["FreeEvent"], 0, (1, at, 0, 0), Pools())


@pytest.mark.parametrize(
    ("samples", "size", "estimate"),
    [(2_040, 1, 1_045_500), (1_919, 64, 1_045_215), (890, 1_024, 1_054_004), (16, 65_536, 2**20)],
)
def test_the_numbers_of_the_reference(samples: int, size: int, estimate: int) -> None:
    """R = 512: so many samples of a size stand for so many bytes of 1 MiB."""
    total = samples * size * weight(size, 512)

    assert total == pytest.approx(estimate, abs=1)
    assert total == pytest.approx(2**20, rel=0.006)


def test_the_weight_is_one_over_the_probability() -> None:
    """For sizes far below R it is R / s, far above 1, at R itself 1.58."""
    assert weight(1, 10**9) == pytest.approx(10**9, rel=1e-8)
    assert weight(10**9, 512) == 1.0
    assert weight(512, 512) == pytest.approx(1 / (1 - math.exp(-1)))
    assert weight(512, 512) == pytest.approx(1.58, abs=0.002)
    exact = 1 / sum(
        Fraction(-1) ** (n + 1) * Fraction(1, 524_288) ** n / math.factorial(n) for n in range(1, 9)
    )
    assert weight(1, 524_288) == pytest.approx(float(exact), rel=1e-14)


@pytest.mark.parametrize(("size", "rate"), [(0, 1), (7, 1), (7, 0)])
def test_at_a_mean_of_one_byte_each_block_is_a_sample(size: int, rate: int) -> None:
    """So each stands for itself."""
    assert 1.0 == weight(size, rate)


def test_a_block_of_no_bytes_is_one_of_one() -> None:
    """It has an address, and the sampler counts it so."""
    assert weight(1, 512) == weight(0, 512)


def test_samples_are_weighted_one_by_one() -> None:
    """A group of two sizes is not one of their mean."""
    found = allocated([allocation(64), allocation(65_536), allocation(64, B)], 512)

    small = weight(64, 512)
    assert found[A] == Usage(64 * small + 65_536, small + 1, 2)
    assert found[B] == Usage(64 * small, small, 1)
    assert found[A].count != pytest.approx(2 * weight((64 + 65_536) // 2, 512))


def test_estimates_hold_for_a_mix() -> None:
    """Sampled here by the definition, block by block; within 4 standard deviations."""
    chance = random.Random(11)
    sizes = [chance.choice((16, 48, 300, 4_000, 70_000)) for _ in range(30_000)]
    taken = [s for s in sizes if chance.random() < -math.expm1(-s / 16_384)]
    usage = allocated([allocation(size) for size in taken], 16_384)[A]
    variance = sum(s * s * (weight(s, 16_384) - 1) for s in sizes)

    assert abs(usage.bytes - sum(sizes)) < 4 * variance**0.5
    assert abs(usage.count - len(sizes)) < 4 * sum(weight(s, 16_384) - 1 for s in sizes) ** 0.5
    assert len(taken) == usage.samples < len(sizes) / 3


def test_what_is_left_is_what_was_not_freed() -> None:
    """By addresses, which are given away again; a free of a block that is not told is nothing."""
    events = [
        free(0x30),
        allocation(100, A, 0x10),
        allocation(200, B, 0x20),
        free(0x10),
        allocation(300, B, 0x10),
        allocation(400, A, 0x40),
        free(0x40),
        allocation(500, A),
    ]
    found = live(events, 1)

    assert {B: Usage(500.0, 2.0, 2)} == found
    assert 1_500 == sum(usage.bytes for usage in allocated(events, 1).values())


def test_an_address_that_comes_again_was_freed() -> None:
    """Its free was lost; the new block is what is left."""
    found = live([allocation(100, A, 0x10), allocation(200, B, 0x10)], 1)

    assert {B: Usage(200.0, 1.0, 1)} == found


def test_other_events_are_none() -> None:
    """A trace is handed over as it is."""
    other = Event(EVENTS["MemoryProfileOverflowEvent"], 0, (1, 2), Pools())

    assert ({}, {}) == (allocated([other], 1), live([other], 1))


@pytest.mark.parametrize(
    ("metadata", "rate"),
    [
        ({"memory.sample_rate_bytes": "4096"}, 4_096),
        ({"memory_profile.sample_rate_bytes": "77"}, 77),
        ({"memory.sample_rate_bytes": "many"}, SAMPLE_RATE),
        ({"memory.sample_rate_bytes": "0"}, SAMPLE_RATE),
        ({"memory.sample_rate_bytes": "²"}, SAMPLE_RATE),
        ({}, 524_288),
    ],
)
def test_the_metadata_tells_the_mean(metadata: dict[str, str], rate: int) -> None:
    """Under either key; 524,288 where it does not."""
    assert rate == sample_rate(metadata)
