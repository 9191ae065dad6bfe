"""The directory of a process: its name, its lock, and which directories are a dead one's."""

from __future__ import annotations

import errno
import os
import re
import stat
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.recorder.reading import names_in

from tachograph.recorder import home
from tachograph.recorder.home import Home, dead_homes, is_artefact, segment_index

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there are no file locks here")


def dead(parent: Path, name: str = "abcd-1", files: tuple[str, ...] = ()) -> Path:
    """Make the directory of a process that is no more."""
    path = parent / name
    path.mkdir()
    for file in (".lock", *files):
        (path / file).write_bytes(b"x")
    return path


def found(parent: Path, own: Path | None = None) -> list[str]:
    """Return the names of the directories that are taken for a dead process's."""
    return [each.path.name for each in dead_homes(parent, own)]


def test_a_directory_is_named_by_its_boot_id(tmp_path: Path) -> None:
    """Four letters, a dash and the process id; directories and the lock are the user's alone."""
    own = Home(tmp_path / "new" / "traces")

    assert re.fullmatch(rf"[a-z]{{4}}-{os.getpid()}", own.boot_id)
    assert own.path.name == own.boot_id
    modes = [stat.S_IMODE(path.stat().st_mode) for path in (own.path, own.path / ".lock")]
    assert [0o700, 0o600] == modes
    own.close()


def test_a_taken_name_is_not_taken_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each start makes a directory of its own."""
    ids = iter(["aaaa-1", "aaaa-1", "aaab-1"])
    monkeypatch.setattr(home, "new_boot_id", lambda: next(ids))
    first, second = Home(tmp_path), Home(tmp_path)

    assert ["aaaa-1", "aaab-1"] == [first.boot_id, second.boot_id]
    first.close()
    second.close()


def test_a_living_processs_directory_is_not_a_dead_ones(tmp_path: Path) -> None:
    """Its lock is held, in this process too; when it is let go, the directory is free."""
    own = Home(tmp_path)
    (own.path / "trace.0.bin").write_bytes(b"x")

    assert [] == found(tmp_path)
    own.forget()
    assert [own.boot_id] == found(tmp_path)
    assert [] == found(tmp_path, own.path)


def test_what_only_a_living_process_needs_goes_with_it(tmp_path: Path) -> None:
    """Segments stay, the rest is removed; where nothing was recorded, nothing stays."""
    with_segment, empty = Home(tmp_path), Home(tmp_path)
    for name in ("ring.0-7", "names", "trace.0.bin.gz"):
        (with_segment.path / name).write_bytes(b"x")
    with_segment.close()
    empty.close()
    empty.close()

    assert ["trace.0.bin.gz"] == names_in(with_segment.path)
    assert not empty.path.exists()


def test_closing_bears_a_directory_that_was_removed(tmp_path: Path) -> None:
    """What somebody else cleared up is cleared up."""
    own = Home(tmp_path)
    (own.path / ".lock").unlink()
    own.path.rmdir()
    own.close()

    assert [] == names_in(tmp_path)


def test_a_home_that_cannot_be_locked_is_not_left_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Directory or lock cannot be created: an error, and nothing was started.

    (recorder.md row 1)
    """

    def no_locks(file: int, how: int) -> None:
        raise OSError(errno.ENOLCK, "no locks")

    monkeypatch.setattr("fcntl.flock", no_locks)

    with pytest.raises(OSError, match="no locks"):
        Home(tmp_path)
    assert [] == names_in(tmp_path)


@pytest.mark.parametrize("removed", [False, True], ids=["locked", "removed"])
def test_another_process_may_take_a_new_home_for_a_dead_one(
    removed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the making of a directory and its lock; then another directory is made."""
    import fcntl

    stock = fcntl.flock
    ids = iter(["aaaa-1", "aaab-1"])
    monkeypatch.setattr(home, "new_boot_id", lambda: next(ids))

    def first_refused(file: int, how: int) -> None:
        monkeypatch.setattr(fcntl, "flock", stock)
        if not removed:
            raise BlockingIOError(errno.EAGAIN, "locked")
        (tmp_path / "aaaa-1" / ".lock").unlink()
        (tmp_path / "aaaa-1").rmdir()
        stock(file, how)

    monkeypatch.setattr(fcntl, "flock", first_refused)
    own = Home(tmp_path)

    assert ["aaab-1"] == names_in(tmp_path)
    own.close()


@pytest.mark.parametrize(
    ("name", "index"),
    [
        ("trace.0.bin.active", 0),
        ("trace.17.bin", 17),
        ("trace.17.bin.gz", 17),
        ("trace.17.bin.01ARZ3NDEKTSV4RRFFQ69G5FAV.partial", 17),
        ("trace.17.bin.gz.01ARZ3NDEKTSV4RRFFQ69G5FAV.partial", 17),
        (".lock", None),
        ("names", None),
        ("ring.0-123", None),
    ],
)
def test_knows_its_own_files(name: str, index: int | None) -> None:
    """Each file that the recorder makes is known by its name, a segment's with its number."""
    assert is_artefact(name)
    assert index == segment_index(name)


@pytest.mark.parametrize(
    "name",
    ["trace.bin", "trace.1.bin.gz.old", "trace.-1.bin", "trace.1.bin.active~", "ring.0", "Names",
     "notes.txt", "trace.1.bin\n", "trace.1.bin.x.partial"],
)  # fmt: skip
def test_an_unknown_file_protects_its_directory(name: str, tmp_path: Path) -> None:
    """A dead directory that holds an unknown file is left untouched (recorder.md row 30)."""
    path = dead(tmp_path, files=("trace.0.bin.active", name))

    assert not is_artefact(name)
    assert [] == found(tmp_path)
    assert {".lock", "trace.0.bin.active", name} == set(names_in(path))


@pytest.mark.parametrize("name", ["abc-1", "ABCD-1", "abcd-", "abcd-1x", "abcd1", "xabcd-1"])
def test_only_a_boot_id_names_a_processs_directory(name: str, tmp_path: Path) -> None:
    """Whatever else lies beside is somebody else's."""
    dead(tmp_path, name, ("trace.0.bin.active",))

    assert [] == found(tmp_path)


def test_never_goes_deeper_nor_through_links(tmp_path: Path) -> None:
    """A directory within, or a link in any place, makes it somebody else's."""
    outside = dead(tmp_path, "elsewhere")
    (tmp_path / "parent").mkdir()
    (tmp_path / "parent" / "abcd-1").symlink_to(outside)
    linked = dead(tmp_path / "parent", "abcd-2")
    (linked / "trace.0.bin").symlink_to(outside / ".lock")
    deeper = dead(tmp_path / "parent", "abcd-3")
    (deeper / "trace.1.bin").mkdir()
    (tmp_path / "parent" / "abcd-4").write_bytes(b"a file")
    no_lock = dead(tmp_path / "parent", "abcd-5")
    (no_lock / ".lock").unlink()

    assert [] == found(tmp_path / "parent")


def test_a_process_that_ended_in_order_is_dead_too(tmp_path: Path) -> None:
    """It left segments and no lock; one is made meanwhile, and is gone afterwards."""
    path = dead(tmp_path, "abcd-5", ("trace.0.bin.gz",))
    (path / ".lock").unlink()
    for each in dead_homes(tmp_path, None):
        assert path == each.path
        assert [] == found(tmp_path)  # another start does not get it at the same time
        assert {".lock", "trace.0.bin.gz"} == set(names_in(path))

    assert ["trace.0.bin.gz"] == names_in(path)
    assert ["abcd-5"] == found(tmp_path)


def test_no_parent_no_dead(tmp_path: Path) -> None:
    """A directory that is not there, or is a file, holds nobody."""
    (tmp_path / "file").write_bytes(b"")

    assert [] == found(tmp_path / "absent")
    assert [] == found(tmp_path / "file")


def test_without_locks_nobody_is_dead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the system has none, a directory is never touched."""
    dead(tmp_path, files=("trace.0.bin",))
    nothing: Any = None
    monkeypatch.setattr(home, "fcntl", nothing)

    assert [] == found(tmp_path)


def test_an_empty_dead_directory_goes(tmp_path: Path) -> None:
    """One that holds a segment stays."""
    dead(tmp_path, "aaaa-1")
    dead(tmp_path, "aaaa-2", ("trace.0.bin",))

    assert ["aaaa-1", "aaaa-2"] == found(tmp_path)
    assert ["aaaa-2"] == names_in(tmp_path)
