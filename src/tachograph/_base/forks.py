"""What a forked child must begin anew: locks that another thread held, threads that are not there.

`os.fork` copies the memory and one thread. A lock that another thread held stays locked for ever in
the child, so every lock of this package is one of these, or its owner is told.
"""

from __future__ import annotations

import os
import threading
import weakref
from types import TracebackType
from typing import Protocol

__all__ = ["ForkLock", "tell_in_children"]


class _Forgetful(Protocol):
    def forget_parent(self) -> None:
        """Begin anew: this is a forked child, with one thread."""


_told: weakref.WeakSet[_Forgetful] = weakref.WeakSet()


def tell_in_children(owner: _Forgetful) -> None:
    """Call `owner.forget_parent()` in each forked child, as long as *owner* lives."""
    _told.add(owner)


class ForkLock:
    """A lock that is free in a forked child."""

    __slots__ = ("__weakref__", "_lock")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        tell_in_children(self)

    def forget_parent(self) -> None:
        """Be free."""
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._lock.release()


def _in_child() -> None:
    for owner in list(_told):
        owner.forget_parent()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
