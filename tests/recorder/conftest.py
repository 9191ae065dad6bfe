"""What tests of the recorder share: an open buffer, and one recorder that is always ended."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.recorder.calls import Log
from tests.recorder.programs import Clock

from tachograph.recorder import control, outliving, recording
from tachograph.recorder.core import core, is_native
from tachograph.recorder.events import EventBuffer, buffer
from tachograph.testing import FakeClock


@pytest.fixture
def waiting() -> Iterator[EventBuffer]:
    """The process's buffer of events, open, without a recorder that empties it."""
    buffer.clear()
    buffer.is_open = True
    yield buffer
    buffer.clear()


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """What runs a program, on each kind of loop."""
    if request.param == "asyncio":
        return asyncio.run
    if not is_native:
        pytest.skip("uvloop needs the native core")
    uvloop = pytest.importorskip("uvloop")

    def run(coroutine: Any) -> Any:  # as asyncio.run() does: uvloop's own puts a task around it
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(coroutine)

    return run


@pytest.fixture(autouse=True)
def no_recorder_is_left() -> Iterator[None]:
    """End what a test leaves running, and give asyncio its own methods back.

    Whatever a test failed of, the next one on this thread finds the core as it was at first.
    """
    yield
    control.current().close()
    outliving.enable(False)
    Clock.stop()
    recording.hooks().uninstall()
    core.note_ends(None)
    core.rings("", 32_768)


@pytest.fixture
def time() -> Iterator[FakeClock]:
    """A clock that moves when the test says so."""
    with FakeClock() as time:
        yield time


@pytest.fixture
def log() -> Log:
    """What the segments of the test ask for and tell."""
    return Log()
