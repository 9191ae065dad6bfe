"""Requests as blocks: one event with many, a column for each fact about them.

A request costs its id, which nothing makes smaller, and ten bytes or so. `docs/format.md` draws the
columns of `tacho:Requests`; readers see a `tacho:Request` event for each.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from operator import sub
from typing import Any, NamedTuple

from tachograph.errors import TraceFormatError
from tachograph.trace.columns import differences, lebs, numbers
from tachograph.trace.events import EVENTS
from tachograph.trace.schema import Event, Field, FieldType, Schema

__all__ = ["REQUEST", "REQUESTS", "Request", "pack_requests", "unpack_requests"]

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

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_UUID_BYTES = 16
_TOP = 1 << 63


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


def pack_requests(
    requests: Sequence[Request], put: Callable[[Iterable[int]], bytes] = lebs
) -> tuple[Any, ...]:
    """Return the values of a `tacho:Requests`.

    Args:
        requests: At least one.
        put: Writes a column of numbers; for a native one.
    """
    ids, records, operations, starts, spans, outcomes, statuses, tasks = zip(*requests, strict=True)
    texts: dict[str, int] = {}

    def number(text: str | None) -> int:
        return 0 if text is None else texts.setdefault(text, len(texts) + 1)

    ends = list(map(sum, zip(starts, spans, strict=True)))
    base = ends[0]
    known = [1 if task is None else task + 2 for task in tasks]
    columns = (
        _ids(ids),
        put(map(_zigzag, map(sub, ends, [base, *ends]))),
        put(spans),
        put(map(_zigzag, map(sub, known, [0, *known]))),
        put(map(number, records)),
        put(map(number, operations)),
        put(map(number, outcomes)),
        put(0 if status is None else status + 1 for status in statuses),
    )
    return len(requests), base, *columns, _texts(texts)


def _zigzag(difference: int) -> int:
    return difference << 1 if difference >= 0 else ~(difference << 1)


def _ids(ids: Iterable[str | None]) -> bytes:
    out = bytearray()
    for text in ids:
        if text is None:
            out.append(0)
        elif _UUID.fullmatch(text):
            out.append(1)
            out += bytes.fromhex(text.replace("-", ""))
        else:
            raw = text.encode(errors="replace")
            out += lebs((len(raw) + 2,)) + raw
    return bytes(out)


def _texts(texts: Iterable[str]) -> bytes:
    out = bytearray()
    for text in texts:
        raw = text.encode(errors="replace")
        out += lebs((len(raw),)) + raw
    return bytes(out)


def unpack_requests(event: Event) -> list[Request]:
    """Return the requests of a block.

    Raises:
        TraceFormatError: The columns do not fit each other.
    """
    count, base, ids, *columns, texts = event.values[: len(REQUESTS.fields)]
    ends, spans, tasks, *others = columns
    if not 0 < count <= len(ids):  # each has a byte there: no size is made that was only declared
        raise TraceFormatError(
            f"Expected {count} requests in a block, got {len(ids)} bytes of ids."
        )
    words: list[str | None] = [None, *_read_texts(texts)]
    try:
        records, operations, outcomes = (
            [words[n] for n in numbers(column, "the texts of requests")] for column in others[:3]
        )
    except IndexError:
        raise TraceFormatError("Expected the number of a text in a block of requests.") from None
    statuses = [n - 1 if n else None for n in numbers(others[3], "the statuses of requests")]
    known = _sums(0, differences(tasks, "the tasks of requests"))
    moments = _sums(base, differences(ends, "the ends of requests"))
    lengths = numbers(spans, "the durations of requests")
    rows = (
        _read_ids(ids),
        records,
        operations,
        list(map(sub, moments, lengths)),
        lengths,
        outcomes,
        statuses,
        [n - 2 if n > 1 else None for n in known],
    )
    if {count} != set(map(len, rows)) or len(moments) != len(lengths):
        raise TraceFormatError(f"Expected {count} entries in each column of a block of requests.")
    found = list(map(Request._make, zip(*rows, strict=True)))
    if not all(0 <= r.start_ns < _TOP and r.duration_ns < _TOP for r in found):
        raise TraceFormatError("Expected times from 0 to 2^63 - 1 in a block of requests.")
    if not all(0 <= (r.task_id or 0) < _TOP and (r.status or 0) < _TOP for r in found):
        raise TraceFormatError("Expected numbers from 0 to 2^63 - 1 in a block of requests.")
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


def _read_ids(data: bytes) -> list[str | None]:
    found: list[str | None] = []
    at = 0
    while at < len(data):
        kind, at = _take(data, at)
        if kind == 0:
            found.append(None)
            continue
        length = _UUID_BYTES if kind == 1 else kind - 2
        text = _text(data, at, length) if kind != 1 else _uuid(data[at : at + length])
        found.append(text)
        at += length
    return found


def _uuid(raw: bytes) -> str:
    if len(raw) != _UUID_BYTES:
        raise TraceFormatError("Expected 16 bytes of an id in a block of requests, got less.")
    text = raw.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def _text(data: bytes, at: int, length: int) -> str:
    if at + length > len(data):
        raise TraceFormatError(
            f"Expected a text of {length} bytes in a block of requests, got less."
        )
    return data[at : at + length].decode(errors="replace")
