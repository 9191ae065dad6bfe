"""Run a program under the hooks and return what they recorded."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable, Coroutine
from typing import Any, ClassVar, NamedTuple

from tachograph.recorder import outliving, recording
from tachograph.recorder.core import core
from tachograph.recorder.names import names as process_names

STEP, SPAWN, PARK, CHECKPOINT = 1, 2, 3, 4
CALLBACK, TIMER, EAGER, CONTINUED = 4, 8, 16, 32
RETURNED, RAISED, CANCELLED = 64, 128, 192
BY_CALLBACK, BY_IO, BY_TIMER, BY_THREAD = (kind << 60 for kind in (1, 2, 3, 4))
NUMBER = (1 << 60) - 1

_EVENT = struct.Struct("=QQQIIIBBH")


class Event(NamedTuple):
    t0: int
    task: int
    waker: int
    duration: int
    delay: int
    name: int
    type: int
    flags: int
    queue: int

    @property
    def outcome(self) -> int:
        return self.flags & CANCELLED


# The process's own: the core is told once to whom it tells names, and other tests start recorders.
names = process_names
hooks = recording.hooks()


class Clock:
    """A clock that moves when a program says so, and the core's until `stop`.

    What a program leaves behind may run when it is collected, in the middle of another test: its
    clock is the core's no more.
    """

    latest: ClassVar[Clock | None] = None

    def __init__(self) -> None:
        self.ns = 1_000_000_000
        Clock.latest = self
        core.set_clock(self.ns)

    def advance(self, ns: int) -> None:
        self.ns += ns
        if Clock.latest is self:
            core.set_clock(self.ns)

    @staticmethod
    def stop() -> None:
        """Let the core have the system's clock again."""
        Clock.latest = None
        core.set_clock(None)


def take() -> list[Event]:
    """Return all events recorded since the last time, and forget them."""
    found = []
    for lane in core.lanes():
        events = lane.read(1 << 24)
        lane.release(len(events) // _EVENT.size)
        found += [Event(*each) for each in _EVENT.iter_unpack(events)]
    return found


def record(
    program: Callable[..., Coroutine[Any, Any, Any]], *args: Any, run: Any = asyncio.run
) -> list[Event]:
    """Run a coroutine function with the hooks on; return what was recorded."""
    hooks.install()
    take()
    outliving.enable(True)
    try:
        run(program(*args))
    finally:
        outliving.enable(False)
        Clock.stop()
        hooks.uninstall()
    return take()


def place(event: Event) -> str:
    """Return where and what of a spawn."""
    return names.spawns[event.name]


def what(events: list[Event], number: int) -> str:
    """Return the last name of a task or a group of callbacks."""
    text = names.callbacks.get(number)
    if text is None:
        text = next(place(e) for e in events if e.type == SPAWN and e.task == number)
    return text.rpartition(".")[2]


def steps(events: list[Event]) -> list[Event]:
    """Return the steps in the order of their ends."""
    return [event for event in events if event.type == STEP]
