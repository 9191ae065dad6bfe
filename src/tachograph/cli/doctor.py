"""Say what tachograph can do on this machine, and why not where it cannot.

Each line is a part: `ok`, `reduced` with what is missing and why, or `off`. Nothing is changed, and
nothing stays behind.
"""

from __future__ import annotations

import argparse
import json
import logging
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

__all__ = ["configure", "run"]

_EXAMPLES = """\
examples:
  tacho doctor                    # with the Python and in the environment of the service
  tacho doctor --json

exit codes: 0 everything works, perhaps reduced; 1 a part is off; 2 wrong usage
"""


class Check(NamedTuple):
    """What is known of one part."""

    part: str
    state: str
    detail: str


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.epilog = _EXAMPLES
    parser.add_argument("--json", action="store_true", help="as data")


def run(arguments: argparse.Namespace) -> int:
    """Print the checks; 1 if a part that should work is off."""
    checks = list(_checks())
    if arguments.json:
        print(json.dumps([check._asdict() for check in checks], indent=2))
    else:
        width = max(len(check.part) for check in checks)
        for check in checks:
            print(f"{check.state:<8} {check.part:<{width}}  {check.detail}".rstrip())
    return 1 if any(check.state == "off" for check in checks) else 0


def _checks() -> Iterator[Check]:
    from tachograph._core import native
    from tachograph.recorder.core import is_native

    gil = getattr(sys, "_is_gil_enabled", lambda: True)()
    yield Check(
        "python",
        "ok" if gil else "reduced",
        f"{sys.implementation.name} {sys.version.split()[0]} on {sys.platform}"
        + ("" if gil else "; without the GIL the native cores are not used"),
    )
    yield _core("records", native is not None, "a record costs some ten times as much")
    yield _core("recorder", is_native, "a step costs more than the loop's own, and no GIL wait")
    yield from _hooks()
    yield _directory()
    yield from _variables()


def _core(part: str, is_there: bool, otherwise: str) -> Check:
    if is_there:
        return Check(f"native core of {part}", "ok", "")
    detail = f"its twin in Python does the work: {otherwise}. Install with a C compiler."
    return Check(f"native core of {part}", "reduced", detail)


def _hooks() -> Iterator[Check]:
    """Record a small program, and look at what came out."""
    import asyncio

    from tachograph import recorder
    from tachograph.recorder.core import core

    states = {"ok": "ok", "degraded": "reduced", "disabled": "off", "failed": "off"}
    if recorder.is_enabled():
        for check in recorder.smoke_test().checks:
            yield Check(check.name, states[check.state], check.detail)
        return

    async def child() -> None:
        await asyncio.sleep(0)

    async def program() -> None:
        await asyncio.gather(child(), child())
        await asyncio.sleep(0.001)

    with tempfile.TemporaryDirectory() as directory:
        config = recorder.RecorderConfig(directory=Path(directory), service="doctor")
        before = core.table_sizes()["tasks_adopted"]
        with recorder.start(config) as recording:
            asyncio.run(program())
            test = recording.smoke_test()
            counts = recording.statistics()
            problems, sources = dict(recording.problems), dict(recording.sources)
    # A task that was not seen to begin is taken up late: here that is a hook that does not work.
    missed = counts["tasks_adopted"] - before
    state = "ok" if counts["events_recorded"] and not missed else "off"
    reason = problems.pop("steps", None)
    if reason is not None:
        state = "off"
    yield Check("steps", state, reason or f"{counts['events_recorded']} events of a small program")
    for check in test.checks:
        if check.name == "recording":  # its directory is gone by now
            detail = "a probe event came out on file" if check.state == "ok" else check.detail
            yield Check(check.name, states[check.state], detail)
        elif check.name not in ("steps", "losses"):
            yield Check(check.name, states[check.state], check.detail)
    yield from _parts(sources, problems)


def _parts(sources: dict[str, str], problems: dict[str, str]) -> Iterator[Check]:
    from tachograph.recorder.hooks import loop_support

    for name, reason in sources.items():
        yield Check(f"source {name.replace('_', ' ')}", "reduced" if reason else "ok", reason)
    for part, reason in problems.items():
        if part != "native core" and part not in sources:
            yield Check(part, "reduced", reason)
    for loop, reason in loop_support().items():
        yield Check(f"loop {loop}", "reduced" if reason else "ok", reason)


def _directory() -> Check:
    from tachograph.recorder import RecorderConfig

    path = RecorderConfig.from_env({}).directory
    existing = next(p for p in (path, *path.parents) if p.exists())
    free = shutil.disk_usage(existing).free // 2**20
    state = "ok" if free > 1024 else "reduced"
    return Check("directory", state, f"under {path}, {free:,} MiB free")


def _variables() -> Iterator[Check]:
    """Tell what is wrong with the environment, in the words of the configuration."""
    from tachograph.recorder import RecorderConfig
    from tachograph.recorder.config import is_enabled_by

    heard: list[str] = []

    class Hear(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            heard.append(record.getMessage())

    logger, handler = logging.getLogger("tachograph"), Hear()
    logger.addHandler(handler)
    try:
        is_on = is_enabled_by()
        RecorderConfig.from_env()
    finally:
        logger.removeHandler(handler)
    yield Check("TACHO_ENABLED", "ok", "on" if is_on else "off; the program may start it itself")
    for message in heard:
        yield Check("environment", "reduced", message)
