"""Tasks that outlive a pause, or a recording: they keep their ids, and nobody else gets those.

The core knows a task by its address, which the next one may have when it is gone. While nothing is
recorded no end is seen; so what lives when the hooks rest is held weakly, and what still lives when
they begin again is all that stays known. Any other is told anew, as a task from before.
"""

from __future__ import annotations

import asyncio
import contextlib
import weakref
from typing import Any

from tachograph.recorder.core import core

__all__ = ["enable"]

_lived: list[weakref.ref[Any]] = []
_is_on = False


def enable(on: bool) -> None:
    """Let the hooks record, or not."""
    global _lived, _is_on  # noqa: PLW0603 -- there is one core
    if on == _is_on:
        core.enable(on)
        return
    _is_on = on
    # Held until the switch is done: no address is used again meanwhile.
    if on:
        tasks = [task for each in _lived if (task := each()) is not None]
        core.keep_tasks(tasks)
        core.enable(True)
        return
    tasks = _living()
    core.enable(False)
    core.keep_tasks(tasks)
    _lived = [weakref.ref(task) for task in tasks]


def _living() -> list[Any]:
    """Return the tasks of the loops that have lanes."""
    found: list[Any] = []
    for loop in {id(lane.loop): lane.loop for lane in core.lanes()}.values():
        if loop is not None:
            with contextlib.suppress(Exception):  # other threads make and end tasks meanwhile
                found += asyncio.all_tasks(loop)
    return found
