"""Tables of what happened."""

from __future__ import annotations

import pytest

from tachograph.errors import TraceFormatError
from tachograph.trace.model import UNKNOWN, Park, Parks, Wake, Wakes

PARK = Park(0, 5, 7, None, 2)


def test_unknown_is_none_in_a_row() -> None:
    """A column holds -1 where nothing is known, a row `None`."""
    parks = Parks([PARK])

    assert UNKNOWN == parks.gil_wait_ns[0]
    assert PARK == parks[0] == next(iter(parks))
    assert (1, 0) == (len(parks), len(Parks()))


def test_tables_are_equal_by_their_rows() -> None:
    """Equal columns make equal tables; a table is not hashable."""
    assert Parks([PARK]) == Parks([PARK])
    assert Parks([PARK]) != Parks()
    assert Parks() != Wakes()
    assert Parks() != [PARK]
    with pytest.raises(TypeError):
        hash(Parks())


def test_sorting_is_stable() -> None:
    """Rows that are equal in the keys keep their order."""
    wakes = Wakes([Wake(0, 5, 1, 1), Wake(0, 3, 2, 2), Wake(0, 5, 3, 3), Wake(0, 3, 4, 4)])
    wakes.sort("time_ns")

    assert [2, 4, 1, 3] == list(wakes.waker)


def test_a_table_takes_whole_rows_or_none() -> None:
    """A number that no time or id can be leaves the table as it was."""
    wakes = Wakes([Wake(0, 1, 1, 1)])

    with pytest.raises(TraceFormatError, match="Expected times and ids"):
        wakes.extend([[1], [2], [3], [2**63]])
    assert [Wake(0, 1, 1, 1)] == list(wakes)
