"""Every case of the reference pages is stated by a test, or the table says why not."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parent
PAGES = ("wide-events.md", "metric-formats.md")
_CASE = re.compile(r"\b[A-Z]{1,2}-\d+[ab]?\b")

_LATER = "of keyed aggregation and the sampler by groups, which are not built yet"
_MAY = "may be built, is not"

EXCEPTIONS: dict[str, str] = {
    **{f"AG-{n}": _LATER for n in (1, 2, 3, 4)},
    **{f"CG-{n}": _LATER for n in range(1, 9)},
    "SK-10": "a time, which is measured by bench/ and asserted by no test",
    "IN-13": f"{_MAY}: state cells",
    "IN-14": "a datetime is RFC 3339 text in every format: one form, in which nothing is rounded",
    **{f"NM-{n}": f"{_MAY}: exact prefixes" for n in (5, 10, 11, 14)},
    **{f"NM-{n}": f"{_MAY}: tagged unions" for n in (15, 16, 17, 18)},
}
"""Cases without a test, each with the reason."""


def cases(page: str) -> set[str]:
    """Return the ids that a page defines: in the first cell or in the head of a table."""
    found: set[str] = set()
    lines = page.splitlines()
    for line, below in zip(lines, [*lines[1:], ""], strict=True):
        if line.startswith("|"):
            is_head = below.startswith("|---")
            found.update(_CASE.findall(line if is_head else line.split("|")[1]))
        else:
            found.update(_CASE.findall(line[:8]))
    return found


@pytest.fixture
def pages(reference_data: Path) -> list[str]:
    """The reference pages, which are not part of the repository."""
    return [(reference_data / "reference" / name).read_text() for name in PAGES]


def test_every_case_has_a_test(pages: list[str]) -> None:
    """Its id stands in a file of tests, or in the table of exceptions."""
    text = "\n".join(
        path.read_text() for path in sorted(TESTS.rglob("test_*.py")) if path != Path(__file__)
    )
    quoted = set(_CASE.findall(text))
    wanted = set().union(*(cases(page) for page in pages))

    assert len(wanted) > 200
    assert [] == sorted(wanted - quoted - EXCEPTIONS.keys())


def test_the_cases_of_a_page_are_found() -> None:
    """In first cells, several in one, in heads, and before a colon; not where they are quoted."""
    page = (
        "| | SA-1 | SA-2 |\n|---|---|---|\n| rate | 1 | 0.7 |\n"
        "| LC-4 / LC-5 | as LC-1 | NM-3 |\n"
        "| M-18a | x | y |\n"
        "SA-8: rate 0.4, see SA-9\n"
    )

    assert {"SA-1", "SA-2", "LC-4", "LC-5", "M-18a", "SA-8"} == cases(page)
