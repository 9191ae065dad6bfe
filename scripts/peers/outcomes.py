"""What tests came out as, and whether two ways of running them came out alike.

An outcome is a word: passed, failed, error, skipped, xfailed, xpassed, or absent where a run did
not have the test. A test that comes out in two ways without the recorder says nothing about the
recorder: it is unstable, which is told and is no failure.
"""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

__all__ = [
    "ABSENT",
    "Comparison",
    "Outcomes",
    "compare",
    "differing",
    "file_of",
    "read_junit",
    "read_lines",
    "table",
]

Outcomes = Mapping[str, str]
"""The outcome of each test of one run, by the test's name."""

ABSENT = "absent"
_WORDS = {  # of `test.libregrtest`, which writes `output` for a failure that was expected
    "output": "xfailed",
    "outcome": "xpassed",
    "skipped": "skipped",
    "failure": "failed",
    "error": "error",
}
_WORST = ("error", "failed", "xpassed", "xfailed", "skipped", "passed")


def worse(one: str, other: str) -> str:
    """Return the outcome that tells more; a test has one for each of its phases."""
    return min(one, other, key=_WORST.index)


def read_junit(path: Path) -> dict[str, str]:
    """Return the outcomes in what `python -m test --junit-xml` wrote."""
    found: dict[str, str] = {}
    for case in ET.parse(path).iter("testcase"):
        name = case.get("name")
        if name is None:  # a subtest failed: this form has no word for it, and none for its test
            continue
        outcome = "passed"
        for tag, word in _WORDS.items():
            if case.find(tag) is not None:
                outcome = word
        found[name] = worse(found[name], outcome) if name in found else outcome
    return found


def read_lines(path: Path) -> dict[str, str]:
    """Return the outcomes in what the runner wrote: a JSON list of test and outcome a line."""
    found: dict[str, str] = {}
    for line in path.read_text().splitlines():
        name, outcome = json.loads(line)
        found[name] = worse(found[name], outcome) if name in found else outcome
    return found


def file_of(test: str) -> str | None:
    """Return the file, or the module, that a test is in; None where its name does not tell.

    A test that depends on those before it comes out again as it did only together with them.
    """
    if "::" in test:
        return test.split("::", 1)[0]
    parts = test.split(".")
    if " " in test or len(parts) < 5 or parts[0] != "test":
        return None
    return ".".join(parts[:3])


def differing(plain: Outcomes, recorded: Outcomes) -> list[str]:
    """Return the tests that did not come out alike, or that one of the two runs did not have."""
    return sorted(
        test
        for test in plain.keys() | recorded.keys()
        if plain.get(test, ABSENT) != recorded.get(test, ABSENT)
    )


@dataclass(frozen=True, slots=True)
class Difference:
    """How one test came out in each run of either way."""

    test: str
    plain: Counter[str]
    recorded: Counter[str]

    def __str__(self) -> str:
        return f"{self.test}: plain {_shown(self.plain)}; recorded {_shown(self.recorded)}"


@dataclass(frozen=True, slots=True)
class Comparison:
    """What became of two runs.

    Attributes:
        tests: How many tests either had.
        unstable: Tests of which the runs say nothing.
        differs: Tests that come out otherwise under the recorder.
    """

    tests: int
    unstable: list[Difference] = field(default_factory=list)
    differs: list[Difference] = field(default_factory=list)

    @property
    def same(self) -> int:
        """How many tests came out alike."""
        return self.tests - len(self.unstable) - len(self.differs)


def compare(plain: Sequence[Outcomes], recorded: Sequence[Outcomes]) -> Comparison:
    """Compare the first run of each way, with further ones of the tests that differ in these.

    A test differs if all plain runs agree, and a second recorded run, where there is one, departs
    from them too. What departed once and never again is unstable.

    Args:
        plain: Outcomes without the recorder; the first run has all tests.
        recorded: Outcomes with it.
    """
    unstable: list[Difference] = []
    differs: list[Difference] = []
    for test in differing(plain[0], recorded[0]):
        ways = [[runs[0].get(test, ABSENT), *_again(test, runs[1:])] for runs in (plain, recorded)]
        without, under = ways
        settled = len(set(without)) == 1
        seen_again = len(under) == 1 or any(outcome != without[0] for outcome in under[1:])
        found = Difference(test, Counter(without), Counter(under))
        (differs if settled and seen_again else unstable).append(found)
    return Comparison(len(plain[0].keys() | recorded[0].keys()), unstable, differs)


def _again(test: str, runs: Iterable[Outcomes]) -> list[str]:
    """Return how a test came out in the runs that were made of its file."""
    file = file_of(test)
    return [
        run.get(test, ABSENT)
        for run in runs
        if file is None or test in run or any(file_of(other) == file for other in run)
    ]


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return rows below a header, in columns; numbers to the right."""
    cells = [list(header), *([str(cell) for cell in row] for row in rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(header))]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if cell.isdigit() else cell.ljust(width)
            for cell, width in zip(row, widths, strict=True)
        ).rstrip()
        for row in cells
    )


def _shown(outcomes: Counter[str]) -> str:
    return ", ".join(f"{count} {outcome}" for outcome, count in sorted(outcomes.items()))
