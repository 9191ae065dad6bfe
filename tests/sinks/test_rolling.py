"""Files by the minute and by the hour."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tachograph.errors import ConfigError
from tachograph.sinks import Period, Retention, RollingFile
from tachograph.testing import FakeClock


def test_names_are_utc_minutes_and_hours(tmp_path: Path) -> None:
    """`<prefix>.<period>`, the file opened for append with the first write [service 7]."""
    with FakeClock():
        for prefix, period in (("metrics.log", Period.MINUTE), ("application.log", Period.HOUR)):
            target = RollingFile(tmp_path, prefix=prefix, period=period)
            target.write(b"a\n")
            target.close()
    names = sorted(path.name for path in tmp_path.iterdir())

    assert names == ["application.log.2024-01-15-10", "metrics.log.2024-01-15-10-00"]


def test_a_boundary_begins_a_new_file_with_the_next_write(tmp_path: Path) -> None:
    """No line is torn or lost; quiet periods leave no files [TL-3]."""
    with FakeClock() as time:
        target = RollingFile(tmp_path, prefix="m", period=Period.MINUTE)
        for n in range(4):
            target.write(b"%d\n" % n)
            time.advance(45 if n else 200)
        target.close()
    texts = {path.name[-2:]: path.read_text() for path in tmp_path.iterdir()}

    assert texts == {"00": "0\n", "03": "1\n", "04": "2\n3\n"}


def test_a_clock_that_is_set_back_appends_to_the_earlier_file(tmp_path: Path) -> None:
    """Nothing is overwritten."""
    with FakeClock() as time:
        target = RollingFile(tmp_path, prefix="m", period=Period.MINUTE)
        target.write(b"a\n")
        time.advance(60)
        target.write(b"b\n")
        time.advance(-60)
        target.write(b"c\n")
        target.close()
    texts = [path.read_text() for path in sorted(tmp_path.iterdir())]

    assert texts == ["a\nc\n", "b\n"]


def test_a_cut_line_ends_in_the_file_it_began_in(tmp_path: Path) -> None:
    """The boundary waits for the end of the line."""
    with FakeClock() as time:
        target = RollingFile(tmp_path, prefix="m", period=Period.MINUTE)
        target.write(b"begin ")
        time.advance(60)
        target.write(b"end\n")
        target.write(b"next\n")
        target.close()
    texts = [path.read_text() for path in sorted(tmp_path.iterdir())]

    assert texts == ["begin end\n", "next\n"]


def test_a_directory_that_was_removed_is_made_again(tmp_path: Path) -> None:
    """Lines return at once; a line whose start is gone is written anew, whole [TL-5]."""
    directory = tmp_path / "telemetry"
    target = RollingFile(directory, prefix="m", period=Period.HOUR)
    target.write(b"a\nbegin ")
    shutil.rmtree(directory)
    rest = b"end\nb\n"
    taken = target.write(rest)
    target.write(rest[taken:])
    target.close()
    (file,) = directory.iterdir()

    assert file.read_text() == "begin end\nb\n"


def test_modes_are_private(tmp_path: Path) -> None:
    """Files 0600 in directories 0700."""
    directory = tmp_path / "a" / "b"
    RollingFile(directory, prefix="m", period=Period.HOUR).close()
    (file,) = directory.iterdir()

    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_place_that_cannot_be_written_is_refused_at_once(tmp_path: Path) -> None:
    """The message says where and what to do [TL-4]."""
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(ConfigError) as caught:
        RollingFile(file / "telemetry", prefix="m", period=Period.HOUR)

    assert str(file / "telemetry") in str(caught.value)
    assert "Choose another directory" in str(caught.value)


def test_retention_deletes_the_oldest_of_its_own_files(tmp_path: Path) -> None:
    """Foreign files and the open one stay."""
    foreign = ["other", "m.schema.json", "m.2024-01-15-10-00.bak", "mm.2020-01-01-00-00"]
    for name in foreign:
        (tmp_path / name).write_text("x")
    with FakeClock() as time:
        target = RollingFile(
            tmp_path, prefix="m", period=Period.MINUTE, retention=Retention(max_files=3)
        )
        for _ in range(6):
            target.write(b"a\n")
            time.advance(60)
        target.close()
    names = sorted(path.name for path in tmp_path.iterdir() if path.name not in foreign)

    assert all((tmp_path / name).exists() for name in foreign)
    assert names == [f"m.2024-01-15-10-0{n}" for n in (3, 4, 5)]


def test_several_processes_share_a_directory(tmp_path: Path) -> None:
    """Append mode: no line of either is torn or lost."""
    program = (
        "import sys; from pathlib import Path; from tachograph.sinks import RollingFile, Period\n"
        "target = RollingFile(Path(sys.argv[1]), prefix='m', period=Period.HOUR)\n"
        "for n in range(3_000): target.write(sys.argv[2].encode() * 100 + b' %d\\n' % n)\n"
    )
    started = [
        subprocess.Popen([sys.executable, "-c", program, str(tmp_path), name]) for name in "ab"
    ]
    codes = [process.wait(30) for process in started]
    lines = "".join(path.read_text() for path in tmp_path.iterdir()).splitlines()

    assert codes == [0, 0]
    assert sorted(lines) == sorted(f"{name * 100} {n}" for name in "ab" for n in range(3_000))


def test_names_can_carry_the_process(tmp_path: Path) -> None:
    """`per_process` appends the process id."""
    target = RollingFile(tmp_path, prefix="m", period=Period.HOUR, per_process=True)
    path = target.path
    target.close()

    assert path is not None
    assert path.name.rpartition(".")[2] == str(os.getpid())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_a_forked_child_gets_a_file_of_its_own(tmp_path: Path) -> None:
    """With `per_process` the name is that of the process that writes."""
    target = RollingFile(tmp_path, prefix="m", period=Period.HOUR, per_process=True)
    target.write(b"parent\n")
    child = os.fork()
    if child == 0:
        target.write(b"child\n")
        os._exit(0)
    os.waitpid(child, 0)
    target.write(b"parent\n")
    target.close()
    texts = {path.name.rpartition(".")[2]: path.read_text() for path in tmp_path.iterdir()}

    assert texts == {str(os.getpid()): "parent\nparent\n", str(child): "child\n"}


def test_a_torn_line_of_a_dead_process_is_ended_first(tmp_path: Path) -> None:
    """The next writer's first line does not stick to it."""
    first = RollingFile(tmp_path, prefix="m", period=Period.HOUR)
    first.write(b"whole\n")
    assert first.path is not None
    with first.path.open("ab") as file:
        file.write(b'{"torn":')
    second = RollingFile(tmp_path, prefix="m", period=Period.HOUR)
    assert 6 == second.write(b"fresh\n")
    assert 5 == second.write(b"more\n")

    assert b'whole\n{"torn":\nfresh\nmore\n' == first.path.read_bytes()


def test_a_line_that_is_given_up_is_ended_at_close(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk filled in its midst, and then there was no more time."""
    target = RollingFile(tmp_path, prefix="m", period=Period.HOUR)
    write = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: write(fd, data[:3]))
    assert 3 == target.write(b"abcdef\n")
    monkeypatch.setattr(os, "write", write)
    target.close()

    assert target.path is not None
    assert b"abc\n" == target.path.read_bytes()


def test_a_write_under_way_is_not_taken_for_a_torn_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Part of another process's write may be seen before its end: it is waited for."""
    target = RollingFile(tmp_path, prefix="m", period=Period.HOUR)
    assert target.path is not None
    path = target.path
    path.write_bytes(b"other li")

    def in_turn(descriptor: int, user: int, group: int) -> None:
        path.write_bytes(b"other line\n")

    monkeypatch.setattr(os, "fchown", in_turn)
    target.write(b"ours\n")
    target.close()

    assert b"other line\nours\n" == path.read_bytes()
