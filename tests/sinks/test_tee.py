"""One line to several sinks."""

from __future__ import annotations

from tachograph.sinks import MemorySink, Tee


def test_each_sink_gets_each_line() -> None:
    """Statistics are sums; flush and close reach all."""
    first, second = MemorySink(), MemorySink(max_bytes=1)
    tee = Tee(first, second)
    tee.write(b"a\n")
    tee.write(b"b\n")

    assert first.lines == [b"a\n", b"b\n"]
    assert second.lines == [b"b\n"]
    assert tee.statistics().accepted == 4
    assert tee.statistics().dropped == 1
    assert tee.flush()
    assert tee.close()
    tee.write(b"c\n")
    assert tee.statistics().late == 2
