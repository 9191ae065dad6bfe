"""Run other projects' own tests with the recorder and without, and compare them test by test.

    make test-peers   or  python scripts/test_peers.py [--suite NAME]... [--python 3.X]...

The two runs go side by side, in processes of their own, each with a directory to itself. What did
not come out alike is run again, its whole file, some times in both ways: tests that do not agree
with themselves are listed as unstable. 1 is returned if a test comes out otherwise under the
recorder, if a run did not end, or if the recorder did not do its work in it: it recorded steps, no
hook failed, nothing was lost, loops were still recorded in the end, and the strict reader reads the
segments.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from peers.outcomes import (
    Comparison,
    Outcomes,
    compare,
    differing,
    file_of,
    read_junit,
    read_lines,
    table,
)
from peers.places import CACHE, CannotRunError, Place, find_place, site_of, source_of
from peers.suites import SUITES, Suite

from tachograph.errors import TraceFormatError
from tachograph.recorder.home import segment_index
from tachograph.trace.files import read_file

AGAIN = 4  # runs of what differed, each way
RUNNER = Path(__file__).resolve().parent / "peers" / "run.py"
HEADER = ("suite", "Python", "tests", "same", "unstable", "differs", "steps", "seconds", "")


@dataclass(frozen=True, slots=True)
class Run:
    """What one run of tests gave."""

    outcomes: Outcomes
    status: int
    steps: int
    problems: list[str]


class Peer:
    """One suite on one Python.

    Args:
        suite: Which.
        place: Where.
        pure: Whether the recorder's core is the one in Python.
    """

    def __init__(self, suite: Suite, place: Place, *, pure: bool) -> None:
        self._suite = suite
        self._place = place
        self._pure = pure
        self._work = CACHE / "runs" / f"{suite.name}-{place.version}"
        shutil.rmtree(self._work, ignore_errors=True)
        self._site = None if suite.is_cpython else site_of(suite, place)
        self._source = None if suite.is_cpython else source_of(suite)

    def compare(self) -> tuple[Comparison, int, list[str]]:
        """Return the comparison, the number of steps recorded, and what else is not right."""
        pairs = [self._pair("all", ())]
        plain, recorded = pairs[0]
        tests = differing(plain.outcomes, recorded.outcomes)
        problems = [*plain.problems, *recorded.problems]
        if tests and not problems:
            named = {file_of(test) for test in tests}
            files = [] if None in named else sorted(filter(None, named))
            pairs += [self._pair(f"again-{i}", files) for i in range(AGAIN)]
        found = compare([p.outcomes for p, _ in pairs], [r.outcomes for _, r in pairs])
        if not tests and plain.status != recorded.status:
            problems.append(
                f"exit status {plain.status} without the recorder, {recorded.status} with it, "
                f"and all tests alike: see {self._work}"
            )
        return found, sum(r.steps for _, r in pairs), problems

    def _pair(self, name: str, files: Sequence[str]) -> tuple[Run, Run]:
        with ThreadPoolExecutor(2) as pool:
            plain = pool.submit(self._run, self._work / f"{name}-plain", files, record=False)
            recorded = pool.submit(self._run, self._work / f"{name}-recorded", files, record=True)
            return plain.result(), recorded.result()

    def _run(self, work: Path, files: Sequence[str], *, record: bool) -> Run:
        tests = work / "tests"
        for directory in (work, work / "tmp"):
            directory.mkdir(parents=True)
        if self._source is None:
            tests.mkdir()
        else:
            leave = {str(self._source / name) for name in self._suite.leave}
            shutil.copytree(
                self._source,
                tests,
                ignore=lambda at, names: [n for n in names if f"{at}/{n}" in leave],
            )
        log, report = work / "log", work / "report.json"
        command = self._place.command(
            self._arguments(work, files, record=record),
            cwd=tests,
            environment=self._variables(work),
            bare=self._suite.is_cpython,
        )
        ended = run_bounded(command, log, self._suite.limit_s)
        problems: list[str] = []
        if not report.is_file():
            how = "ended early" if ended else f"did not end in {self._suite.limit_s:.0f} s"
            return Run(self._outcomes(work), -1, 0, [f"the run {how}: see {log}"])
        told = json.loads(report.read_text())
        steps = 0
        if told["status"] > 1 and not self._suite.is_cpython:  # of pytest: it ran not all of them
            problems.append(f"pytest could not run all tests: see {log}")
        if record:
            steps, more = examine(told)
            problems += more
        return Run(self._outcomes(work), told["status"], steps, problems)

    def _arguments(self, work: Path, files: Sequence[str], *, record: bool) -> list[str]:
        arguments = [str(RUNNER), "--report", str(work / "report.json")]
        if record:
            arguments += ["--record", str(work / "traces")]
        if self._suite.is_cpython:
            junit = ["--fail-env-changed", "--junit-xml", str(work / "junit.xml")]
            return [*arguments, "test", *junit, *(files or ["test_asyncio"])]
        arguments += ["--outcomes", str(work / "outcomes"), "pytest", "-p", "no:cacheprovider"]
        return [*arguments, *self._suite.options, *(files or self._suite.tests)]

    def _variables(self, work: Path) -> dict[str, str]:
        path = [str(self._place.tree / "src"), *([] if self._site is None else [str(self._site)])]
        return {
            "PYTHONPATH": ":".join(path),
            "TMPDIR": str(work / "tmp"),
            **({"TACHO_PURE": "1"} if self._pure else {}),
        }

    def _outcomes(self, work: Path) -> Outcomes:
        read, name = (
            (read_junit, "junit.xml") if self._suite.is_cpython else (read_lines, "outcomes")
        )
        return read(work / name) if (work / name).is_file() else {}


def run_bounded(command: Sequence[str], log: Path, limit_s: float) -> bool:
    """Run a command with its output in a file; whatever it left behind ends with it.

    Returns:
        Whether it ended by itself.
    """
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        _running.add(process.pid)
        try:
            process.wait(limit_s)
        except subprocess.TimeoutExpired:
            return False
        finally:
            kill(process.pid)
            process.wait()
            _running.discard(process.pid)
    return True


_running: set[int] = set()


def kill(leader: int) -> None:
    """End a process and what it started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(leader, signal.SIGKILL)


def give_up(number: int, _frame: object) -> None:
    """End with everything that runs: its processes have sessions of their own."""
    for leader in list(_running):
        kill(leader)
    sys.exit(128 + number)


def examine(told: dict[str, Any]) -> tuple[int, list[str]]:
    """Return how many steps a run's segments have, and what the recorder did not do as it must."""
    statistics: dict[str, Any] = told["statistics"]
    problems = [
        f"{name}: expected 0, got {statistics[name]}"
        for name in ("hook_errors", "events_lost", "own_events_lost", "failures", "names_failed")
        if statistics[name]
    ]
    if not told["still"]:
        problems.append("in the end loops were no longer recorded")
    if not told["in_time"]:
        problems.append("the recorder did not end in time")
    steps = 0
    for path in sorted(Path(told["directory"]).iterdir()):
        if segment_index(path.name) is None:
            continue
        try:
            steps += len(read_file(path, strict=True).steps)
        except TraceFormatError as error:
            problems.append(f"{path} does not decode: {error}")
    if not steps:
        problems.append("no step was recorded")
    return steps, [f"recorder: {problem}" for problem in problems]


def main() -> int:
    """Run what is asked for, print a table, return 1 if anything is not as it should be."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0] if __doc__ else None)
    parser.add_argument("--suite", action="append", choices=list(SUITES), help="may be repeated")
    parser.add_argument("--python", action="append", metavar="3.X", help="may be repeated")
    parser.add_argument("--pure", action="store_true", help="record with the core in Python")
    given = parser.parse_args()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, give_up)
    wanted: dict[str, list[Suite]] = {}
    for name in given.suite or SUITES:
        for version in given.python or SUITES[name].pythons:
            wanted.setdefault(version, []).append(SUITES[name])
    rows, failures = [], []
    for version, suites in wanted.items():
        for suite in suites:
            row, problems = one(suite, version, pure=given.pure)
            rows.append(row)
            failures += problems
            print(table(HEADER, rows[-1:]), flush=True)
    print(f"\n{table(HEADER, rows)}")
    if failures:
        print("\n".join(["", *failures]), file=sys.stderr)
    return bool(failures)


_places: dict[str, Place] = {}


def one(suite: Suite, version: str, *, pure: bool) -> tuple[list[object], list[str]]:
    """Run a suite on a Python; return its row, and what is wrong, in words."""
    label = f"{suite.name} on Python {version}"
    began = time.monotonic()
    try:
        if version not in _places:
            _places[version] = find_place(version)
        found, steps, problems = Peer(suite, _places[version], pure=pure).compare()
    except CannotRunError as error:
        return [suite.name, version, *["-"] * 6, "FAILED"], [f"{label}: {error}"]
    seconds = round(time.monotonic() - began)
    for difference in found.unstable:
        print(f"unstable: {difference}")
    wrong = [f"{label}: {what}" for what in [*problems, *map(str, found.differs)]]
    if not found.tests:
        wrong.append(f"{label}: no test was run")
    row = [suite.name, version, found.tests, found.same, len(found.unstable), len(found.differs)]
    return [*row, steps, seconds, "FAILED" if wrong else "ok"], wrong


if __name__ == "__main__":
    sys.exit(main())
