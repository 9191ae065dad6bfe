"""Compressed files, whole and cut."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from tachograph.errors import CommandError
from tachograph.fleet.unpack import unpack

TEXT = b"".join(b'{"n":%d}\n' % n for n in range(20_000))
PACKED = gzip.compress(TEXT)


def read(directory: Path, name: str, data: bytes) -> tuple[bytes, int]:
    """Return what is readable of a file with *data*, and how many files were cut."""
    path = directory / name
    path.write_bytes(data)
    scratch = directory / "scratch"
    scratch.mkdir()
    (found,), cut = unpack([path], scratch)
    return found.read_bytes(), cut


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.gz", PACKED),
        ("a", PACKED),  # gzip by its content, whatever its name
        ("a.gz", TEXT),  # not gzip, though its name says so
        ("a.gz", gzip.compress(TEXT[:100]) + gzip.compress(TEXT[100:])),
        ("a.gz", PACKED + b"\0" * 512),
    ],
    ids=["gzip", "other-name", "plain", "members", "padded"],
)
def test_a_whole_file_is_read(tmp_path: Path, name: str, data: bytes) -> None:
    """What a file is, its content says; several members are one text."""
    assert (TEXT, 0) == read(tmp_path, name, data)


@pytest.mark.parametrize(
    "data",
    [PACKED[: len(PACKED) // 2], PACKED[:-8], PACKED[:5], PACKED + PACKED[:300], b""],
    ids=["half", "no-trailer", "header", "second-member", "empty"],
)
def test_a_cut_file_is_read_up_to_the_cut(tmp_path: Path, data: bytes) -> None:
    """Everything before the cut is there, and the cut is counted."""
    found, cut = read(tmp_path, "a.gz", data)

    assert 1 == cut
    assert (TEXT * 2).startswith(found)
    assert len(found) >= {5: 0, 0: 0}.get(len(data), 1_000)


def test_damage_in_the_middle_ends_the_file(tmp_path: Path) -> None:
    """What comes after a damaged byte cannot be found again; what was before it counts."""
    data = bytearray(PACKED)
    data[len(data) // 2 : len(data) // 2 + 64] = b"\xff" * 64
    _, cut = read(tmp_path, "a.gz", bytes(data))

    assert 1 == cut


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """The message has the path and the system's reason."""
    with pytest.raises(CommandError, match=r"Cannot read .*gone: No such file"):
        unpack([tmp_path / "gone"], tmp_path)
