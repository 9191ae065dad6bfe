"""What one wide event of 20 fields costs its caller, against structlog, stdlib logging and EMF.

    python bench/records.py [--rounds N] [--records N] [--json]

Each variant builds the same 20-field record of a request and hands its line to the same kind of
writer (for tachograph its queue sink over /dev/null; for the others an in-process stream, which is
the cheapest they can have). Variants are interleaved in each round; a figure is the median over the
rounds of the time on the calling thread, and ratios are taken within a round.
"""

from __future__ import annotations

import argparse
import asyncio
import enum
import json
import logging
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import tachograph as tg
from tachograph.formats.json import FlatJson, mark_dropped
from tachograph.metrics import Destination, attach, detach
from tachograph.sinks import QueueSink, StreamTarget


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


class _Bytes:
    """The cheapest stream: it counts."""

    def __init__(self) -> None:
        self.count = 0

    def write(self, data: bytes | str) -> int:
        self.count += 1
        return len(data)

    def flush(self) -> None:
        """Nothing waits."""


def structlog_orjson() -> Callable[[], None]:
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
        logger_factory=structlog.BytesLoggerFactory(file=_Bytes()),  # type: ignore[arg-type]
    )
    log = structlog.get_logger()

    def record() -> None:
        started = time.monotonic_ns()
        IN_FLIGHT.add(1)
        log.info("Request", **_fields(started))
        IN_FLIGHT.add(-1)

    return record


def stdlib_json() -> Callable[[], None]:
    """Stdlib logging with python-json-logger."""
    from pythonjsonlogger.json import JsonFormatter

    handler = logging.StreamHandler(_Bytes())
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


def embedded_metrics() -> Callable[[], None]:
    """aws-embedded-metrics: a logger a request, flushed into a sink that counts."""
    from aws_embedded_metrics import config
    from aws_embedded_metrics.environment.local_environment import LocalEnvironment
    from aws_embedded_metrics.logger.metrics_context import MetricsContext
    from aws_embedded_metrics.logger.metrics_logger import MetricsLogger
    from aws_embedded_metrics.serializers.log_serializer import LogSerializer
    from aws_embedded_metrics.sinks import Sink

    config.get_config().service_name = "bench"

    class CountingSink(Sink):
        count = 0

        def accept(self, context: Any) -> None:
            for _ in LogSerializer.serialize(context):
                CountingSink.count += 1

        @staticmethod
        def name() -> str:
            return "counting"

    class Environment(LocalEnvironment):
        def get_sink(self) -> Any:
            return sink

    sink = CountingSink()
    environment = Environment()

    async def found() -> Any:
        return environment

    numbers = {
        "InFlight": "Count",
        "FirstByte": "Milliseconds",
        "PayloadBytes": "Bytes",
        "DownstreamAttempts": "Count",
        "DownstreamDuration": "Milliseconds",
        "Shard": "Count",
        "Duration": "Milliseconds",
    }

    async def flushed() -> None:
        started = time.monotonic_ns()
        IN_FLIGHT.add(1)
        logger = MetricsLogger(found, MetricsContext().empty())
        for name, value in _fields(started).items():
            if name in numbers:
                logger.put_metric(name, value, numbers[name])
            else:
                logger.set_property(name, value)
        await logger.flush()
        IN_FLIGHT.add(-1)

    def record() -> None:
        # As in a coroutine, without a loop's costs: nothing in it really waits.
        try:
            flushed().send(None)
        except StopIteration:
            return

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
    descriptor = os.open(os.devnull, os.O_WRONLY)
    sink = QueueSink(StreamTarget(descriptor), name="bench", mark_dropped=mark_dropped)
    attach([Destination(FlatJson({"service_name": "bench"}), sink)])
    variants: dict[str, Callable[[], None]] = {
        "tachograph": tachograph_record,
        "structlog + orjson": structlog_orjson(),
        "stdlib logging + JSON formatter": stdlib_json(),
        "aws-embedded-metrics": embedded_metrics(),
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
        build = "optimised" if "--enable-optimizations" in _configured() else "not optimised"
        print(f"CPython {platform.python_version()} ({build}), {os.cpu_count()} cores\n")
        print(f"{'20-field record, cost on the caller':<36}{'µs':>8}{'× tachograph':>15}")
        for name, row in rows.items():
            print(f"{name:<36}{row['microseconds']:>8.2f}{row['ratio']:>15.2f}")
        print(f"\n{found.accepted} lines accepted, {found.dropped} dropped")
    return 1 if found.dropped else 0


def _configured() -> str:
    import sysconfig

    return str(sysconfig.get_config_var("CONFIG_ARGS") or "")


if __name__ == "__main__":
    asyncio.set_event_loop_policy(None)
    sys.exit(main())
