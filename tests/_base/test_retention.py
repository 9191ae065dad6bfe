"""Keeping files within limits."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tachograph._base.retention import Retention
from tachograph.errors import ConfigError

PATTERN = re.compile(r"m\.\d")


def test_the_oldest_go_first(tmp_path: Path) -> None:
    """By count; names sort by time."""
    for n in range(5):
        (tmp_path / f"m.{n}").write_text("x")
    deleted = Retention(max_files=2).apply(tmp_path, PATTERN, tmp_path / "m.4")

    assert deleted == 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m.3", "m.4"]


def test_sizes_are_added(tmp_path: Path) -> None:
    """By bytes; the current file stays whatever its size."""
    for n in range(4):
        (tmp_path / f"m.{n}").write_text("x" * 100)
    Retention(max_bytes=250).apply(tmp_path, PATTERN, tmp_path / "m.3")
    two = sorted(path.name for path in tmp_path.iterdir())
    Retention(max_bytes=1).apply(tmp_path, PATTERN, tmp_path / "m.3")

    assert two == ["m.2", "m.3"]
    assert [path.name for path in tmp_path.iterdir()] == ["m.3"]


@pytest.mark.parametrize("limits", [{"max_files": 0}, {"max_bytes": 0}])
def test_a_limit_is_at_least_one(limits: dict[str, int]) -> None:
    """Nothing could be written otherwise."""
    with pytest.raises(ConfigError, match="at least 1"):
        Retention(**limits)
