"""Run a module as `python -m` does, with the recorder or without; it runs in the Python under test.

    python run.py --report FILE [--record DIR] [--outcomes FILE] MODULE ARGUMENT...

Both ways go through this file, so that what the module meets differs in the recorder alone. With
it, the report tells what was recorded, in the end also whether loops are still recorded then: a
hook that failed too often is switched off. Of pytest, each test's outcome is written as a line.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import runpy
import sys
from pathlib import Path
from typing import Any


class Lines:
    """A plugin of pytest: writes the outcome of each phase of each test, as it becomes known."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("w", buffering=1)
        self._pid = os.getpid()

    def pytest_runtest_logreport(self, report: Any) -> None:
        """Write one phase of a test."""
        if os.getpid() != self._pid:  # a test forked, and its child came back up to here
            return
        outcome = report.outcome
        if hasattr(report, "wasxfail"):
            outcome = {"skipped": "xfailed", "passed": "xpassed"}.get(outcome, outcome)
        elif outcome == "failed" and report.when != "call":
            outcome = "error"
        self._file.write(json.dumps([report.nodeid, outcome]) + "\n")

    def pytest_collectreport(self, report: Any) -> None:
        """Write that a file could not be collected."""
        if report.failed:
            self._file.write(json.dumps([f"{report.nodeid}::(collected)", "error"]) + "\n")


def main() -> int:
    """Run, report, and return the module's exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--report", type=Path, required=True)
    parser.add_argument("--record", type=Path)
    parser.add_argument("--outcomes", type=Path)
    parser.add_argument("module")
    parser.add_argument("rest", nargs=argparse.REMAINDER)
    given = parser.parse_args()
    sys.path[0] = str(Path.cwd())
    recording = None
    if given.record is not None:
        from tachograph import recorder  # noqa: PLC0415 -- a plain run imports nothing of it

        recording = recorder.start(recorder.RecorderConfig(directory=given.record, service="peer"))
    turn_loop()
    if recording is not None:
        recording.flush()  # its file is open then: some tests count the process's descriptors
    pid = os.getpid()
    status = run(given.module, given.rest, given.outcomes)
    if os.getpid() == pid:
        report = {"status": status, **({} if recording is None else end(recording))}
        given.report.write_text(json.dumps(report))
    return status


def run(module: str, arguments: list[str], outcomes: Path | None) -> int:
    """Run the module and return its exit status."""
    if outcomes is not None:
        import pytest  # noqa: PLC0415 -- not there where CPython's own suite runs

        return int(pytest.main(arguments, plugins=[Lines(outcomes)]))
    sys.argv = [module, *arguments]
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as error:
        return error.code if isinstance(error.code, int) else int(error.code is not None)
    return 0


def turn_loop() -> None:
    """Let a loop of asyncio's own run, whatever loops a suite prefers."""
    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        runner.run(asyncio.sleep(0))


def end(recording: Any) -> dict[str, Any]:
    """End the recording; return its counts, and whether a loop was recorded to the last."""
    before = recording.statistics()["events_recorded"]
    turn_loop()
    still = recording.statistics()["events_recorded"] > before
    directory = recording.directory
    in_time = recording.close(30)
    return {
        "still": still,
        "in_time": in_time,
        "directory": str(directory),
        "problems": dict(recording.problems),
        "statistics": recording.statistics(),
    }


if __name__ == "__main__":
    sys.exit(main())
