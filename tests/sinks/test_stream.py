"""Streams that others own."""

from __future__ import annotations

import errno
import fcntl
import io
import os
from pathlib import Path

import pytest

from tachograph.sinks import StreamTarget


def test_a_stream_gets_the_bytes_and_stays_open(tmp_path: Path) -> None:
    """What was buffered in it before comes first."""
    with (tmp_path / "file").open("wb") as stream:
        stream.write(b"before\n")
        target = StreamTarget(stream)
        target.write(b"line\n")
        target.flush()
        target.close()

        assert not stream.closed
    assert (tmp_path / "file").read_bytes() == b"before\nline\n"


def test_a_stream_without_descriptor(tmp_path: Path) -> None:
    """It is written to as it is."""
    stream = io.BytesIO()
    target = StreamTarget(stream)

    assert target.write(b"line\n") == 5
    assert stream.getvalue() == b"line\n"


def test_a_full_pipe_takes_nothing_and_does_not_hang() -> None:
    """0 bytes after a moment, for ever [TL-6]."""
    reader, writer = os.pipe()
    target = StreamTarget(writer)
    written = 0
    while taken := target.write(b"x" * 100_000):
        written += taken
    again = target.write(b"x")
    received = os.read(reader, 4_096)
    taken = target.write(b"y" * 4_096)
    os.close(reader)
    os.close(writer)

    assert written >= 4_096
    assert again == 0
    assert received == b"x" * 4_096
    assert taken == 4_096


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_raises() -> None:
    """The sink counts it and tries again [TL-5]."""
    descriptor = os.open("/dev/full", os.O_WRONLY)
    with pytest.raises(OSError, match="space") as caught:
        StreamTarget(descriptor).write(b"line\n")
    os.close(descriptor)

    assert caught.value.errno == errno.ENOSPC


@pytest.mark.skipif(not hasattr(fcntl, "F_SETPIPE_SZ"), reason="needs a pipe of one page")
def test_a_pipe_gets_whole_lines() -> None:
    """Each write ends at the end of a line, so that processes that share it do not mix theirs."""
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4_096)
    target = StreamTarget(writer)
    block = b"".join(b"%d" % n * 300 + b"\n" for n in range(40))
    first = target.write(block)
    received = os.read(reader, 65_536)
    long = b"y" * 5_000 + b"\nnext\n"
    parts: list[int] = []
    while long[sum(parts) :]:
        parts.append(target.write(long[sum(parts) :]))
        received += os.read(reader, 65_536)
    os.close(reader)
    os.close(writer)

    assert 0 < first < len(block)
    assert block[first - 1 : first] == b"\n"
    assert received == block[:first] + long
