"""Peers' own tests, with the recorder and without: how outcomes are read, compared and run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from peers.outcomes import compare, differing, file_of, read_junit, read_lines, table

RUNNER = Path(__file__).resolve().parent.parent / "scripts" / "peers" / "run.py"
A, B, C = (f"tests/test_a.py::test_{name}" for name in "abc")


def test_outcomes_of_regrtest(tmp_path: Path) -> None:
    """What `python -m test --junit-xml` writes of a module with each outcome."""
    module = tmp_path / "test_all.py"
    module.write_text("""
import unittest
class Each(unittest.TestCase):
    def test_passed(self): pass
    def test_failed(self): self.fail("as it must")
    def test_error(self): raise ValueError("as it must")
    def test_skipped(self): self.skipTest("as it must")
    @unittest.expectedFailure
    def test_xfailed(self): self.fail("as it must")
    @unittest.expectedFailure
    def test_xpassed(self): pass
    def test_nameless(self):
        with self.subTest(): self.fail("as it must")
""")
    xml = tmp_path / "junit.xml"
    command = [sys.executable, "-m", "test", "--testdir", str(tmp_path)]
    command += ["--junit-xml", str(xml), "test_all"]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(command, env=environment, capture_output=True, check=False, timeout=60)
    found = {name.rsplit("_", 1)[1]: outcome for name, outcome in read_junit(xml).items()}

    assert 2 == done.returncode
    words = ["passed", "failed", "error", "skipped", "xfailed", "xpassed"]
    assert {word: word for word in words} == found  # of a failed subtest there is no name


def run(tmp_path: Path, module: str, *arguments: str) -> tuple[int, dict[str, object]]:
    """Run a module under the runner; return its exit status and the report."""
    report = tmp_path / "report.json"
    done = subprocess.run(
        [
            sys.executable,
            str(RUNNER),
            "--report",
            str(report),
            *arguments[:-1],
            module,
            arguments[-1],
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert report.is_file(), done.stdout + done.stderr
    told: dict[str, object] = json.loads(report.read_text())
    return done.returncode, told


@pytest.mark.slow
def test_outcomes_of_pytest(tmp_path: Path) -> None:
    """Each test has the outcome that says most, whichever phase it is of; a plain run is plain."""
    (tmp_path / "test_each.py").write_text("""
import pytest
@pytest.fixture
def broken(): raise ValueError
@pytest.fixture
def late():
    yield
    raise ValueError
def test_passed(): pass
def test_failed(): assert False
def test_skipped(): pytest.skip()
def test_before(broken): pass
def test_after(late): pass
@pytest.mark.xfail
def test_xfailed(): assert False
@pytest.mark.xfail
def test_xpassed(): pass
""")
    (tmp_path / "test_broken.py").write_text("import nothing_of_this_name\n")
    lines = tmp_path / "lines"
    options = ["--outcomes", str(lines)]
    status, told = run(tmp_path, "pytest", *options, "test_each.py")

    assert (1, {"status": 1}) == (status, told)
    expected = {name: name for name in ("passed", "failed", "skipped", "xfailed", "xpassed")}
    assert {f"test_each.py::test_{name}": word for name, word in expected.items()} | {
        "test_each.py::test_before": "error",
        "test_each.py::test_after": "error",
    } == read_lines(lines)
    assert 2 == run(tmp_path, "pytest", *options, "test_broken.py")[0]
    assert {"test_broken.py::(collected)": "error"} == read_lines(lines)


@pytest.mark.slow
def test_what_a_recorded_run_tells(tmp_path: Path) -> None:
    """It counts steps, has a loop of its own recorded in the end, and keeps the exit status."""
    (tmp_path / "program.py").write_text(
        "import asyncio, sys\nasyncio.run(asyncio.sleep(0))\nsys.exit(int(sys.argv[1]))\n"
    )
    status, told = run(tmp_path, "program", "--record", str(tmp_path / "traces"), "7")

    assert (7, 7) == (status, told["status"])
    assert (True, True) == (told["still"], told["in_time"])
    statistics = told["statistics"]
    assert isinstance(statistics, dict)
    assert statistics["events_recorded"] > 0
    assert 0 == statistics["hook_errors"]
    assert (tmp_path / "traces") == Path(str(told["directory"])).parent


def test_the_file_of_a_test() -> None:
    """What is run again is a file of pytest's, a module of CPython's, or everything."""
    assert "tests/test_a.py" == file_of(A)
    name = "test.test_asyncio.test_events.EPollEventLoopTests.test_call_later"
    assert "test.test_asyncio.test_events" == file_of(name)
    assert file_of("setUpClass (test.test_asyncio.test_events.EPollEventLoopTests)") is None


def test_what_differs() -> None:
    """A test with another outcome does, and one that only one of the runs had."""
    plain = {A: "passed", B: "skipped"}

    assert [] == differing(plain, dict(plain))
    assert [B, C] == differing(plain, {A: "passed", B: "passed", C: "passed"})
    assert [A] == differing(plain, {B: "skipped"})


@pytest.mark.parametrize(
    ("plain", "recorded", "expected"),
    [
        (["passed"], ["failed"], "differs"),  # nobody looked again
        (["passed"] * 3, ["failed", "passed", "failed"], "differs"),
        (["passed"] * 3, ["failed", "skipped", "passed"], "differs"),
        (["failed"] * 3, ["passed"] * 3, "differs"),
        (["passed"] * 3, ["failed", "passed", "passed"], "unstable"),  # never again
        (["passed", "failed", "passed"], ["failed"] * 3, "unstable"),  # it is so without, too
        (["passed"] * 3, ["absent"] * 3, "differs"),
    ],
)
def test_judgement(plain: list[str], recorded: list[str], expected: str) -> None:
    """A test differs that is settled without the recorder and departs from that again with it."""

    def runs(outcomes: list[str]) -> list[dict[str, str]]:
        return [{B: "passed", **({} if o == "absent" else {A: o})} for o in outcomes]

    found = compare(runs(plain), runs(recorded))
    (difference,) = getattr(found, expected)

    assert (2, 1) == (found.tests, found.same)
    assert (A, Counter(plain), Counter(recorded)) == (
        difference.test,
        difference.plain,
        difference.recorded,
    )
    assert 1 == len(found.unstable) + len(found.differs)


def test_runs_of_other_files_say_nothing() -> None:
    """Only the files that differ are run again: elsewhere nothing is absent."""
    other = "tests/test_b.py::test_a"
    plain = [{A: "passed", other: "passed"}, {A: "passed"}]
    found = compare(plain, [{A: "failed", other: "failed"}, {A: "failed"}])

    assert [A, other] == [difference.test for difference in found.differs]
    assert [Counter(passed=2), Counter(passed=1)] == [d.plain for d in found.differs]


def test_the_table() -> None:
    """Columns are as wide as their widest cell; numbers stand to the right."""
    assert "suite  tests\na          7\nbcd       12" == table(
        ("suite", "tests"), [("a", 7), ("bcd", 12)]
    )
