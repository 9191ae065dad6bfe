"""What the bench of the recorder computes, and that it runs; what it measures is nobody's test."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

BENCH = Path(__file__).resolve().parent.parent / "bench"


def load(name: str) -> ModuleType:
    """Return a module of the bench, whose directory is no package."""
    spec = importlib.util.spec_from_file_location(f"bench_{name}", BENCH / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


ratios = load("ratios")


@pytest.mark.parametrize(
    ("count", "rank"), [(6, 1), (8, 1), (9, 2), (12, 3), (15, 4), (20, 6), (25, 8), (50, 18)]
)
def test_the_interval_has_the_ranks_of_tables(count: int, rank: int) -> None:
    """The 95 % interval of a median ends at the ranks that tables of order statistics give."""
    found = ratios.estimate(range(1, count + 1))

    assert (rank, count + 1 - rank) == (found.low, found.high)
    assert 0.95 <= found.certainty < 1


def test_few_values_say_how_certain_they_are() -> None:
    """Of five values all of them make the interval, which is less certain than 95 %."""
    found = ratios.estimate([5.0, 1.0, 2.0, 4.0, 3.0])

    assert (3.0, 1.0, 5.0, 0.9375, 5) == found
    assert "3.00 (1.00–5.00; 94%)" == str(found)


@pytest.mark.parametrize(
    ("values", "text"),
    [([1.25], "1.25 (once)"), ([1, 2, 3, 4, 5, 6, 7, 8], "4.50 (1.00–8.00)")],
)
def test_an_estimate_as_text(values: list[float], text: str) -> None:
    """The median, its interval, and nothing of certainty when it is as it should be."""
    assert text == str(ratios.estimate(values))


@given(st.lists(st.floats(0.01, 100), min_size=1, max_size=60))
def test_the_median_is_in_its_interval(values: list[float]) -> None:
    """The interval has the median, is made of measured values, and certain only of six or more."""
    found = ratios.estimate(values)

    assert found.low <= found.median <= found.high
    assert {found.low, found.high} <= set(values)
    assert (len(values) >= 6) is (found.certainty >= 0.95)


def test_ratios_are_of_what_was_measured_together() -> None:
    """Each value is divided by the base of its own pair, not by the median of bases."""
    assert 2.0 == ratios.estimate_ratios([2.0, 20.0, 200.0], [1.0, 10.0, 100.0]).median
    with pytest.raises(ValueError, match="longer"):
        ratios.estimate_ratios([1.0], [1.0, 2.0])


def test_no_values_are_no_figure() -> None:
    """Without values there is an error that says so, and no 0."""
    with pytest.raises(ValueError, match="none"):
        ratios.estimate([])


@pytest.mark.parametrize(("share", "value"), [(0.5, 50), (0.99, 99), (1.0, 100), (0.0, 1)])
def test_a_percentile_is_a_measured_value(share: float, value: int) -> None:
    """That many of the values do not exceed it."""
    assert value == ratios.percentile(list(range(100, 0, -1)), share)


@pytest.mark.slow
def test_the_bench_of_the_recorder_runs() -> None:
    """It measures each part once, counts what is on disk by its steps, and loses nothing."""
    arguments = ["--cycles", "1", "--units", "2000", "--pairs", "1", "--requests", "320"]
    done = subprocess.run(
        [sys.executable, BENCH / "recorder.py", *arguments, "--loops", "asyncio"],
        env={**os.environ, "PYTHONWARNINGS": "default"},
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip

    assert 0 == done.returncode, done.stderr
    assert 4 == len(
        re.findall(r"^(?:empty|spawn|ping|socket).*\(once\) .*\(once\)", done.stdout, re.MULTILINE)
    )
    assert 2 == len(re.findall(r"events dropped +0$", done.stdout, re.MULTILINE))
    steps = [float(text) for text in re.findall(r"([\d.]+) steps a request", done.stdout)]
    assert all(2 < count < 20 for count in steps)
    assert 2 == len(steps)
