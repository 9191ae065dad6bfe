"""Files as lines: whatever is in them, nothing crashes and nothing is lost in silence."""

from __future__ import annotations

import datetime as dt
import gzip
from collections.abc import Callable
from pathlib import Path

import pytest

from tachograph.fleet import Skipped, WideEvents

Ask = Callable[..., WideEvents]
Line = Callable[..., str]


@pytest.mark.parametrize("depth", [40, 1_000, 100_000])
def test_deep_values_are_kept_as_text(events: Ask, make_line: Line, depth: int) -> None:
    """A value that nests deeper than anything ours is its JSON text; other lines are as ever."""
    deep = "[" * depth + "1" + "]" * depth
    line = make_line("A", n=1)[:-2] + f',"x":{deep},"y":{{"a":{deep}}}}}\n'
    found = events(line + make_line("A", n=2, x=5))

    assert Skipped() == found.skipped
    assert [(1, deep, f'{{"a":{deep}}}'), (2, "5", None)] == (
        found.query("SELECT n, x, y FROM A ORDER BY n").rows
    )


@pytest.mark.parametrize(
    ("time", "expected"),
    [
        ('"9999-12-31T23:59:59.999999Z"', dt.datetime(9999, 12, 31, 23, 59, 59, 999999)),  # noqa: DTZ001
        ('"12000-01-02T03:04:05Z"', "12000-01-02 03:04:05"),
        ("999999999999999", "33658-09-27 01:46:39.999"),
        ("-1", dt.datetime(1969, 12, 31, 23, 59, 59, 999000)),  # noqa: DTZ001
        ("-99999999999999", "1200-02-15 (BC) 14:13:20.001"),
    ],
)
def test_far_times_are_times(events: Ask, time: str, expected: object) -> None:
    """A time that Python cannot hold is still one: compared in SQL, shown as its text."""
    found = events(f'{{"timestamp":{time},"record":"A"}}\n')

    assert Skipped() == found.skipped
    assert [(expected,)] == found.query("SELECT timestamp FROM A").rows
    assert [(1,)] == found.query("SELECT count(*) FROM A WHERE timestamp = timestamp").rows
    assert 1 == len(found.overview().rows)


@pytest.mark.parametrize(
    "time",
    ['"soon"', '"infinity"', '"2026-13-45T99:00:00Z"', '""', "99999999999999999", f"-{2**63}",
     f"{10**400}", "true", "null", "{}", "[1]"],
)  # fmt: skip
def test_what_is_no_time_costs_the_time_only(events: Ask, time: str) -> None:
    """The record is there with NULL, and how many such there are is told."""
    found = events(f'{{"timestamp":{time},"record":"A","x":1}}\n')

    assert Skipped(undated=1) == found.skipped
    assert [(None, 1)] == found.query("SELECT timestamp, x FROM A").rows
    assert [("A", 1, None, None, 0)] == found.overview().rows


def test_a_cut_file_gives_what_is_before_the_cut(
    events: Ask, make_line: Line, tmp_path: Path
) -> None:
    """A compressed file that ends in the middle is counted; its whole lines are records."""
    packed = gzip.compress("".join(make_line("A", n=n) for n in range(5_000)).encode())
    (tmp_path / "metrics.log.2026-01-02-02-00.gz").write_bytes(packed[: len(packed) // 2])
    found = events(make_line("A", n=-1))

    assert (1, 0, 0) == (found.skipped.cut, found.skipped.damaged, found.skipped.other)
    ((count, least),) = found.query("SELECT count(*), min(n) FROM A").rows
    assert least == -1
    assert 1_000 < count < 5_000


def test_names_from_files_may_hold_anything(events: Ask, make_line: Line) -> None:
    """A null character or an escape sequence in a name is a name like others."""
    found = events(make_line("A\x1b[2J", **{"a\0b": 1, "c\x1b]0;x\x07": 2}))

    assert ["timestamp", "a\0b", "c\x1b]0;x\x07"] == [c.name for c in found.records[0].columns]
    assert 1 == len(found.query('FROM "A\x1b[2J"').rows)
