"""Which waits of tasks are told."""

from __future__ import annotations

import math

import pytest

from tachograph.trace.idle import IdleSampler

MEAN = 10_000_000


@pytest.mark.parametrize("idle_ns", [MEAN // 10, MEAN, 3 * MEAN])
def test_longer_waits_are_likelier(idle_ns: int) -> None:
    """1 - exp(-t / mean), within four standard errors of 20,000 tasks (recorder.md 12)."""
    sampler = IdleSampler(MEAN, seed=7)
    count = 20_000
    taken = sum(sampler.takes(task, idle_ns) for task in range(count)) / count
    expected = 1 - math.exp(-idle_ns / MEAN)

    assert abs(taken - expected) < 4 * math.sqrt(expected * (1 - expected) / count)


def test_short_waits_add_up() -> None:
    """Many short waits of one task are told as often as their sum says."""
    sampler = IdleSampler(MEAN, seed=7)
    taken = sum(sampler.takes(1, MEAN // 100) for _ in range(100_000))

    assert abs(taken - 1000) < 4 * math.sqrt(1000)


def test_equal_seeds() -> None:
    """They decide equally, others do not."""
    waits = [(n % 5, n * 1_000_003 % MEAN) for n in range(500)]

    def decided(seed: int) -> list[bool]:
        sampler = IdleSampler(MEAN, seed)
        return [sampler.takes(*wait) for wait in waits]

    assert decided(1) == decided(1) != decided(2)


def test_none_is_left_out() -> None:
    """A mean of 0 takes each."""
    assert IdleSampler(0).takes(1, 0)
