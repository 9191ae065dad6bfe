"""Writing on the caller's thread."""

from __future__ import annotations

from tachograph.sinks import ImmediateSink


class Target:
    """Takes two bytes at a time; fails when told."""

    def __init__(self) -> None:
        self.data = b""
        self.flushed = 0
        self.closed = 0
        self.broken = False

    def write(self, block: bytes) -> int:
        if self.broken:
            raise OSError("broken")
        self.data += block[:2]
        return len(block[:2])

    def flush(self) -> None:
        self.flushed += 1

    def close(self) -> None:
        self.closed += 1


def test_a_line_is_written_and_flushed_at_once() -> None:
    """Short writes are continued."""
    target = Target()
    sink = ImmediateSink(target)
    sink.write(b"abcde\n")

    assert target.data == b"abcde\n"
    assert target.flushed == 1


def test_a_failure_is_counted_and_the_next_line_tried() -> None:
    """The lock survives; nothing raises."""
    target = Target()
    sink = ImmediateSink(target)
    target.broken = True
    sink.write(b"a\n")
    target.broken = False
    sink.write(b"b\n")
    sink.close()
    sink.close()
    sink.write(b"c\n")
    found = sink.statistics()

    assert target.data == b"b\n"
    assert (found.written, found.lost_to_io, found.late, found.io_errors) == (1, 1, 1, 1)
    assert target.closed == 1


def test_the_rest_of_a_cut_line_goes_before_the_next() -> None:
    """The next line is not glued to its start; while the rest does not go, the next is lost."""
    target = Target()
    turns = iter([3, -1, -1, 9, 9, 9])
    taken = bytearray()

    def write(block: bytes) -> int:
        turn = next(turns)
        if turn < 0:
            raise OSError("full")
        taken.extend(block[:turn])
        return len(block[:turn])

    target.write = write  # type: ignore[method-assign]
    sink = ImmediateSink(target)
    sink.write(b"first\n")
    held = sink.statistics()
    sink.write(b"lost\n")
    sink.write(b"third\n")
    found = sink.statistics()

    assert (held.queued, held.written, held.dropped) == (1, 0, 0)
    assert taken == b"first\nthird\n"
    assert (found.written, found.lost_to_io, found.queued, found.bytes_written) == (2, 1, 0, 12)
