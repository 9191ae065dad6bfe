"""One thread for all deadlines."""

from __future__ import annotations

import threading

from tachograph.metrics.deadlines import Deadlines


def test_calls_come_in_the_order_of_their_times() -> None:
    """An earlier deadline set later still comes first."""
    deadlines, order, done = Deadlines(), list[str](), threading.Event()

    def late() -> None:
        order.append("late")
        done.set()

    deadlines.after(0.5, late)
    deadlines.after(0.01, lambda: order.append("early"))

    assert done.wait(5)
    assert ["early", "late"] == order


def test_one_that_fails_does_not_stop_the_others() -> None:
    """A call that raises costs itself only."""
    deadlines, done = Deadlines(), threading.Event()

    def fail() -> None:
        msg = "on purpose"
        raise ValueError(msg)

    deadlines.after(0.0, fail)
    deadlines.after(0.01, done.set)

    assert done.wait(5)


def test_there_is_one_thread() -> None:
    """A hundred deadlines share it [HL-11]."""
    deadlines, done = Deadlines(), threading.Event()
    before = threading.active_count()
    for _ in range(100):
        deadlines.after(0.02, done.set)

    assert threading.active_count() <= before + 1
    assert done.wait(5)
