"""The columns of the compact profile: what one lane did, as differences to what it did before.

docs/format.md draws them. A column is a run of unsigned LEB128 numbers; a difference that may be
negative is zigzag-coded. Times are in units of `1 << shift` ns, cut before differences are formed,
so that no error adds up. The native core makes the same bytes from the same events.

`columns` writes and `rows` reads: both take and give whole columns, so that a native function can
stand in the place of each.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from itertools import accumulate, islice
from operator import add
from typing import cast

from tachograph.errors import TraceFormatError
from tachograph.trace.columns import differences, numbers, put_leb, signed

__all__ = ["MAX_SHIFT", "RAW_EVENT", "UNKNOWN", "chains_in", "columns", "rows"]

RAW_EVENT = struct.Struct("=QQQIIIBBH")
"""An event in a ring: t0, task, waker, duration, delay, name, type, flags, queue."""

UNKNOWN = -1
"""In a column that was read: not known. None holds a negative number otherwise."""

MAX_SHIFT = 20
"""The coarsest unit: a millisecond."""

STEP, SPAWN, PARK, CHECKPOINT = 1, 2, 3, 4
STEPS, PARKS, SPAWNS, CHECKPOINTS = range(4)
_TYPES = {STEP: STEPS, PARK: PARKS, SPAWN: SPAWNS, CHECKPOINT: CHECKPOINTS}
_WIDTHS = (5, 4, 3, 3)

LONG_DURATION, LONG_DELAY, CALLBACK, TIMER, EAGER, CONTINUED = 1, 2, 4, 8, 16, 32
RETURNED, RAISED, CANCELLED = 64, 128, 192

_KIND_SHIFT = 60
_NUMBER = (1 << _KIND_SHIFT) - 1
_MASK = 2**64 - 1
_UNKNOWN = _MASK
MOST_SHAPES = 127
"""How many shapes a block remembers: their numbers take one byte."""
_OF_STEP, _OF_SPAWN = 4, 3  # numbers of a shape

# ---------------------------------------------------------------------- writing


def _zigzag(to: int, before: int) -> int:
    difference = (to - before) & _MASK
    negative = difference >> 63
    return (difference << 1 & _MASK) ^ (_MASK if negative else 0)


def _span(value: int, flags: int, flag: int) -> int:
    return value << 10 if flags & flag else value


class _Writer:
    def __init__(self, width: int, base: int) -> None:
        self.columns = [bytearray() for _ in range(width)]
        self.count = 0
        self.base = self.time = self.queued = base
        self.task = self.group = self.cpu = self.waited = self.ready = 0
        self.shapes: list[tuple[int, ...]] = []
        self.known: dict[tuple[int, ...], int] = {}
        self.oldest = 0

    def shape(self, *numbers: int) -> None:
        """Write what an entry has in common with others, in the last two columns."""
        codes, literals = self.columns[-2:]
        code = self.known.get(numbers, 0)
        codes.append(code)
        if code:
            return
        for number in numbers:
            put_leb(literals, number)
        if len(self.shapes) < MOST_SHAPES:
            self.shapes.append(numbers)
            self.known[numbers] = len(self.shapes)
            return
        del self.known[self.shapes[self.oldest]]
        self.shapes[self.oldest] = numbers
        self.known[numbers] = self.oldest + 1
        self.oldest = (self.oldest + 1) % MOST_SHAPES

    def waker(self, waker: int) -> int:
        kind, number = waker >> _KIND_SHIFT, waker & _NUMBER
        if kind == 0:
            return _zigzag(number, self.task) << 3 & _MASK | 1 if number else 0
        if kind == 1:
            return _zigzag(number, self.group) << 3 & _MASK | 2
        return number << 3 & _MASK | 5 if kind == 4 else kind + 1

    def step(self, shift: int, event: tuple[int, ...]) -> None:
        start, task, waker, duration, delay, chain, _, flags, queue = event
        c = self.columns
        end = start + _span(duration, flags, LONG_DURATION) & _MASK
        t0, t1 = start >> shift, end >> shift
        put_leb(c[0], t0 - self.time & _MASK)
        put_leb(c[1], t1 - t0 & _MASK)
        self.time = t1
        kept = flags & ~(LONG_DURATION | LONG_DELAY)
        if kept & CALLBACK:
            which, self.group = _zigzag(task, self.group), task
        else:
            which, self.task = _zigzag(task, self.task), task
        by = 0
        if not kept & CONTINUED:
            queued = (start - min(start, _span(delay, flags, LONG_DELAY))) >> shift
            put_leb(c[2], _zigzag(queued, self.queued))
            self.queued = queued
            by = self.waker(waker)
        state = _zigzag(queue, max(0, self.ready - 1)) << 8 | kept
        self.ready = queue
        self.shape(which, by, state, 0 if kept & (CONTINUED | CALLBACK) else chain)

    def park(self, shift: int, event: tuple[int, ...]) -> None:
        start, _, _, duration, delay, _, _, flags, queue = event
        c = self.columns
        woke_ns = start + _span(duration, flags, LONG_DURATION) & _MASK
        t0, woke = start >> shift, woke_ns >> shift
        end = (woke_ns + _span(delay, flags, LONG_DELAY) & _MASK) >> shift
        put_leb(c[0], _zigzag(t0, self.time))
        put_leb(c[1], woke - t0 & _MASK)
        put_leb(c[2], end - woke & _MASK)
        put_leb(c[3], queue)
        self.time = end

    def spawn(self, shift: int, event: tuple[int, ...]) -> None:
        start, task, waker, _, _, name, _, flags, _ = event
        c = self.columns
        t0 = start >> shift
        put_leb(c[0], _zigzag(t0, self.time))
        which = _zigzag(task, self.task)
        self.time, self.task = t0, task
        what = name << 2 | (flags & EAGER and 1) | (flags & CONTINUED and 2)
        self.shape(which, self.waker(waker), what)

    def checkpoint(self, shift: int, event: tuple[int, ...]) -> None:
        start, cpu, waited = event[:3]
        c = self.columns
        put_leb(c[0], _zigzag(start >> shift, self.time))
        put_leb(c[1], _zigzag(cpu, self.cpu))
        put_leb(c[2], 0 if waited == _UNKNOWN else _zigzag(waited, self.waited) + 1)
        self.time, self.cpu = start >> shift, cpu
        if waited != _UNKNOWN:
            self.waited = waited


def columns(raw: bytes, shift: int) -> tuple[tuple[int | bytes, ...], ...]:
    """Return the columns of raw events: of steps, parks, spawns and checkpoints.

    Args:
        raw: Events as they stand in a ring.
        shift: Times are cut to `1 << shift` ns.

    Returns:
        For each of the four the number of entries, the time of the first, and the columns.
    """
    writers: list[_Writer | None] = [None] * 4
    puts = (_Writer.step, _Writer.park, _Writer.spawn, _Writer.checkpoint)
    for event in RAW_EVENT.iter_unpack(raw):
        which = _TYPES.get(event[6])
        if which is None:
            continue
        writer = writers[which]
        if writer is None:
            writer = writers[which] = _Writer(_WIDTHS[which], event[0] >> shift)
        writer.count += 1
        puts[which](writer, shift, event)
    return tuple(
        (0, 0, *(b"",) * width) if w is None else (w.count, w.base, *map(bytes, w.columns))
        for w, width in zip(writers, _WIDTHS, strict=True)
    )


def chains_in(raw: bytes) -> list[int]:
    """Return the numbers of the chains of awaits in raw events, in ascending order."""
    return sorted({e[5] for e in RAW_EVENT.iter_unpack(raw) if e[6] == STEP and e[5]})


# ---------------------------------------------------------------------- reading


def rows(which: int, block: tuple[int | bytes, ...], shift: int) -> tuple[list[int], ...]:
    """Return what `columns` has made a block of, as columns of times in ns and of ids.

    Args:
        which: The block's place in what `columns` returns.
        block: The number of entries, the time of the first, and the columns.
        shift: Times are in units of `1 << shift` ns.

    Returns:
        Of steps: start, duration, delay, task, waker, queue, flags, chain of awaits. Of parks:
        start, duration, wait for the GIL, files. Of spawns: time, task, waker, name, flags. Of
        checkpoints: time, CPU time, wait for a processor. What is not known is `UNKNOWN`.

    Raises:
        TraceFormatError: The columns do not fit each other, or hold what no time or id is.
    """
    count, base, *data = block
    assert isinstance(count, int)
    assert isinstance(base, int)
    if not 0 <= shift <= MAX_SHIFT:
        raise TraceFormatError(f"Expected units of at most 2^{MAX_SHIFT} ns, got 2^{shift}.")
    texts = cast(list[bytes], data)
    found = _READERS[which](count, base, shift, *texts)
    for values in found:
        if values and not UNKNOWN <= min(values) <= max(values) < 1 << 63:
            raise TraceFormatError("Expected times and ids from 0 to 2^63 - 1 in a block.")
    return found


def _count(values: list[int], count: int, what: str) -> list[int]:
    if len(values) != count:
        raise TraceFormatError(f"Expected {count} numbers in {what}, got {len(values)}.")
    return values


def _below_zero() -> TraceFormatError:
    return TraceFormatError("Expected times and ids from 0 in a block, got one below.")


def _steps(count: int, base: int, shift: int, *data: bytes) -> tuple[list[int], ...]:
    gaps = _count(numbers(data[0], "the starts of steps"), count, "the starts of steps")
    spans = _count(numbers(data[1], "the durations of steps"), count, "the durations of steps")
    queued = differences(data[2], "the wakes of steps")
    shapes = _shapes(data[3], data[4], count, _OF_STEP)
    # Modulo 2^64: a clock that was set back is written so.
    gaps = [gap - (1 << 64) if gap >> 63 else gap for gap in gaps]
    begins = list(map(add, accumulate(map(add, gaps, spans), initial=base), gaps))
    next_queued = accumulate(queued, initial=base)
    next(next_queued)
    delays, *others = _walk(begins, shapes, next_queued)
    if next(next_queued, None) is not None:
        raise TraceFormatError("Expected a wake of each step that was queued, got more.")
    if begins and min(begins) < 0:
        raise _below_zero()
    if shift:
        begins = [begin << shift for begin in begins]
        spans = [span << shift for span in spans]
        delays = [delay if delay == UNKNOWN else delay << shift for delay in delays]
    return begins, spans, delays, *others


def _shapes(codes: bytes, literals: bytes, count: int, width: int) -> list[tuple[int, ...]]:
    """Return the numbers of each entry's shape, *width* of them."""
    values = iter(numbers(literals, "the shapes of a block"))
    table: list[tuple[int, ...]] = []
    found = []
    oldest = 0
    for code in _count(numbers(codes, "the shapes of a block"), count, "the shapes of a block"):
        if code:
            if code > len(table):
                raise TraceFormatError(f"Expected one of {len(table)} shapes, got number {code}.")
            found.append(table[code - 1])
            continue
        shape = tuple(islice(values, width))
        if len(shape) != width:
            raise TraceFormatError(f"Expected {width} numbers for each shape of a block, got less.")
        found.append(shape)
        if len(table) < MOST_SHAPES:
            table.append(shape)
        else:
            table[oldest] = shape
            oldest = (oldest + 1) % MOST_SHAPES
    if next(values, None) is not None:
        raise TraceFormatError(f"Expected {width} numbers for each shape of a block, got more.")
    return found


def _walk(
    begins: list[int], shapes: list[tuple[int, ...]], queued: Iterator[int]
) -> tuple[list[int], ...]:
    """Return delays in units, tasks, wakers, queues, flags and chains of awaits."""
    found: tuple[list[int], ...] = ([], [], [], [], [], [])
    delays, tasks, wakers, queues, kinds, chains = found
    task = group = ready = 0
    for begin, (which, code, state, chain) in zip(begins, shapes, strict=True):
        flags = state & 0xFF
        ready = (ready - 1 if ready else 0) + signed(state >> 8)
        if flags & CALLBACK:
            group += signed(which)
        else:
            task += signed(which)
        tasks.append(group if flags & CALLBACK else task)
        queues.append(ready)
        kinds.append(flags)
        chains.append(0 if flags & (CONTINUED | CALLBACK) else chain)
        if flags & CONTINUED:
            delays.append(UNKNOWN)
            wakers.append(0)
            delay = 0
        else:
            moment = next(queued, None)
            if moment is None:
                raise TraceFormatError("Expected a wake of each step that was queued, got less.")
            delay = begin - moment
            wakers.append(_waker(code, task, group) if code else 0)
            delays.append(UNKNOWN if flags & EAGER or not (delay or code) else delay)
        if (task | group | ready | delay) < 0:
            raise _below_zero()
    return found


def _waker(code: int, task: int, group: int) -> int:
    kind, value = code & 7, code >> 3
    if kind == 1:
        return task + signed(value) & _NUMBER
    if kind == 2:
        return 1 << _KIND_SHIFT | group + signed(value) & _NUMBER
    if kind in (3, 4):
        return kind - 1 << _KIND_SHIFT
    if kind == 5:
        return 4 << _KIND_SHIFT | value & _NUMBER
    if code:
        raise TraceFormatError(f"Expected a waker of kind 0 to 5 in a block, got {kind}.")
    return 0


def _parks(count: int, base: int, shift: int, *data: bytes) -> tuple[list[int], ...]:
    gaps = _count(differences(data[0], "the starts of parks"), count, "the starts of parks")
    spans = _count(numbers(data[1], "the waits of parks"), count, "the waits of parks")
    # An empty column is not known of any park: it is never 0 for unknown.
    locks = _count(numbers(data[2], "the locks of parks"), count if data[2] else 0, "the locks")
    files = _count(numbers(data[3], "the files of parks"), count if data[3] else 0, "the files")
    lengths = map(add, spans, locks) if locks else spans
    begins = list(map(add, accumulate(map(add, gaps, lengths), initial=base), gaps))
    if begins and min(begins) < 0:
        raise _below_zero()
    unknown = [UNKNOWN] * count
    return (
        [begin << shift for begin in begins],
        [span << shift for span in spans],
        [lock << shift for lock in locks] if data[2] else unknown,
        files if data[3] else unknown,
    )


def _spawns(count: int, base: int, shift: int, *data: bytes) -> tuple[list[int], ...]:
    times = _sums(data[0], base, count, "the times of spawns")
    shapes = _shapes(data[1], data[2], count, _OF_SPAWN)
    tasks = list(accumulate(signed(which) for which, _, _ in shapes))
    if tasks and min(tasks) < 0:
        raise _below_zero()
    return (
        [time << shift for time in times],
        tasks,
        [_waker(code, task, 0) for (_, code, _), task in zip(shapes, tasks, strict=True)],
        [what >> 2 for _, _, what in shapes],
        [(EAGER if what & 1 else 0) | (CONTINUED if what & 2 else 0) for _, _, what in shapes],
    )


def _checkpoints(count: int, base: int, shift: int, *data: bytes) -> tuple[list[int], ...]:
    times = _sums(data[0], base, count, "the times of checkpoints")
    clocks = _sums(data[1], 0, count, "the clocks of checkpoints")
    waits: list[int] = []
    waited = 0
    for code in _count(numbers(data[2], "the waits of checkpoints"), count, "the waits"):
        if code:
            waited += signed(code - 1)
            if waited < 0:
                raise _below_zero()
        waits.append(waited if code else UNKNOWN)
    return [time << shift for time in times], clocks, waits


def _sums(data: bytes, first: int, count: int, what: str) -> list[int]:
    values = list(accumulate(_count(differences(data, what), count, what), initial=first))[1:]
    if values and min(values) < 0:
        raise _below_zero()
    return values


_READERS = (_steps, _parks, _spawns, _checkpoints)
