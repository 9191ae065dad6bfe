"""uvloop's loops: hooks in their class, and two handles in each one's libuv for its waits.

The handles come in when a lane first runs a step of the loop, on the loop's thread: whether the
loop began before the recorder makes no difference. They go before the loop is closed, or closing
would find it busy. A loop that is forgotten unclosed keeps them, as it keeps all its memory.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import weakref
from collections import deque
from typing import Any

from tachograph.recorder.core import core

__all__ = ["UNSEEN", "Uvloops"]

UNSEEN = (
    "protocol methods and other callbacks of libuv's are one step each turn, with their wait for "
    "the GIL, which is told only of sleeps that a timer ended"
)
"""What is not recorded of them, or not as of asyncio's own."""

_STOCK = ("call_soon", "call_soon_threadsafe", "call_later", "create_task", "get_task_factory")


class Uvloops:
    """The hooks of uvloop's loops. Raises where uvloop is not as expected."""

    def __init__(self) -> None:
        import uvloop  # noqa: PLC0415 -- optional, and only a recorder wants it
        from uvloop import loop  # noqa: PLC0415

        self.cls: Any = uvloop.Loop
        self._of: weakref.WeakKeyDictionary[Any, Any] = weakref.WeakKeyDictionary()
        self._pointer: Any = getattr(loop, "libuv_get_loop_t_ptr", None)
        stock = [getattr(self.cls, name) for name in _STOCK]
        self.methods: dict[str, Any] = core.wrappers((self.cls, *stock))
        """What stands in the class, by name."""
        if not hasattr(asyncio, "eager_task_factory"):  # before 3.12 no task begins at once
            del self.methods["create_task"]
        self.no_parks = _look_for_libuv(loop)
        """Why waits are not recorded; empty where they are."""
        self.shows_queue = _shows_queue(uvloop.new_event_loop())
        """Whether the queue of ready handles was found."""
        if not self.no_parks:
            self.methods["close"] = self._close_of(self.cls.close)

    def meet(self, loop: Any) -> Any:
        """Record a loop's waits from now on, on its own thread; return its queue, or None."""
        if not self.no_parks and loop not in self._of:
            self._of[loop] = core.Turns(self._pointer(loop), io)
        return _queue(loop) if self.shows_queue else None

    def leave(self) -> bool:
        """Take the handles out of all loops but those that other threads run; tell of such."""
        own = None
        with contextlib.suppress(RuntimeError):
            own = asyncio.get_running_loop()
        for loop, turns in list(self._of.items()):
            if loop is own or not loop.is_running():
                del self._of[loop]
                turns.close()
        return not self._of

    def _close_of(self, stock: Any) -> Any:
        def close(loop: Any) -> None:
            with contextlib.suppress(Exception):  # whatever a class of the program's has overridden
                if not loop.is_running() and (turns := self._of.pop(loop, None)) is not None:
                    turns.close()  # libuv lets go of them when `stock` turns it for the last time
            stock(loop)

        close.__doc__ = stock.__doc__
        return close


def io() -> None:
    """Stand for what libuv calls when files are ready; gives its steps their name."""


io.__module__ = "uvloop"


def _look_for_libuv(module: Any) -> str:
    try:
        version = module.libuv_get_version()
        return core.find_libuv(module.__file__, version) or ""
    except AttributeError as error:
        return str(error)


def _shows_queue(probe: Any) -> bool:
    try:
        queue = _queue(probe)
        before = -1 if queue is None else len(queue)
        probe.call_soon(io)
        return queue is not None and (before, len(queue)) == (0, 1)
    finally:
        probe.close()


def _queue(loop: Any) -> Any:
    """Return the one deque that a loop holds, which it shows to the collector only."""
    found = [each for each in gc.get_referents(loop) if type(each) is deque]
    return found[0] if len(found) == 1 else None
