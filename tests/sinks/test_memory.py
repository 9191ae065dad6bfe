"""Lines in memory."""

from __future__ import annotations

from tachograph.sinks import MemorySink


def test_it_keeps_the_newest_lines() -> None:
    """Whole oldest lines go; one oversize line is kept."""
    sink = MemorySink(max_bytes=10)
    for text in (b"aaaa\n", b"bbbb\n", b"cccc\n"):
        sink.write(text)
    kept = sink.lines
    sink.write(b"x" * 50 + b"\n")

    assert kept == [b"bbbb\n", b"cccc\n"]
    assert sink.lines == [b"x" * 50 + b"\n"]
    assert sink.statistics().queue_dropped == 3


def test_drain_takes_everything_out() -> None:
    """The bytes, and how many lines were dropped so far."""
    sink = MemorySink()
    sink.write(b"a\n")
    sink.write(b"b\n")

    assert sink.drain() == (b"a\nb\n", 0)
    assert sink.lines == []
    assert sink.statistics().written == 2


def test_lines_after_the_close_are_late() -> None:
    """They are counted, not kept."""
    sink = MemorySink()
    sink.flush()
    sink.close()
    sink.write(b"a\n")
    found = sink.statistics()

    assert sink.lines == []
    assert found.late == 1
    assert found.accepted == found.written + found.dropped + found.queued
