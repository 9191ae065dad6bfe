"""What watches a process or its loop, each started as its documentation says, by one interface.

`sees` says what of a step a tool tells: `each` step, `totals` of functions, only `slow` ones, those
of `named` coroutines, or `samples` of where the process was. What a peer writes at its end is not
counted against it; what the recorder writes is.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

__all__ = ["TOOLS", "Tachograph", "Tool"]

T = TypeVar("T")


class Tool:
    """Nothing that watches: the plain loop."""

    name = "plain loop"
    sees = ""
    module = ""
    """What must be importable for it."""
    debug = False
    writes = False
    """Whether what it does after the load is counted: encoding, files, compression."""

    def __init__(self, options: dict[str, Any]) -> None:
        self.options = options

    def start(self) -> None:
        """Begin, before there is a loop."""

    def in_loop(self) -> None:
        """Begin, within the task that runs the program."""

    def stop(self) -> None:
        """End."""

    def counts(self) -> dict[str, Any]:
        """Return what it counted."""
        return {}

    def run(self, program: Coroutine[Any, Any, T], loop: str) -> T:
        """Run *program* on a new loop."""
        if loop == "uvloop":
            import uvloop

            return uvloop.run(program, debug=self.debug)
        return asyncio.run(program, debug=self.debug)

    @classmethod
    def before(cls, directory: str) -> list[str]:  # noqa: ARG003 -- of those that write
        """Return the command that is to start the process, with what it writes in *directory*."""
        return []


class Tachograph(Tool):
    """The whole recorder: hooks, drain, encoding, files, compression."""

    name = "tachograph"
    sees = "each"
    writes = True

    recording: Any = None

    def config(self) -> Any:
        """Return how to record: with segments of 20 s, a third of what is usual.

        `sources` among the settings are the names of those that are on, for the usual ones.
        """
        from tachograph import recorder

        settings = {"rotation_s": 20.0, **self.options.get("settings", {})}
        if (names := settings.pop("sources", None)) is not None:
            on = dict.fromkeys(names, True)
            settings["sources"] = replace(recorder.SourcesConfig.none(), **on)
        return recorder.RecorderConfig(directory=Path(self.options["directory"]), **settings)

    def start(self) -> None:
        from tachograph import recorder

        self.recording = recorder.start(self.config())

    def stop(self) -> None:
        assert self.recording.close(60)

    def counts(self) -> dict[str, Any]:
        return self.recording.statistics()


class Debug(Tool):
    """Asyncio's debug mode: times each step, logs those of 100 ms and more."""

    name = "asyncio debug mode"
    sees = "slow"
    debug = True


class VizTracer(Tool):
    """Viztracer with `log_async`, a ring of a million entries."""

    name = module = "viztracer"
    sees = "each"

    def start(self) -> None:
        import viztracer

        self.tracer = viztracer.VizTracer(log_async=True, verbose=0)
        self.tracer.start()

    def stop(self) -> None:
        self.tracer.stop()


class Yappi(Tool):
    """Yappi on the wall clock, which is what coroutines need."""

    name = module = "yappi"
    sees = "totals"

    def start(self) -> None:
        import yappi

        yappi.set_clock_type("wall")
        yappi.start()

    def stop(self) -> None:
        import yappi

        yappi.stop()


class CProfile(Tool):
    """The standard library's profiler."""

    name = "cProfile"
    sees = "totals"

    def start(self) -> None:
        import cProfile

        self.profile = cProfile.Profile()
        self.profile.enable()

    def stop(self) -> None:
        self.profile.disable()


class PySpy(Tool):
    """Py-spy, which starts the process and reads it from outside; its own CPU is not counted."""

    name = "py-spy"
    module = "py_spy"
    sees = "samples"

    @classmethod
    def before(cls, directory: str) -> list[str]:
        where = os.environ["PY_SPY"]
        kind = ["--format", "raw", "--output", f"{directory}/py-spy"]
        return [where, "record", "--rate", "100", *kind, "--"]


class PyInstrument(Tool):
    """Pyinstrument in async mode, a sample each millisecond as by default."""

    name = module = "pyinstrument"
    sees = "samples"

    def in_loop(self) -> None:
        import pyinstrument

        self.profiler = pyinstrument.Profiler(async_mode="enabled")
        self.profiler.start()

    def stop(self) -> None:
        with contextlib.suppress(RuntimeError):  # of another task than began it
            self.profiler.stop()


class OpenTelemetry(Tool):
    """OpenTelemetry's asyncio instrumentation: two coroutines and futures; spans go nowhere."""

    name = "OTel asyncio instrumentation"
    module = "opentelemetry.instrumentation.asyncio"
    sees = "named"

    def start(self) -> None:
        os.environ["OTEL_PYTHON_ASYNCIO_COROUTINE_NAMES_TO_TRACE"] = "part,turn"
        os.environ["OTEL_PYTHON_ASYNCIO_FUTURE_TRACE_ENABLED"] = "true"
        from opentelemetry import trace
        from opentelemetry.instrumentation.asyncio import AsyncioInstrumentor
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import (
            BatchSpanProcessor,
            SpanExporter,
            SpanExportResult,
        )

        class Nowhere(SpanExporter):
            def export(self, spans: Any) -> SpanExportResult:
                return SpanExportResult.SUCCESS

        provider = TracerProvider()
        provider.add_span_processor(BatchSpanProcessor(Nowhere()))
        trace.set_tracer_provider(provider)
        AsyncioInstrumentor().instrument()


class DDTrace(Tool):
    """ddtrace's profiler alone: CPU, wall, locks, memory; it finds no agent to send to."""

    name = "ddtrace profiler"
    module = "ddtrace"
    sees = "samples"

    def start(self) -> None:
        for name in ("TRACE_ENABLED", "INSTRUMENTATION_TELEMETRY_ENABLED",
                     "REMOTE_CONFIGURATION_ENABLED"):  # fmt: skip
            os.environ[f"DD_{name}"] = "false"
        # Nobody listens there: what it sends stays here.
        os.environ["DD_TRACE_AGENT_URL"] = "http://127.0.0.1:9"
        from ddtrace.profiling import Profiler

        self.profiler = Profiler()
        self.profiler.start()

    def stop(self) -> None:
        self.profiler.stop(flush=False)


TOOLS: dict[str, type[Tool]] = {
    tool.name: tool
    for tool in (
        Tool, Tachograph, Debug, VizTracer, Yappi, CProfile, PySpy, PyInstrument, OpenTelemetry,
        DDTrace,
    )
}  # fmt: skip
"""Each by the name that the table shows."""
