"""Requests that ended, until they are written: the native log where it is there, or its twin."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from tachograph._core import loop
from tachograph.trace.requests import Request, pack_requests

__all__ = ["RequestLog", "request_log"]

_MOST = 65_536
_TOP = 2**63


class TwinLog:
    """A bounded queue of requests; when it is full, those that come are dropped and counted.

    Args:
        most: Requests that it holds.
    """

    def __init__(self, most: int) -> None:
        if most < 1:
            msg = f"expected room for 1 or more requests, got {most}"
            raise ValueError(msg)
        self.dropped = 0
        self._most = most
        self._rows: deque[Request] = deque()

    def add(self, *values: Any) -> None:
        """Keep a request: the fields of `Request` in their order.

        What is neither a text nor a number from 0 to 2^63 - 1 where one is expected counts as
        None. A request without times is dropped.

        Raises:
            TypeError: There are not eight.
        """
        if len(values) != len(Request._fields):
            msg = f"add: expected 8 arguments, got {len(values)}"
            raise TypeError(msg)
        row = Request(*values)
        start, span = _number(row.start_ns), _number(row.duration_ns)
        is_timed = start is not None and span is not None and start + span < _TOP
        if not is_timed or len(self._rows) >= self._most:
            self.dropped += 1
            return
        task = _number(row.task_id)
        self._rows.append(
            Request(
                request_id=_text(row.request_id),
                record=_text(row.record),
                operation=_text(row.operation),
                start_ns=row.start_ns,
                duration_ns=row.duration_ns,
                outcome=_text(row.outcome),
                status=_number(row.status),
                task_id=task if task is None or task < _TOP - 2 else None,
            )
        )

    def take(self, most: int, series: bytes) -> tuple[Any, ...] | None:
        """Return the oldest as the values of a block, and forget them; None if there are none.

        Args:
            most: How many.
            series: Of the ids that this process makes; empty for none.
        """
        if most < 1 or len(series) not in (0, 16):
            msg = (
                "take: expected 1 or more requests and a series of 0 or 16 bytes, "
                f"got {most} and {len(series)}"
            )
            raise ValueError(msg)
        rows = [self._rows.popleft() for _ in range(min(most, len(self._rows)))]
        return pack_requests(rows, series) if rows else None

    def clear(self) -> None:
        """Forget all, and what was dropped."""
        self._rows.clear()
        self.dropped = 0

    def __len__(self) -> int:
        """How many wait."""
        return len(self._rows)


def _text(value: object) -> str | None:
    # As it is: a subclass may compare and hash as it likes.
    return str.__str__(value) if isinstance(value, str) else None


def _number(value: object) -> int | None:
    return value if isinstance(value, int) and 0 <= value < _TOP else None


if TYPE_CHECKING:
    from tachograph._core._loop import RequestLog
elif loop is None:
    RequestLog = TwinLog
else:
    RequestLog = loop.RequestLog

request_log = RequestLog(_MOST)
"""The process's own."""
