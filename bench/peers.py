"""The same 20-field record by other libraries, set up as their documentation says.

Each function returns what writes one record to a file of its own in *directory*. All are given the
facts of `request.fields`, measured by hand; what each writes on the calling thread:

    json, orjson, msgspec   dict to bytes, written to a buffered file; no time, no level, no bounds
    structlog + orjson      bytes logger on a buffered file, level and time stamp added
    stdlib + JSON           `logging.FileHandler` with python-json-logger
    loguru                  `serialize=True` to a file, synchronous as by default
    aws-embedded-metrics    `metric_scope` around a handler, EMF to a file
    Powertools              `Metrics` of the AWS Lambda toolkit, EMF to a file
    OpenTelemetry           a log record through a batch processor; the exporter discards
    prometheus-client       aggregates only: two counters, seven histograms by operation
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from request import IN_FLIGHT, NUMBERS, fields

__all__ = ["PEERS"]


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
        log.info("Request", **fields(started))
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
        logger.info("Request", extra=fields(started))
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

    @metric_scope
    async def handler(metrics: Any) -> None:
        started = time.monotonic_ns()
        for name, value in fields(started).items():
            if name in NUMBERS:
                metrics.put_metric(name, value, NUMBERS[name])
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


def json_file(directory: Path) -> Callable[[], None]:
    """`json.dumps` of a dict."""
    file = (directory / "json").open("ab")

    def record() -> None:
        started = time.monotonic_ns()
        IN_FLIGHT.add(1)
        file.write(json.dumps(fields(started)).encode() + b"\n")
        IN_FLIGHT.add(-1)

    return record


def orjson_file(directory: Path) -> Callable[[], None]:
    """`orjson.dumps` of a dict."""
    import orjson

    file = (directory / "orjson").open("ab")

    def record() -> None:
        started = time.monotonic_ns()
        IN_FLIGHT.add(1)
        file.write(orjson.dumps(fields(started), option=orjson.OPT_APPEND_NEWLINE))
        IN_FLIGHT.add(-1)

    return record


def msgspec_file(directory: Path) -> Callable[[], None]:
    """`msgspec.json` encoding a dict."""
    import msgspec

    file = (directory / "msgspec").open("ab")
    encoder = msgspec.json.Encoder()

    def record() -> None:
        started = time.monotonic_ns()
        IN_FLIGHT.add(1)
        file.write(encoder.encode(fields(started)) + b"\n")
        IN_FLIGHT.add(-1)

    return record


def loguru_file(directory: Path) -> Callable[[], None]:
    """Loguru with `serialize=True`."""
    from loguru import logger

    logger.remove()
    logger.add(directory / "loguru", serialize=True)

    def record() -> None:
        started = time.monotonic_ns()
        IN_FLIGHT.add(1)
        logger.bind(**fields(started)).info("Request")
        IN_FLIGHT.add(-1)

    return record


def powertools(directory: Path) -> Callable[[], None]:
    """AWS Lambda Powertools: metrics, a dimension and metadata, flushed once a record."""
    os.environ["POWERTOOLS_METRICS_NAMESPACE"] = "bench"
    os.environ["POWERTOOLS_SERVICE_NAME"] = "bench"
    from aws_lambda_powertools.metrics import Metrics, MetricUnit

    units = {name: MetricUnit(unit) for name, unit in NUMBERS.items()}
    stdout = (directory / "powertools").open("a")
    metrics = Metrics()

    @metrics.log_metrics
    def handler(event: Any, context: Any) -> None:
        started = time.monotonic_ns()
        for name, value in fields(started).items():
            if name in units:
                metrics.add_metric(name=name, unit=units[name], value=value)
            elif name == "Operation":
                metrics.add_dimension(name=name, value=value)
            else:
                metrics.add_metadata(key=name, value=value)

    def record() -> None:
        IN_FLIGHT.add(1)
        sys.stdout, before = stdout, sys.stdout
        try:
            handler({}, None)
        finally:
            sys.stdout = before
        IN_FLIGHT.add(-1)

    return record


def opentelemetry(directory: Path) -> Callable[[], None]:
    """OpenTelemetry's logs SDK, batched; what it exports goes nowhere."""
    from opentelemetry._logs import LogRecord, SeverityNumber
    from opentelemetry.sdk._logs import LoggerProvider
    from opentelemetry.sdk._logs.export import (
        BatchLogRecordProcessor,
        LogRecordExporter,
        LogRecordExportResult,
    )

    class Nowhere(LogRecordExporter):
        def export(self, batch: Any) -> Any:
            return LogRecordExportResult.SUCCESS

        def shutdown(self) -> None: ...

        def force_flush(self, timeout_millis: int = 0) -> bool:
            return True

    logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
    provider = LoggerProvider()
    provider.add_log_record_processor(BatchLogRecordProcessor(Nowhere()))
    logger = provider.get_logger("bench")

    def record() -> None:
        started = time.monotonic_ns()
        IN_FLIGHT.add(1)
        logger.emit(
            LogRecord(
                timestamp=time.time_ns(),
                severity_number=SeverityNumber.INFO,
                body="Request",
                attributes=fields(started),
            )
        )
        IN_FLIGHT.add(-1)

    return record


def prometheus(directory: Path) -> Callable[[], None]:
    """prometheus-client: it has no records, so this is what a service counts instead."""
    from prometheus_client import CollectorRegistry, Histogram
    from prometheus_client import Counter as PrometheusCounter

    registry = CollectorRegistry()
    labels = ["operation"]
    histograms = [
        (name, Histogram(name.lower(), name, labels, registry=registry)) for name in NUMBERS
    ]
    requests = PrometheusCounter("requests", "Requests", [*labels, "status"], registry=registry)
    found_ = PrometheusCounter("found", "Found", labels, registry=registry)

    def record() -> None:
        started = time.monotonic_ns()
        IN_FLIGHT.add(1)
        facts = fields(started)
        operation = facts["Operation"]
        for name, histogram in histograms:
            histogram.labels(operation).observe(facts[name])
        requests.labels(operation, facts["StatusCode"]).inc()
        if facts["Found"]:
            found_.labels(operation).inc()
        IN_FLIGHT.add(-1)

    return record


PEERS: dict[str, Callable[[Path], Callable[[], None]]] = {
    "json": json_file,
    "orjson": orjson_file,
    "msgspec": msgspec_file,
    "structlog + orjson": structlog_orjson,
    "stdlib logging + JSON formatter": stdlib_json,
    "loguru": loguru_file,
    "aws-embedded-metrics": embedded_metrics,
    "Powertools": powertools,
    "OpenTelemetry logs": opentelemetry,
    "prometheus-client": prometheus,
}
"""Each by the name that the table shows."""
