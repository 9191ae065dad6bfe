"""On an interpreter whose asyncio is unknown: part by part off, with the reason, never a crash."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from tachograph.recorder.core import is_native

NO_FIELD = """
from tachograph.recorder import facts
facts._HANDLE_FIELDS = {"offset_callback": "_no_such_field"}
"""
NO_PLACE = """
from tachograph.recorder import facts
facts._places = lambda owner, wanted: []
"""
NO_METHOD = """
from asyncio import base_events
from tachograph.recorder import facts
class Loop:
    pass
class Module:
    BaseEventLoop = Loop
facts.base_events = Module
"""
NO_STEP = """
from asyncio import tasks
class Task:
    pass
tasks._PyTask = Task
"""
REFUSED = """
from tachograph.recorder.core import core
from tachograph.recorder import hooks
class Core:
    def __getattr__(self, name):
        return getattr(core, name)
    def configure(self, values):
        raise TypeError("expected other facts")
hooks.core = Core()
"""
UNCHANGEABLE = """
from asyncio import base_events
from tachograph.recorder import hooks
class Closed(type):
    def __setattr__(cls, name, value):
        raise TypeError("cannot set an attribute of an immutable type")
class Loop(base_events.BaseEventLoop, metaclass=Closed):
    pass
class Module:
    BaseEventLoop = Loop
hooks.base_events = Module
"""
NO_KEYS = """
import selectors
from tachograph.recorder import selecting
class Selector(selectors.EpollSelector):
    def __getattribute__(self, name):
        if name == "_fd_to_key":
            import sys
            if sys._getframe(1).f_code is selecting.watch_selector.__code__:
                raise AttributeError("no attribute '_fd_to_key'")
        return super().__getattribute__(name)
selectors.EpollSelector = selectors.DefaultSelector = Selector
"""

PROGRAM = """
import asyncio, json, sys, tempfile
from pathlib import Path
from tachograph import recorder
from tachograph.cli.main import main as tacho

@recorder.event
def seen(number: int) -> None:
    "An event of the program's own."

async def child(number):
    await asyncio.sleep(0)
    seen(number)
    return number

async def program():
    return sum(await asyncio.gather(*map(child, range(10))))

with tempfile.TemporaryDirectory() as directory:
    none = recorder.SourcesConfig.none()
    config = recorder.RecorderConfig(directory=Path(directory), service="odd", sources=none)
    with recorder.start(config) as it:
        result = asyncio.run(program())
        problems = dict(it.problems)
    own = it.statistics()["own_events_written"]
print(json.dumps({"result": result, "problems": problems, "own": own}))
sys.exit(tacho(["doctor", "--json"]))
"""


def run(fake: str) -> tuple[dict[str, Any], dict[str, tuple[str, str]], int]:
    """Run the program as if asyncio were so; return its words, the doctor's, the exit code."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", fake + PROGRAM],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert "" == done.stderr
    said, _, told = done.stdout.partition("\n")
    checks = {check["part"]: (check["state"], check["detail"]) for check in json.loads(told)}
    return json.loads(said), checks, done.returncode


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fake", "reason"),
    [
        pytest.param(NO_FIELD, "_no_such_field", id="a field of handles is gone"),
        pytest.param(
            NO_PLACE,
            "found at []",
            id="a task lies otherwise in memory",
            marks=pytest.mark.skipif(not is_native, reason="places are the native core's"),
        ),
        pytest.param(NO_METHOD, "call_soon", id="a method of loops is gone"),
        pytest.param(NO_STEP, "_Task__step", id="tasks step otherwise"),
        pytest.param(REFUSED, "expected other facts", id="the core refuses the facts"),
        pytest.param(UNCHANGEABLE, "immutable type", id="loops cannot be changed"),
    ],
)
def test_without_steps_all_else_works(fake: str, reason: str) -> None:
    """The program runs and its own events are written; `tacho doctor` tells why steps are off."""
    said, checks, code = run(fake)

    assert (45, 10) == (said["result"], said["own"])
    assert reason in said["problems"]["steps"]
    state, detail = checks["steps"]
    assert ("off", 1) == (state, code)
    assert reason in detail


@pytest.mark.slow
def test_without_parks_all_else_works() -> None:
    """A selector that is not as expected is left as it is: steps are recorded all the same."""
    said, checks, code = run(NO_KEYS)

    assert (45, 10) == (said["result"], said["own"])
    assert ["parks"] == [part for part in said["problems"] if part != "native core"]
    assert ("ok", 0) == (checks["steps"][0], code)
    assert "_fd_to_key" in checks["parks"][1]
