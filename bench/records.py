"""What one wide event of 20 fields costs its caller, against other libraries and against orjson.

    python bench/records.py [--rounds N] [--records N] [--json]

Two figures. *Life*: a record is created, filled, timed and emitted, as users write it, each variant
to a file of its own (what each does on the calling thread is said in `peers.py`). Variants are
interleaved in each round; a figure is the median over the rounds, ratios are taken within a round.
*Close*: the end of the scope alone (close, encode, enqueue) against one `orjson.dumps` of an equal
dict that is ready, in turns, record by record; the clock's own cost is taken off both.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from peers import PEERS
from request import ID, IN_FLIGHT, SPAN, TRACE, Operation, fields

import tachograph as tg
from tachograph.formats.emf import Emf
from tachograph.formats.json import FlatJson
from tachograph.metrics import Destination, attach, detach
from tachograph.sinks import Period, QueueSink, RollingFile


class Handler(tg.WideEvent, rename="PascalCase"):
    payload_bytes: int = tg.metric(0, unit=tg.Unit.BYTES)
    downstream_success: bool | None = None
    found: bool | None = None
    downstream_attempts: int | None = None
    downstream_duration = tg.stopwatch(unit=tg.Unit.MILLISECONDS)
    shard: int = 0
    cache: str = ""


class Request(tg.WideEvent, rename="PascalCase", dimensions=[["Operation"]]):
    request_id: str
    operation: Operation
    method: str
    path: str
    trace_id: str
    span_id: str
    in_flight = tg.gauge(IN_FLIGHT)
    success: bool = False
    client_error: bool = False
    server_error: bool = False
    status_code: int = tg.metric(0, as_property=True)
    first_byte: float = tg.metric(0.0, unit=tg.Unit.MILLISECONDS)
    duration = tg.timer(unit=tg.Unit.MILLISECONDS)
    handler: Handler = tg.slot(flatten=True)


def tachograph_record() -> None:
    """A record with its timers, gauge and child, as a service uses it."""
    with Request(
        request_id=ID,
        operation=Operation.SetItem,
        method="PUT",
        path="/items/k",
        trace_id=TRACE,
        span_id=SPAN,
    ) as event:
        handler = Handler.current()
        handler.payload_bytes = 512
        handler.shard = 3
        handler.cache = "miss"
        with handler.downstream_duration:
            pass
        handler.downstream_success = True
        handler.found = True
        handler.downstream_attempts = 1
        event.first_byte = 1.25
        event.success = True
        event.status_code = 204


def floor() -> None:
    """The same plain facts in a dict: what any record has to cost."""
    fields(time.monotonic_ns())


class Ours:
    """Tachograph in one format; attached only while it is measured."""

    def __init__(self, directory: Path, format: Any, sampler: tg.Sampling | None = None) -> None:
        name = format.name if sampler is None else f"{format.name}-sampled"
        self.sink = QueueSink(RollingFile(directory, prefix=name, period=Period.MINUTE), name=name)
        self._destination = Destination(format, self.sink, sampler=sampler)

    def __enter__(self) -> None:
        attach([self._destination])

    def __exit__(self, *error: object) -> None:
        self.sink.flush()
        detach()


def measure(record: Callable[[], None], records: int) -> float:
    """Return nanoseconds a record on the calling thread."""
    for _ in range(50):
        record()
    start = time.perf_counter_ns()
    for _ in range(records):
        record()
    return (time.perf_counter_ns() - start) / records


def close_against_orjson(ours: Ours, records: int) -> tuple[float, float]:
    """Return nanoseconds of the end of a scope and of `orjson.dumps` of an equal dict."""
    import orjson

    now, dumps = time.perf_counter_ns, orjson.dumps
    head = {"timestamp": "2024-01-15T10:00:00.000000Z", "record": "Request"}
    ready = {**head, "service_name": "bench", **fields(time.monotonic_ns())}
    times: tuple[list[int], list[int], list[int]] = ([], [], [])
    with ours:
        for number in range(records):
            end = filled().__exit__
            start = now()
            end(None, None, None)
            times[0].append(now() - start)
            start = now()
            dumps(ready)
            times[1].append(now() - start)
            start = now()
            times[2].append(now() - start)
            if number % 4_000 == 0:
                ours.sink.flush()
    closing, dumping, clock = (statistics.median(t) for t in times)
    return closing - clock, dumping - clock


def filled() -> Request:
    """Return an open record with all its facts."""
    event = Request(
        request_id=ID,
        operation=Operation.SetItem,
        method="PUT",
        path="/items/k",
        trace_id=TRACE,
        span_id=SPAN,
    ).__enter__()
    handler = event.handler
    handler.payload_bytes, handler.shard, handler.cache = 512, 3, "miss"
    with handler.downstream_duration:
        pass
    handler.downstream_success = handler.found = True
    handler.downstream_attempts = 1
    event.first_byte, event.success, event.status_code = 1.25, True, 204
    return event


def main() -> int:
    """Run and print; return the exit code: 1 when a line was lost."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--records", type=int, default=2_000)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        return compare(Path(scratch), options)


def compare(directory: Path, options: argparse.Namespace) -> int:
    """Measure and print; return 1 when a line was lost."""
    everywhere = {"service_name": "bench"}
    config = tg.EmfConfig(namespaces=["bench"], globals=everywhere)
    keeping = tg.Sampling(1.0)  # each record is kept, so that its whole cost is seen
    own = {
        "tachograph": (flat := Ours(directory, FlatJson(everywhere))),
        "tachograph, EMF": Ours(directory, Emf(config)),
        "tachograph, sampled": Ours(directory, FlatJson(everywhere), keeping),
        "tachograph, EMF, sampled": Ours(directory, Emf(config), keeping),
    }
    others: dict[str, Callable[[], None]] = {}
    missing = []
    for name, make in PEERS.items():
        try:
            others[name] = make(directory)
        except ImportError as error:
            missing.append(f"{name} ({error.name} is not installed)")
    others["floor: the facts in a dict"] = floor
    times: dict[str, list[float]] = {name: [] for name in (*own, *others)}
    for _ in range(options.rounds):
        for name, ours in own.items():
            with ours:
                times[name].append(measure(tachograph_record, options.records))
        for name, record in others.items():
            times[name].append(measure(record, options.records))
    closing, dumping = close_against_orjson(flat, 20_000)
    lost = 0
    for ours in own.values():
        ours.sink.close()
        lost += ours.sink.statistics().dropped
    first = times["tachograph"]
    rows = {
        name: {
            "microseconds": round(statistics.median(values) / 1e3, 2),
            "ratio": round(statistics.median(v / o for v, o in zip(values, first, strict=True)), 2),
        }
        for name, values in times.items()
    }
    close = {
        "nanoseconds": round(closing),
        "orjson": round(dumping),
        "ratio": round(closing / dumping, 2),
    }
    if options.json:
        found = {"variants": rows, "close": close, "dropped": lost, "python": sys.version}
        print(json.dumps(found | {"missing": missing}))
        return 1 if lost else 0
    print(f"CPython {platform.python_version()}, {os.cpu_count()} cores\n")
    print(f"{'20-field record, cost on the caller':<36}{'µs':>8}{'× tachograph':>15}")
    for name, row in rows.items():
        print(f"{name:<36}{row['microseconds']:>8.2f}{row['ratio']:>15.2f}")
    print(
        f"\nclose, encode, enqueue: {closing:.0f} ns; orjson.dumps of an equal dict: "
        f"{dumping:.0f} ns; ratio {close['ratio']}"
    )
    for name in missing:
        print(f"left out: {name}")
    print(f"{lost} lines dropped")
    return 1 if lost else 0


if __name__ == "__main__":
    sys.exit(main())
