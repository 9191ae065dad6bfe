"""Waits of asyncio's own loops: the selector's `select` records them."""

from __future__ import annotations

import contextlib
import selectors
import weakref
from typing import Any

from tachograph.recorder.core import core

__all__ = ["Selectors", "watch_selector"]


class Selectors:
    """The selectors whose waits are recorded."""

    def __init__(self) -> None:
        self._watched: weakref.WeakSet[Any] = weakref.WeakSet()

    def watch(self, loop: Any) -> Any:
        """Let a loop's waits be recorded; return what does it, None where nothing was to be done.

        On the loop's own thread, or before it runs.
        """
        selector: Any = getattr(loop, "_selector", None)
        watch = watch_selector(selector)
        if watch is not None:
            self._watched.add(selector)
        return watch

    def leave(self, loop: Any, watch: Any) -> None:
        """Give a selector its own method back, unless somebody has put another on top."""
        selector: Any = getattr(loop, "_selector", None)
        if selector.__dict__.get("select") is watch:
            del selector.select
        self._watched.discard(selector)

    def leave_all(self) -> None:
        """The same for every selector, those of running loops too: a loop asks for it each turn."""
        for selector in list(self._watched):
            if isinstance(selector.__dict__.get("select"), core.Select):
                with contextlib.suppress(AttributeError):  # its loop ended just now
                    del selector.select
        self._watched.clear()


def watch_selector(selector: Any) -> Any:
    """Let a selector's waits be recorded; return what does it, None where that is not possible."""
    if type(selector) is not getattr(selectors, "EpollSelector", None):
        return None
    if "select" in selector.__dict__:
        return None
    selector.select = core.Select(selector.select, selector._fd_to_key, selector.fileno())
    return selector.select
