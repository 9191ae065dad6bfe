"""What one wide event of 20 fields costs its caller, against structlog, stdlib logging and EMF.

    python bench/records.py [--rounds N] [--records N] [--json]

Each variant builds the same 20-field record of a request and writes it to a file of its own, set
up as its documentation says. Variants are interleaved in each round; a figure is the median over
the rounds of the time on the calling thread, and ratios are taken within a round.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import enum
import json
import logging
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tachograph as tg
from tachograph.formats.json import FlatJson, mark_dropped
from tachograph.metrics import Destination, attach, detach
from tachograph.sinks import Period, QueueSink, RollingFile


class Operation(enum.Enum):
    GetItem = 1
    SetItem = 2


IN_FLIGHT = tg.Counter()


class Handler(tg.WideEvent, rename="PascalCase"):
    payload_bytes: int = tg.metric(0, unit=tg.Unit.BYTES)
    downstream_success: bool | None = None
    found: bool | None = None
    downstream_attempts: int | None = None
    downstream_duration = tg.stopwatch(unit=tg.Unit.MILLISECONDS)
    shard: int = 0
    cache: str = ""


class Request(tg.WideEvent, rename="PascalCase"):
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


ID = "6f1c2f4e-7a35-4b7e-9b1f-2c7a35b7e9b1"
TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


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


def _fields(started: int) -> dict[str, Any]:
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


def structlog_orjson(directory: Path) -> Callable[[], None]:
    """Structlog as its documentation sets it up for speed: orjson, bytes, filtered, cached."""
    import orjson
    import structlog

    structlog.configure(
        cache_logger_on_first_use=True,
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(serializer=orjson.dumps),
        ],
        logger_factory=structlog.BytesLoggerFactory(file=(directory / "structlog").open("ab")),
    )
    log = structlog.get_logger()

    def record() -> None:
        started = time.monotonic_ns()
        IN_FLIGHT.add(1)
        log.info("Request", **_fields(started))
        IN_FLIGHT.add(-1)

    return record


def stdlib_json(directory: Path) -> Callable[[], None]:
    """Stdlib logging with python-json-logger."""
    from pythonjsonlogger.json import JsonFormatter

    handler = logging.FileHandler(directory / "stdlib")
    handler.setFormatter(JsonFormatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    logger = logging.getLogger("bench.stdlib")
    logger.propagate = False
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)

    def record() -> None:
        started = time.monotonic_ns()
        IN_FLIGHT.add(1)
        logger.info("Request", extra=_fields(started))
        IN_FLIGHT.add(-1)

    return record


def embedded_metrics(directory: Path) -> Callable[[], None]:
    """aws-embedded-metrics: `metric_scope` around a handler, written to stdout, which is a file."""
    from aws_embedded_metrics import metric_scope
    from aws_embedded_metrics.config import get_config

    config = get_config()
    config.environment = "local"
    config.service_name = config.log_group_name = config.namespace = "bench"
    stdout = (directory / "emf").open("a")
    numbers = {
        "InFlight": "Count",
        "FirstByte": "Milliseconds",
        "PayloadBytes": "Bytes",
        "DownstreamAttempts": "Count",
        "DownstreamDuration": "Milliseconds",
        "Shard": "Count",
        "Duration": "Milliseconds",
    }

    @metric_scope
    async def handler(metrics: Any) -> None:
        started = time.monotonic_ns()
        for name, value in _fields(started).items():
            if name in numbers:
                metrics.put_metric(name, value, numbers[name])
            elif name == "Operation":
                metrics.set_dimensions({name: value})
            else:
                metrics.set_property(name, value)

    with contextlib.redirect_stdout(stdout):
        asyncio.run(handler())  # the first call looks for its environment

    def record() -> None:
        # Driven by hand, without a loop's costs: nothing in it really waits.
        sys.stdout, before = stdout, sys.stdout
        try:
            IN_FLIGHT.add(1)
            handler().send(None)
        except StopIteration:
            IN_FLIGHT.add(-1)
        finally:
            sys.stdout = before

    return record


def floor() -> None:
    """The same plain facts in a dict: what any record has to cost."""
    _fields(time.monotonic_ns())


def measure(record: Callable[[], None], records: int, settle: Callable[[], object]) -> float:
    """Return nanoseconds a record on the calling thread, the writer idle before and after."""
    settle()
    start = time.perf_counter_ns()
    for _ in range(records):
        record()
    elapsed = time.perf_counter_ns() - start
    settle()
    return elapsed / records


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
    target = RollingFile(directory, prefix="metrics.log", period=Period.MINUTE)
    sink = QueueSink(target, name="bench", mark_dropped=mark_dropped)
    attach([Destination(FlatJson({"service_name": "bench"}), sink)])
    variants: dict[str, Callable[[], None]] = {
        "tachograph": tachograph_record,
        "structlog + orjson": structlog_orjson(directory),
        "stdlib logging + JSON formatter": stdlib_json(directory),
        "aws-embedded-metrics": embedded_metrics(directory),
        "floor: the facts in a dict": floor,
    }
    times: dict[str, list[float]] = {name: [] for name in variants}
    for record in variants.values():
        measure(record, 200, sink.flush)
    for _ in range(options.rounds):
        for name, record in variants.items():
            times[name].append(measure(record, options.records, sink.flush))
    sink.flush()
    found = sink.statistics()
    detach()
    sink.close()
    ours = times["tachograph"]
    rows = {
        name: {
            "microseconds": round(statistics.median(values) / 1e3, 2),
            "ratio": round(statistics.median(v / o for v, o in zip(values, ours, strict=True)), 2),
        }
        for name, values in times.items()
    }
    if options.json:
        print(json.dumps({"variants": rows, "dropped": found.dropped, "python": sys.version}))
    else:
        print(f"CPython {platform.python_version()}, {os.cpu_count()} cores\n")
        print(f"{'20-field record, cost on the caller':<36}{'µs':>8}{'× tachograph':>15}")
        for name, row in rows.items():
            print(f"{name:<36}{row['microseconds']:>8.2f}{row['ratio']:>15.2f}")
        print(f"\n{found.accepted} lines accepted, {found.dropped} dropped")
    return 1 if found.dropped else 0


if __name__ == "__main__":
    sys.exit(main())
