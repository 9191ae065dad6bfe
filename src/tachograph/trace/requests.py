"""Requests as blocks: one event with many, a column for each fact about them.

A request costs ten bytes or so, and 16 more for an id that the process has not made itself.
`docs/format.md` draws the columns of `tacho:Requests`; readers see a `tacho:Request` for each.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from tachograph._base.ids import SERIES_BYTES, id_of, number_of, uuid_bytes, uuid_text
from tachograph.errors import TraceFormatError
from tachograph.trace.columns import numbers, put_leb, signed, zigzag
from tachograph.trace.events import EVENTS
from tachograph.trace.schema import Event, Field, FieldType, Schema

__all__ = ["END_SHIFT", "REQUEST", "REQUESTS", "Request", "pack_requests", "unpack_requests"]

REQUESTS = EVENTS["tacho:Requests"]

_TEXT, _INT = FieldType.STRING, FieldType.I64
REQUEST = Schema(
    "tacho:Request",
    (
        Field("request_id", _TEXT, True),
        Field("record", _TEXT, True),
        Field("operation", _TEXT, True),
        Field("start_ns", _INT, True),
        Field("duration_ns", _INT, True),
        Field("outcome", _TEXT, True),
        Field("status", _INT, True),
        Field("task_id", _INT, True),
    ),
)
"""How a reader sees one."""

_UUID_BYTES = 16
_NO_ID, _UUID_ID, _OF_SERIES, _TEXT_ID = range(4)
_TOP = 1 << 63

END_SHIFT = 5
"""Ends are cut to 32 ns, as steps are: durations are exact, starts lie at most so much before."""


class Request(NamedTuple):
    """A request that ended; its fields are those of `tacho:Request`, no number is negative."""

    request_id: str | None
    record: str | None
    operation: str | None
    start_ns: int
    duration_ns: int
    outcome: str | None
    status: int | None
    task_id: int | None

    @property
    def end_ns(self) -> int:
        """When it ended."""
        return self.start_ns + self.duration_ns


def pack_requests(requests: Sequence[Request], series: bytes = b"") -> tuple[Any, ...]:
    """Return the values of a `tacho:Requests`.

    Args:
        requests: At least one.
        series: Of the ids that the process makes; empty for none.
    """
    texts: dict[str, int] = {}
    shapes: dict[tuple[Any, ...], int] = {}
    ids, table = bytearray(), bytearray()
    columns = ends, spans, tasks, kinds = [bytearray() for _ in range(4)]
    base = end = requests[0].end_ns
    task = last = 0
    for request in requests:
        kind, last = _put_id(ids, request.request_id, series, last)
        shape = (request.record, request.operation, request.outcome, request.status, kind)
        number = shapes.get(shape)
        if number is None:
            number = shapes[shape] = len(shapes)
            for text in shape[:3]:
                put_leb(table, 0 if text is None else texts.setdefault(text, len(texts) + 1))
            put_leb(table, 0 if request.status is None else request.status + 1)
            put_leb(table, kind)
        known = 1 if request.task_id is None else request.task_id + 2
        put_leb(ends, zigzag((request.end_ns >> END_SHIFT) - (end >> END_SHIFT)))
        put_leb(spans, request.duration_ns)
        put_leb(tasks, zigzag(known - task))
        put_leb(kinds, number)
        end, task = request.end_ns, known
    return (
        len(requests),
        base >> END_SHIFT,
        series,
        *map(bytes, (ids, *columns, table)),
        _texts(texts),
    )


def _put_id(out: bytearray, text: str | None, series: bytes, last: int) -> tuple[int, int]:
    """Write an id; return what kind it is, and the number of the last one of the series."""
    if text is None:
        return _NO_ID, last
    raw = uuid_bytes(text)
    if raw is None:
        _put_text(out, text)
        return _TEXT_ID, last
    number = number_of(series, text) if series else None
    if number is None:
        out += raw
        return _UUID_ID, last
    put_leb(out, zigzag(number - last))
    return _OF_SERIES, number


def _put_text(out: bytearray, text: str) -> None:
    raw = text.encode(errors="replace")
    put_leb(out, len(raw))
    out += raw


def _texts(texts: Iterable[str]) -> bytes:
    out = bytearray()
    for text in texts:
        _put_text(out, text)
    return bytes(out)


def unpack_requests(event: Event) -> list[Request]:
    """Return the requests of a block.

    Raises:
        TraceFormatError: The columns do not fit each other.
    """
    count, base, series, ids, *columns, table, texts = event.values[: len(REQUESTS.fields)]
    if len(series) not in (0, SERIES_BYTES):
        raise TraceFormatError(f"Expected a series of 16 bytes, got {len(series)}.")
    ends, spans, tasks, kinds = (numbers(column, "a block of requests") for column in columns)
    if not {count} == {len(ends), len(spans), len(tasks), len(kinds)} or not count:
        raise TraceFormatError(f"Expected {count} entries in each column of a block of requests.")
    shapes = _read_shapes(table, [None, *_read_texts(texts)])
    try:
        whats = [shapes[kind] for kind in kinds]
    except IndexError:
        raise TraceFormatError("Expected the number of a shape in a block of requests.") from None
    known = _sums(0, map(signed, tasks))
    moments = [unit << END_SHIFT for unit in _sums(base, map(signed, ends))]
    texts_of_ids = _read_ids(ids, [what[4] for what in whats], series)
    rows = zip(texts_of_ids, whats, moments, spans, known, strict=True)
    found = [
        Request(text, a, b, max(0, end - span), span, c, status, task - 2 if task > 1 else None)
        for text, (a, b, c, status, _), end, span, task in rows
    ]
    if not all(0 <= r.start_ns < _TOP and r.duration_ns < _TOP for r in found):
        raise TraceFormatError("Expected times from 0 to 2^63 - 1 in a block of requests.")
    if not all(0 <= (r.task_id or 0) < _TOP and (r.status or 0) < _TOP for r in found):
        raise TraceFormatError("Expected numbers from 0 to 2^63 - 1 in a block of requests.")
    return found


def _read_shapes(table: bytes, words: list[str | None]) -> list[tuple[Any, ...]]:
    """Return record, operation, outcome, status and kind of id of each shape."""
    values = iter(numbers(table, "the shapes of requests"))
    try:
        found = [
            (words[a], words[b], words[c], status - 1 if status else None, kind)
            for a, b, c, status, kind in zip(*[values] * 5, strict=True)
        ]
    except IndexError:
        raise TraceFormatError("Expected the number of a text in a block of requests.") from None
    except ValueError:
        raise TraceFormatError("Expected five numbers for each shape of requests.") from None
    if not all(shape[4] in (_NO_ID, _UUID_ID, _OF_SERIES, _TEXT_ID) for shape in found):
        raise TraceFormatError("Expected a kind of id from 0 to 3 in a block of requests.")
    return found


def _sums(value: int, steps: Iterable[int]) -> list[int]:
    found = []
    for step in steps:
        value += step
        found.append(value)
    return found


def _take(data: bytes, at: int) -> tuple[int, int]:
    """Return the number that stands at a place, and the place behind it."""
    end = at
    while end < len(data) and data[end] > 0x7F:
        end += 1
    found = numbers(data[at : end + 1], "the lengths of texts")
    if not found:
        raise TraceFormatError("Expected a length in a block of requests, got its end.")
    return found[0], end + 1


def _read_texts(data: bytes) -> list[str]:
    found, at = [], 0
    while at < len(data):
        length, at = _take(data, at)
        found.append(_text(data, at, length))
        at += length
    return found


def _read_ids(data: bytes, kinds: Iterable[int], series: bytes) -> list[str | None]:
    found: list[str | None] = []
    at = last = 0
    for kind in kinds:
        match kind:
            case 0:
                found.append(None)
            case 1:
                found.append(_uuid(data[at : at + _UUID_BYTES]))
                at += _UUID_BYTES
            case 2:
                code, at = _take(data, at)
                last += signed(code)
                if not series or not 0 <= last < _TOP:
                    raise TraceFormatError("Expected the number of an id in a series, got none.")
                found.append(id_of(series, last))
            case _:
                length, at = _take(data, at)
                found.append(_text(data, at, length))
                at += length
    if at != len(data):
        raise TraceFormatError("Expected no more ids than requests in a block.")
    return found


def _uuid(raw: bytes) -> str:
    if len(raw) != _UUID_BYTES:
        raise TraceFormatError("Expected 16 bytes of an id in a block of requests, got less.")
    return uuid_text(raw)


def _text(data: bytes, at: int, length: int) -> str:
    if at + length > len(data):
        raise TraceFormatError(
            f"Expected a text of {length} bytes in a block of requests, got less."
        )
    return data[at : at + length].decode(errors="replace")
