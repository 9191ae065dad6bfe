"""From numbers of the native core to addresses, with what the innermost line calls."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from tachograph.recorder.stacks import Frame, Stacks, called_at
from tachograph.recorder.symbols import Symbols

SOURCE = """\
def work(sock):
    time.sleep(0.05)
    x = sock.recv(1)[0] + 1
    pool.submit(
        len,
        "a",
    ).result()
    é = very.long.name.that.goes.on.and_on.and_on.and_on.and_on.and_on.and_on.and_on()
"""


@pytest.fixture
def source(tmp_path: Path) -> str:
    """A file of source."""
    path = tmp_path / "job.py"
    path.write_text(SOURCE)
    return str(path)


def place(file: str, line: int, column: int, end_line: int, end_column: int) -> Frame:
    """Return a frame that is there."""
    return 1, file, "work", 1, line, column, end_line, end_column


@pytest.mark.parametrize(
    ("span", "called"),
    [
        ((2, 4, 2, 20), "time.sleep"),
        ((3, 8, 3, 20), "sock.recv"),
        ((3, 8, 3, 27), None),  # an addition
        ((4, 4, 7, 14), "pool.submit(len, 'a').result"),
        ((8, 9, 8, 87), "very.long.name.that.goes.on.and_on.and_on.and_on.and_on.a..."),
        ((2, -1, 2, -1), None),  # a compiler without columns
        ((99, 0, 99, 5), None),  # the file has changed since
    ],
)
def test_what_a_place_calls(
    source: str, span: tuple[int, int, int, int], called: str | None
) -> None:
    """As the source has it, without arguments; nothing where there is no call."""
    assert called == called_at(place(source, *span))


def test_source_that_is_not_at_hand() -> None:
    """Nothing is told of a file that cannot be read."""
    assert called_at(place("/nowhere/job.py", 2, 4, 2, 20)) is None


def test_stacks_become_addresses(source: str) -> None:
    """Innermost first; before them what is called, where it is asked for."""
    table = Symbols()
    stacks = Stacks(table)
    frames = [(7, source, "work", 1, 2, 4, 2, 20), (8, source, "main", 1, 3, 0, 3, 1)]
    stacks.learn(frames, [(1, struct.pack("2I", 7, 8))])
    work, main = table.python(source, "work", 2), table.python(source, "main", 3)

    assert (work, main) == stacks.addresses(1)
    assert (table.native("time.sleep"), work, main) == stacks.addresses(1, with_call=True)
    assert () == stacks.addresses(2)
    assert () == stacks.addresses(2, with_call=True)
