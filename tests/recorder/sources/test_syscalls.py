"""Numbers of system calls by their names."""

from __future__ import annotations

import platform

import pytest

from tachograph.recorder.sources.syscalls import _TABLES, _names, syscall_name


@pytest.mark.parametrize("machine", _TABLES)
def test_tables_have_each_number_once(machine: str) -> None:
    """No number stands for two calls, no name for two numbers."""
    words = _TABLES[machine].split()

    assert len(words) == 2 * len(_names(machine))
    assert len(set(words[1::2])) == len(words) // 2


def test_a_call_that_is_not_known() -> None:
    """It is told by its number."""
    assert "syscall 9999" == syscall_name(9999)


@pytest.mark.skipif(platform.machine() != "x86_64", reason="numbers differ by machine")
def test_the_commonest() -> None:
    """What a blocked Python thread is most often in."""
    numbers = (202, 230, 0, 45)

    assert ["futex", "clock_nanosleep", "read", "recvfrom"] == list(map(syscall_name, numbers))
