"""Compressed files as plain ones: whatever their name is, and as far as they go.

A file that was cut in the middle (a full disk, a copy that was broken off) still holds everything
before the cut, so what can be read is read and the cut is counted.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from tachograph.errors import CommandError

__all__ = ["unpack"]

MAGIC = b"\x1f\x8b"

_BLOCK = 1 << 20


def unpack(files: Sequence[Path], scratch: Path) -> tuple[list[Path], int]:
    """Return readable files in the place of *files*, and how many of them were cut or damaged.

    Args:
        files: What is to be read.
        scratch: A directory for what had to be unpacked.

    Raises:
        CommandError: A file cannot be read.
    """
    found: list[Path] = []
    cut = 0
    for number, path in enumerate(files):
        try:
            with path.open("rb") as file:
                packed = file.read(2) == MAGIC
                if not packed and path.suffix != ".gz":
                    found.append(path)
                    continue
                file.seek(0)
                plain = scratch / str(number)
                with plain.open("wb") as target:
                    cut += not (_inflate(file, target) if packed else _copy(file, target))
                found.append(plain)
        except OSError as error:
            raise CommandError(f"Cannot read {path}: {error.strerror}.") from error
    return found, cut


def _inflate(file: BinaryIO, target: BinaryIO) -> bool:
    """Write what *file*, one or many gzip members, holds; return whether it was whole."""
    member = zlib.decompressobj(wbits=31)
    begun = False
    while block := file.read(_BLOCK):
        while block:
            try:
                target.write(member.decompress(block))
            except zlib.error:
                # Zeros may follow the last member; anything else is damage, and what is after it
                # cannot be found again.
                return not begun and not block.strip(b"\0")
            begun = not member.eof
            block = member.unused_data
            if member.eof:
                member = zlib.decompressobj(wbits=31)
    if begun:
        target.write(member.flush())
    return not begun


def _copy(file: BinaryIO, target: BinaryIO) -> bool:
    """Write a file that only its name calls compressed; an empty one is what a cut leaves."""
    found = False
    while block := file.read(_BLOCK):
        target.write(block)
        found = True
    return found
