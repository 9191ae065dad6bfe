"""The request whose record every variant writes: its 20 facts, measured by hand."""

from __future__ import annotations

import enum
import time
from typing import Any

import tachograph as tg


class Operation(enum.Enum):
    GetItem = 1
    SetItem = 2


IN_FLIGHT = tg.Counter()


ID = "6f1c2f4e-7a35-4b7e-9b1f-2c7a35b7e9b1"
TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


def fields(started: int) -> dict[str, Any]:
    """Return what the others log: the same 20 fields, measured by hand."""
    downstream = time.monotonic_ns()
    downstream = time.monotonic_ns() - downstream
    return {
        "RequestId": ID,
        "Operation": Operation.SetItem.name,
        "Method": "PUT",
        "Path": "/items/k",
        "TraceId": TRACE,
        "SpanId": SPAN,
        "InFlight": IN_FLIGHT.value,
        "Success": True,
        "ClientError": False,
        "ServerError": False,
        "StatusCode": "204",
        "FirstByte": 1.25,
        "PayloadBytes": 512,
        "DownstreamSuccess": True,
        "Found": True,
        "DownstreamAttempts": 1,
        "DownstreamDuration": downstream / 1e6,
        "Shard": 3,
        "Cache": "miss",
        "Duration": (time.monotonic_ns() - started) / 1e6,
    }


NUMBERS = {
    "InFlight": "Count",
    "FirstByte": "Milliseconds",
    "PayloadBytes": "Bytes",
    "DownstreamAttempts": "Count",
    "DownstreamDuration": "Milliseconds",
    "Shard": "Count",
    "Duration": "Milliseconds",
}
"""Which of them are numbers, with their units."""
