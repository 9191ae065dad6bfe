"""What a forked child begins anew."""

from __future__ import annotations

import os
import threading

import pytest

from tachograph._base.forks import ForkLock, tell_in_children

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")


def in_child(check: object) -> bool:
    """Return whether *check()* was true in a forked child that had five seconds for it."""
    child = os.fork()
    if not child:
        threading.Timer(5, os._exit, (9,)).start()
        os._exit(0 if check() else 1)  # type: ignore[operator]
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_a_lock_that_is_held_is_free_in_the_child() -> None:
    """Whoever holds it is not there."""
    lock = ForkLock()

    def take() -> bool:
        with lock:
            return True

    with lock:
        assert in_child(take)


def test_owners_are_told_as_long_as_they_live() -> None:
    """In the child only, and none that is gone."""

    class Owner:
        told = 0

        def forget_parent(self) -> None:
            self.told += 1

    owner, gone = Owner(), Owner()
    tell_in_children(owner)
    tell_in_children(gone)
    del gone

    assert in_child(lambda: owner.told == 1)
    assert 0 == owner.told
