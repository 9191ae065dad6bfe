"""Addresses of frames: from their content, equal everywhere."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tachograph.recorder import symbols as module
from tachograph.recorder.symbols import Symbol, Symbols

FILE = __file__


def test_an_address_is_48_bits_of_what_stands_there() -> None:
    """Never 0, the same for the same frame, another for another line [events 8]."""
    table = Symbols()
    address = table.python(FILE, "Shop.<locals>.price", 12)

    assert 0 < address < 2**48
    assert address == table.python(FILE, "Shop.<locals>.price", 12)
    assert address != table.python(FILE, "Shop.<locals>.price", 13)


def test_a_symbol_is_module_and_qualname() -> None:
    """`module::qualname` without markup, the file below its import root, the line [events 8]."""
    table = Symbols()
    found = table.of(table.python(FILE, "Shop.<locals>.<lambda>", 12))

    assert found is not None
    assert found.name.endswith("test_symbols::Shop.lambda")
    assert found.name.count("::") == 1
    assert (False, 12) == (found.file.startswith("/"), found.line)


def test_what_is_called_natively() -> None:
    """A frame that is no Python has the text of the call, no file and no line."""
    table = Symbols()

    assert Symbol("native::time.sleep", "<builtin>", 0) == table.of(table.native("time.sleep"))


def test_equal_in_another_process() -> None:
    """The address of a frame of the standard library is the same in a process of another start."""
    program = (
        "import asyncio.tasks\n"
        "from tachograph.recorder.symbols import Symbols\n"
        "print(Symbols().python(asyncio.tasks.__file__, 'sleep', 649))"
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=True
        ).stdout
        for _ in range(2)
    }

    assert 1 == len(found)


def test_a_table_that_is_full(monkeypatch: pytest.MonkeyPatch) -> None:
    """What comes then has no address, which is counted; what was there before keeps its own."""
    monkeypatch.setattr(module, "_MOST", 1)
    table = Symbols()
    first = table.python(FILE, "f", 1)

    assert (0, 0) == (table.python(FILE, "g", 1), table.native("time.sleep"))
    assert first == table.python(FILE, "f", 1)
    assert 2 == table.full


def test_an_unknown_address() -> None:
    """Nothing stands where nothing was put."""
    assert Symbols().of(5) is None
