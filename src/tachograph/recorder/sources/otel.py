"""OpenTelemetry's spans in the recorder's traces.

    from tachograph.recorder.sources.otel import RecorderSpanProcessor

    provider.add_span_processor(RecorderSpanProcessor(names=["GET *"], attributes=["http.*"]))

Needs the extra `otel`; nothing else imports it. It exports nothing: what other processors do with a
span stays as it is.
"""

from __future__ import annotations

import logging
import time
import weakref
from collections.abc import Callable, Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Any

from tachograph._base.clock import clock
from tachograph._base.ratelimit import RateLimit
from tachograph.recorder.events import buffer
from tachograph.recorder.spans import (
    SPAN,
    current_number,
    field_text,
    new_number,
    others,
    running_task_id,
)

try:
    from opentelemetry import trace
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor
    from opentelemetry.sdk.trace import Span as SdkSpan
except ImportError as error:
    msg = "opentelemetry-sdk is not installed. Run `pip install 'tachograph[otel]'`."
    raise ImportError(msg) from error

__all__ = ["RecorderSpanProcessor"]

_logger = logging.getLogger("tachograph")


class _Told:
    """A span that is open: its number, or its parent's where the filter leaves it out."""

    __slots__ = ("__weakref__", "is_wanted", "number", "parent", "task_id")

    def __init__(
        self, number: int | None, parent: int | None, task_id: int | None, *, is_wanted: bool
    ) -> None:
        self.number = number
        self.parent = parent
        self.task_id = task_id
        self.is_wanted = is_wanted


class RecorderSpanProcessor(SpanProcessor):
    """Writes spans as `tacho:Span` while the recorder runs.

    The filter is asked when a span starts, with its name and the attributes that it has by then,
    for its children need to know whose they are: those of a span that is left out are told as
    children of the one around it. The recorder's own spans within OpenTelemetry's are their
    children too, and the other way round. Never raises.

    Args:
        names: Patterns; a span's name matches one of them.
        having: A pattern for each of these attributes; a span has them all, and each matches.
        only: Returns whether a span is wanted; asked last.
        attributes: Patterns of the attributes that are written, as texts.
    """

    def __init__(
        self,
        *,
        names: Iterable[str] = ("*",),
        having: Mapping[str, str] | None = None,
        only: Callable[[ReadableSpan], bool] | None = None,
        attributes: Iterable[str] = ("*",),
    ) -> None:
        self.failures = 0
        """Spans that were lost because the filter, or something of the span, raised."""
        self._names = tuple(names)
        self._having = dict(having or {})
        self._only = only
        self._attributes = tuple(attributes)
        # A span is known as an object while it is open, by its id when it ends.
        self._spans: weakref.WeakKeyDictionary[Any, _Told] = weakref.WeakKeyDictionary()
        self._by_id: weakref.WeakValueDictionary[int, _Told] = weakref.WeakValueDictionary()
        self._says = RateLimit(60)
        others.append(self._current)

    def on_start(self, span: SdkSpan, parent_context: Context | None = None) -> None:
        """Give the span its number."""
        if not buffer.is_open:
            return
        try:
            if parent_context is None:
                parent = current_number()
            else:
                told = self._spans.get(trace.get_current_span(parent_context))
                parent = None if told is None else told.number
            is_wanted = self._wants(span)
            number = new_number() if is_wanted else parent
            told = _Told(number, parent, running_task_id(), is_wanted=is_wanted)
            self._spans[span] = told
            self._by_id[_id_of(span)] = told
        except Exception as error:  # noqa: BLE001 -- a filter is the program's own code
            self._failed(error)

    def on_end(self, span: ReadableSpan) -> None:
        """Write the span."""
        told = self._by_id.pop(_id_of(span), None)
        if told is None or not told.is_wanted:
            return
        try:
            self._write(span, told)
        except Exception as error:  # noqa: BLE001 -- so are a span's attributes
            self._failed(error)

    def shutdown(self) -> None:
        """Be nobody's parent any more."""
        if self._current in others:
            others.remove(self._current)

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Return True: what was written is with the recorder."""
        return True

    def _wants(self, span: ReadableSpan) -> bool:
        if not any(fnmatchcase(span.name, pattern) for pattern in self._names):
            return False
        has = span.attributes or {}
        for name, pattern in self._having.items():
            if name not in has or not fnmatchcase(field_text(has[name]), pattern):
                return False
        return self._only is None or bool(self._only(span))

    def _write(self, span: ReadableSpan, told: _Told) -> None:
        ended_ns = span.end_time or 0
        # Its times are of another clock than ours; how long ago it ended is the same on both.
        since_ns = max(0, time.time_ns() - ended_ns)
        duration_ns = max(0, ended_ns - (span.start_time or ended_ns))
        fields = {
            name: field_text(value)
            for name, value in (span.attributes or {}).items()
            if any(fnmatchcase(name, pattern) for pattern in self._attributes)
        }
        context = span.context
        if context is not None:
            fields["otel.trace_id"] = trace.format_trace_id(context.trace_id)
            fields["otel.span_id"] = trace.format_span_id(context.span_id)
        task_id = running_task_id() if told.task_id is None else told.task_id
        values = (
            told.number,
            told.parent,
            task_id,
            span.name,
            duration_ns,
            _outcome(span),
            fields,
        )
        buffer.add(SPAN, values, clock.monotonic_ns() - since_ns)

    def _current(self) -> int | None:
        told = self._spans.get(trace.get_current_span())
        return None if told is None else told.number

    def _failed(self, error: Exception) -> None:
        self.failures += 1
        if self._says.allow():
            _logger.warning("A span of OpenTelemetry was not recorded: %r", error)


def _id_of(span: ReadableSpan) -> int:
    return 0 if span.context is None else span.context.span_id


def _outcome(span: ReadableSpan) -> str:
    """Return `Ok`, or the type of the exception, `Error` where it is not known."""
    if span.status.is_ok:
        return "Ok"
    for event in reversed(span.events):
        name = (event.attributes or {}).get("exception.type")
        if name:
            return str(name).rpartition(".")[2]
    return "Error"
