"""Every row of the recorder's failure table is stated by a test, or the table says why not."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parent.parent
_QUOTED = re.compile(r"\(recorder\.md row (\d+)\)")
_LATER = "of a part that is not built yet"

EXCEPTIONS: dict[int, str] = {
    15: f"{_LATER}: upload",
    16: f"{_LATER}: upload",
    18: "segments are never kept in memory: a ring is, and it drops what finds no room",
    29: f"{_LATER}: dumps on a trigger; `dump` of a disabled recorder is row 19",
}
"""Rows without a test, each with the reason."""


def rows(page: str) -> set[int]:
    """Return the numbers of the rows of the page's failure table."""
    _, _, section = page.partition("\n## 13. ")
    section, _, _ = section.partition("\n## ")
    return {int(found) for found in re.findall(r"^\| (\d+) \|", section, re.MULTILINE)}


def quoted() -> set[int]:
    """Return the numbers that tests quote in their docstrings."""
    text = "\n".join(path.read_text() for path in sorted(TESTS.rglob("test_*.py")))
    return {int(found) for found in _QUOTED.findall(text)}


def test_every_row_has_a_test(reference_data: Path) -> None:
    """Its number stands in a test's docstring, or in the table of exceptions; never in both."""
    page = reference_data / "reference" / "recorder.md"
    if not page.is_file():
        pytest.skip(f"no {page}")
    wanted = rows(page.read_text())

    assert wanted == set(range(1, 31))
    assert [] == sorted(wanted - quoted() - EXCEPTIONS.keys())
    assert [] == sorted(quoted() - wanted)
    assert [] == sorted(quoted() & EXCEPTIONS.keys())


def test_rows_are_those_of_the_table() -> None:
    """Numbers in other sections and in the text below it are no rows."""
    page = (
        "\n## 12. Other\n| 7 | x |\n## 13. Failures\n| # | a |\n|---|---|\n| 1 | b |\n| 30 | c |\n"
    )

    assert {1, 30} == rows(f"{page}\n31 is text\n## 14. More\n| 9 | d |\n")
