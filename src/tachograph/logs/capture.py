"""Observers of log lines, for tests: each line as the dictionary that a reader of it finds.

Observers see what passes the levels in force and reaches the root logger, from every task and
thread; a pipeline need not be installed. Globals belong to a destination and are not in these.
"""

from __future__ import annotations

import json
import logging
from typing import Any, Protocol

from tachograph._base.forks import ForkLock
from tachograph._base.ratelimit import warn_once
from tachograph.logs.directives import LevelChanges
from tachograph.logs.line import JsonLine
from tachograph.logs.stdlib_bridge import Bridge
from tachograph.logs.tally import Tally

__all__ = ["Observer", "add_capture", "remove_capture"]


class Observer(Protocol):
    """What `add_capture` takes: any callable of one dictionary, `list.append` for instance."""

    def __call__(self, line: dict[str, Any], /) -> object:
        """Take one line; the dictionary is the observer's own."""
        ...


_lock = ForkLock()
_observers: tuple[Observer, ...] = ()
_bridge: Bridge | None = None
_level = LevelChanges()


def add_capture(observer: Observer) -> None:
    """Call *observer* with each line from now on, on the thread that logs.

    If nobody set up logging in this process (no handler on the root logger but pytest's, its level
    the WARNING it starts with), that level becomes INFO for as long as there are observers. An
    observer that raises is removed and a warning says so.
    """
    global _bridge, _observers  # noqa: PLW0603 -- they belong to the process, as the root logger
    with _lock:
        _observers = (*_observers, observer)
        if _bridge is None:
            tally = Tally()
            _bridge = Bridge(JsonLine({}, tally), _tell, tally)
            root = logging.getLogger()
            if root.level == logging.WARNING and not any(map(_is_set_up, root.handlers)):
                _level.set(root, logging.INFO)
            root.addHandler(_bridge)


def _is_set_up(handler: logging.Handler) -> bool:
    """Tell whether *handler* shows that somebody chose levels; pytest's own only listen."""
    return not type(handler).__module__.startswith("_pytest.")


def remove_capture(observer: Observer) -> None:
    """Stop calling *observer*; one that is not there is fine."""
    global _bridge, _observers  # noqa: PLW0603 -- see add_capture
    with _lock:
        remaining = list(_observers)
        if observer in remaining:
            remaining.remove(observer)
        _observers = tuple(remaining)
        if not _observers and _bridge is not None:
            logging.getLogger().removeHandler(_bridge)
            _bridge.close()
            _bridge = None
            _level.undo()


def _tell(line: bytes) -> None:
    for observer in _observers:
        try:
            observer(json.loads(line))
        except Exception as error:  # noqa: BLE001 -- observing never breaks what is observed
            remove_capture(observer)
            what = f"{type(error).__name__}: {error}"
            warn_once(f"log observer {observer!r}", f"A log observer was removed, it raised {what}")
