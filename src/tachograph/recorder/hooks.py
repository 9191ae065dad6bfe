"""Putting the native hooks into asyncio, and taking them out.

The classes are changed once, at the first start; afterwards recording is switched by a flag of
the native core, for each change of a class costs the interpreter what it had learnt of it. What
sees a loop's waits is put in for each loop, on its own thread: when it begins to run, or when a
lane first meets it, for it may have run before the recorder did.
"""

from __future__ import annotations

import importlib.util
import selectors
from asyncio import base_events, events
from typing import Any

from tachograph.recorder.core import core, is_native
from tachograph.recorder.facts import Facts
from tachograph.recorder.selecting import Selectors
from tachograph.recorder.uvloops import UNSEEN, Uvloops

__all__ = ["Hooks", "loop_support"]


_inherited = object()  # in the place of a stock method: there was none of the class's own


class Hooks:
    """The hooks of this process.

    Args:
        facts: What the self-test found.
    """

    def __init__(self, facts: Facts) -> None:
        self.problems = dict(facts.problems)
        """What cannot be recorded here, by part, with the reason."""
        self._facts = facts
        self._watches = False
        self._selectors = Selectors()
        self._uvloops: Uvloops | None = None
        self._stock: list[tuple[type, str, Any]] = []

    @property
    def installed(self) -> bool:
        """Whether the hooks stand in asyncio's classes."""
        return bool(self._stock)

    def install(self) -> None:
        """Put the hooks in, once; what someone else had put there before is called by ours."""
        self._watches = True
        if self.installed or not self._facts.values:
            return
        try:
            self._install_asyncio()
        except Exception as error:  # noqa: BLE001 -- an unknown asyncio costs the hooks only
            self.uninstall()
            self.problems["steps"] = f"asyncio cannot be hooked here: {error!r}"
            return
        self._install_uvloop()

    def _install_asyncio(self) -> None:
        core.configure({**self._facts.values, "on_loop": self._meet})
        for name, hook in core.descriptors().items():
            cls: Any = events.Handle if name == "_run" else base_events.BaseEventLoop
            self._put(cls, name, hook)
        loop = base_events.BaseEventLoop
        self._put(loop, "run_forever", self._run_forever(loop.run_forever))

    def _put(self, cls: type, name: str, hook: Any) -> None:
        stock = getattr(cls, name)
        setattr(cls, name, hook)
        self._stock.append((cls, name, stock))

    def _install_uvloop(self) -> None:
        """Put the hooks into uvloop's loops, where it is installed and the core is native."""
        if not is_native or importlib.util.find_spec("uvloop") is None:
            return
        try:
            if self._uvloops is None:
                self._uvloops = Uvloops()
            for name, hook in self._uvloops.methods.items():
                if vars(self._uvloops.cls).get(name) is not hook:
                    self._stock.append((self._uvloops.cls, name, _inherited))
                    setattr(self._uvloops.cls, name, hook)
            if self._uvloops.no_parks:
                self.problems["parks of uvloop"] = self._uvloops.no_parks
            if not self._uvloops.shows_queue:
                self.problems["queue of uvloop"] = "the loop's queue was not found"
        except Exception as error:  # noqa: BLE001 -- one kind of loop costs itself only
            self.problems["uvloop"] = f"uvloop is not as expected here: {error!r}"

    def rest(self) -> None:
        """Leave the selectors of loops that begin from now on alone; the classes stay."""
        self._watches = False

    def _run_forever(self, stock: Any) -> Any:
        def run_forever(loop: Any) -> None:
            watch = self._watch(loop) if self._watches else None
            try:
                stock(loop)
            finally:
                if watch is not None:
                    self._selectors.leave(loop, watch)

        run_forever.__doc__ = stock.__doc__
        return run_forever

    def _watch(self, loop: Any) -> Any:
        try:
            return self._selectors.watch(loop)
        except Exception as error:  # noqa: BLE001 -- a loop runs whether it is watched or not
            self.problems["parks"] = f"the selector is not as expected here: {error!r}"
            return None

    def _meet(self, loop: Any) -> Any:
        """Look after the waits of a loop that runs; called by the core on the loop's thread.

        Returns:
            The queue of a loop that hides it; else None.
        """
        try:
            if self._uvloops is not None and isinstance(loop, self._uvloops.cls):
                return self._uvloops.meet(loop)
        except Exception as error:  # noqa: BLE001 -- the loop goes on, without its parks
            self.problems["parks of uvloop"] = f"its waits could not be recorded: {error!r}"
            return None
        self._watch(loop)
        return None

    def uninstall(self) -> None:
        """Put back what was there, as far as nobody else has put something on top."""
        self._selectors.leave_all()
        done = self._uvloops is None or self._uvloops.leave()
        left, self._stock = self._stock, []
        while left:
            cls, name, stock = left.pop()
            if name == "close" and not done:  # a loop of another thread has handles still
                continue
            if stock is _inherited:
                delattr(cls, name)
            else:
                setattr(cls, name, stock)


def loop_support() -> dict[str, str]:
    """Return for each kind of loop that is here what cannot be recorded of it, or nothing."""
    found = {"asyncio": ""}
    if not hasattr(selectors, "EpollSelector"):
        found["asyncio"] = "parks are not recorded: this system has no epoll"
    if importlib.util.find_spec("uvloop") is not None:
        found["uvloop"] = UNSEEN if is_native else "nothing is recorded without the native core"
    return found
