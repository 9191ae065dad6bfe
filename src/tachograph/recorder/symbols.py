"""What the addresses in stacks stand for: a file, a function and a line, the same in every process.

Frames of Python have no address, so each gets one from its content: 48 bits of a hash, never 0.
Equal frames are equal in all segments of all hosts, which readers rely on when they join files.
"""

from __future__ import annotations

import hashlib
from typing import NamedTuple

from tachograph.recorder.names import clean, module_of, short_path

__all__ = ["NATIVE", "Symbol", "Symbols", "symbols"]

NATIVE = "native"
"""Stands for the module of a frame that is no Python: what a line calls and waits for."""

_MOST = 262_144
_LONGEST = 512


class Symbol(NamedTuple):
    """What stands at an address: `module::qualname`, the file below its import root, the line."""

    name: str
    file: str
    line: int


class Symbols:
    """The addresses of this process."""

    def __init__(self) -> None:
        self._known: dict[int, Symbol] = {}
        self._addresses: dict[tuple[str, str, int], int] = {}
        self.full = 0
        """Frames that got no address: there are 262,144 already."""

    def python(self, file: str, qualname: str, line: int) -> int:
        """Return the address of a line of a Python function; 0 if there is none left."""
        found = self._addresses.get((file, qualname, line))
        if found is not None:
            return found
        name = f"{module_of(file)}::{clean(qualname)}"
        return self._add((file, qualname, line), Symbol(name[:_LONGEST], short_path(file), line))

    def native(self, called: str) -> int:
        """Return the address of what is called natively, as the source has it: `time.sleep`."""
        key = (NATIVE, called, 0)
        found = self._addresses.get(key)
        if found is not None:
            return found
        return self._add(key, Symbol(f"{NATIVE}::{clean(called)}"[:_LONGEST], "<builtin>", 0))

    def _add(self, key: tuple[str, str, int], symbol: Symbol) -> int:
        if len(self._known) >= _MOST:
            self.full += 1
            return 0
        text = "\0".join(map(str, symbol)).encode(errors="replace")
        digest = hashlib.blake2b(text, digest_size=6).digest()
        address = int.from_bytes(digest, "little") or 1
        self._known[address] = symbol
        self._addresses[key] = address
        return address

    def of(self, address: int) -> Symbol | None:
        """Return what stands at an address."""
        return self._known.get(address)


symbols = Symbols()
"""The process's own."""
