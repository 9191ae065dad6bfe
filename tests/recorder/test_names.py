"""What numbers stand for: texts, the file beside the rings, and what comes out of it."""

from __future__ import annotations

import errno
import functools
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from tachograph.recorder.names import Name, Names, module_of, read_names, short_path

CALLBACK, SPAWN = 0, 1


def read(path: Path) -> list[Name]:
    """Return the names of a file."""
    return read_names(path.read_bytes().split(b"\n"))[0]


async def work() -> None:
    """A coroutine function of this file."""


class Thing:
    def method(self) -> None: ...

    def __call__(self) -> None: ...


@pytest.mark.parametrize(
    ("called", "text"),
    [
        (work, "callback:{here}.work"),
        (Thing().method, "callback:{here}.Thing.method"),
        (Thing(), "callback:{here}.Thing"),
        (functools.partial(work), "callback:functools.partial"),
        ([].append, "callback:builtins.list.append"),
        (len, "callback:builtins.len"),
        (lambda: None, "callback:{here}.lambda"),
        (None, "callback:other"),
    ],
)
def test_a_callback_is_told_by_module_and_name(called: Any, text: str) -> None:
    """Whatever can be called has a name, without what viewers take for markup."""
    names = Names()
    names.note(CALLBACK, 7, called, 0, None)

    assert [Name("callback", 7, text.format(here=__name__))] == names.all()


def test_a_spawn_is_told_by_place_and_coroutine() -> None:
    """The file is relative to its import root, so that it is the same on each machine."""
    names, coroutine = Names(), work()
    code = test_a_spawn_is_told_by_place_and_coroutine.__code__
    names.note(SPAWN, 3, code, 12, coroutine)
    names.note(SPAWN, 4, None, 0, None)
    coroutine.close()

    place, _, what = names.spawns[3].partition(" ")
    assert place.endswith("test_names.py:12")
    assert not place.startswith("/")
    assert what.endswith("test_names.work")
    assert "unknown" == names.spawns[4]


class Refuses:
    """Something that tells nothing about itself."""

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(name)


def test_what_refuses_to_tell_its_name_is_unknown() -> None:
    """Whatever the program calls or awaits may raise when it is asked (recorder.md row 28)."""
    names = Names()
    names.note(CALLBACK, 1, Refuses(), 0, None)
    names.note(SPAWN, 2, Refuses(), 5, Refuses())

    assert ["callback:unknown", "unknown"] == [name.text for name in names.all()]


def test_each_name_is_news_once() -> None:
    """A batch takes those since the one before."""
    names = Names()
    names.note(CALLBACK, 1, len, 0, None)
    names.note(CALLBACK, 2, abs, 0, None)

    assert [1, 2] == [name.number for name in names.news()]
    assert [] == names.news()
    names.note(CALLBACK, 3, all, 0, None)
    assert [3] == [name.number for name in names.news()]
    assert [1, 2, 3] == [name.number for name in names.all()]


def test_names_are_written_at_once(tmp_path: Path) -> None:
    """A killed process leaves all of them behind, those from before the file too."""
    names = Names()
    names.note(CALLBACK, 1, len, 0, None)
    names.open(tmp_path / "names")
    names.note(CALLBACK, 2, abs, 0, None)

    assert names.all() == read(tmp_path / "names")
    names.close()
    names.note(CALLBACK, 3, all, 0, None)
    assert [1, 2] == [name.number for name in read(tmp_path / "names")]
    assert 0 == names.unwritten


def test_a_new_file_has_every_name(tmp_path: Path) -> None:
    """A second recording of the process begins with what the first one learnt."""
    names = Names()
    names.open(tmp_path / "first")
    names.note(CALLBACK, 1, len, 0, None)
    names.open(tmp_path / "second")
    names.close()

    assert read(tmp_path / "first") == read(tmp_path / "second")
    assert [] == names.news()


def test_a_full_disk_costs_a_name_in_the_file_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is raised into the hook; the name is counted, and segments have it.

    (recorder.md row 7)
    """
    names = Names()
    names.open(tmp_path / "names")
    stock = os.write

    def full(file: int, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "full")

    def torn(file: int, data: bytes) -> int:
        return stock(file, data[:9])

    for number, write in enumerate((stock, full, torn, stock)):
        monkeypatch.setattr(os, "write", write)
        names.note(CALLBACK, number, len, 0, None)
    names.close()

    assert [0, 3] == [name.number for name in read(tmp_path / "names")]
    assert [0, 1, 2, 3] == [name.number for name in names.news()]
    assert 2 == names.unwritten


def test_reads_what_can_be_read() -> None:
    """Torn lines, other lines and other shapes are passed over."""
    lines = [b"", b"[1", b"null", b"5", b"[1,2]", b'["spawn","x","y"]', b"\xff", b'{"a":1}',
             b'["spawn", 3, "a.py:1 f"]', b'["spawn", 4, "a.p']  # fmt: skip

    assert ([Name("spawn", 3, "a.py:1 f")], {}) == read_names(lines)


@pytest.mark.parametrize("text", ["\udcff", "a\nb", "ü" * 300])
def test_any_text_comes_back(text: str, tmp_path: Path) -> None:
    """A name of a file may hold what is no Unicode; it becomes `?` and the line stays whole."""
    names = Names()
    names.open(tmp_path / "names")
    code = work.__code__.replace(co_filename=text)
    names.note(SPAWN, 1, code, 1, None)
    names.close()

    (name,) = read(tmp_path / "names")
    assert names.spawns[1].encode(errors="replace").decode() == name.text


def test_files_below_an_empty_import_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is the directory that is current when the file is named, wherever that is then."""
    file = f"{tmp_path}/app/jobs.py"
    monkeypatch.setattr(sys, "path", ["/somewhere"])
    assert "jobs.py" == short_path(file)
    monkeypatch.setattr(sys, "path", ["", "/somewhere"])
    monkeypatch.chdir(tmp_path)
    assert ("app/jobs.py", "app.jobs") == (short_path(file), module_of(file))
    (tmp_path / "app").mkdir()
    monkeypatch.chdir(tmp_path / "app")
    assert "jobs.py" == short_path(file)
