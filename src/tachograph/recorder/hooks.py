"""Putting the native hooks into asyncio, and taking them out.

The classes are changed once, at the first start; afterwards recording is switched by a flag of
the native core, for each change of a class costs the interpreter what it had learnt of it. A
selector is changed for each loop, on the loop's own thread, when the loop first turns.
"""

from __future__ import annotations

import importlib.util
import selectors
from asyncio import base_events, events
from typing import Any

from tachograph.recorder.core import core, is_native
from tachograph.recorder.facts import Facts

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
        core.configure(self._facts.values)
        for name, hook in core.descriptors().items():
            cls: Any = events.Handle if name == "_run" else base_events.BaseEventLoop
            self._stock.append((cls, name, getattr(cls, name)))
            setattr(cls, name, hook)
        self._install_uvloop()
        loop = base_events.BaseEventLoop
        self._stock.append((loop, "run_forever", loop.run_forever))
        loop.run_forever = self._run_forever(loop.run_forever)  # type: ignore[method-assign]

    def _install_uvloop(self) -> None:
        """Put the hooks into uvloop's loops, where it is installed and the core is native."""
        if not is_native or importlib.util.find_spec("uvloop") is None:
            return
        try:
            import uvloop  # noqa: PLC0415 -- optional, and only a recorder wants it

            cls: Any = uvloop.Loop
            stock = (cls.call_soon, cls.call_soon_threadsafe, cls.call_later)
            for name, hook in core.wrappers((cls, *stock)).items():
                self._stock.append((cls, name, _inherited))
                setattr(cls, name, hook)
        except Exception as error:  # noqa: BLE001 -- one kind of loop costs itself only
            self.problems["uvloop"] = f"uvloop is not as expected here: {error!r}"

    def rest(self) -> None:
        """Leave the selectors of loops that begin from now on alone; the classes stay."""
        self._watches = False

    def _run_forever(self, stock: Any) -> Any:
        def run_forever(loop: Any) -> None:
            selector: Any = getattr(loop, "_selector", None)
            watch = watch_selector(selector) if self._watches else None
            try:
                stock(loop)
            finally:
                if watch is not None and selector.__dict__.get("select") is watch:
                    del selector.select

        run_forever.__doc__ = stock.__doc__
        return run_forever

    def uninstall(self) -> None:
        """Put back what was there, as far as nobody else has put something on top."""
        while self._stock:
            cls, name, stock = self._stock.pop()
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
        found["uvloop"] = (
            "parks, queue lengths and what libuv calls itself (protocols) are not recorded"
            if is_native
            else "nothing is recorded of it without the native core"
        )
    return found


def watch_selector(selector: Any) -> Any:
    """Let a selector's waits be recorded; return what does it, None where that is not possible."""
    if type(selector) is not getattr(selectors, "EpollSelector", None):
        return None
    watch = core.Select(selector.select, selector._fd_to_key, selector.fileno())
    if "select" not in selector.__dict__:
        selector.select = watch
        return watch
    return None
