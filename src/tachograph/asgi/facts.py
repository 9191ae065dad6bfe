"""Which facts of a request a record class takes, by the names of its fields."""

from __future__ import annotations

import enum
import re
from collections.abc import Callable
from typing import Any

from tachograph._base.clock import clock
from tachograph.asgi.log_context import raw_path
from tachograph.asgi.state import KEY, ErrorKind, State
from tachograph.asgi.types import Scope
from tachograph.errors import DeclarationError
from tachograph.metrics import Outcome, Timer, WideEvent
from tachograph.metrics.fields import MISSING, MetricSpec, OutcomeSpec, TimerSpec
from tachograph.recorder.events import buffer
from tachograph.recorder.requests import note_request, place

__all__ = ["Facts"]

_TRACEPARENT = re.compile(rb"[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}(-.*)?")
_NO_IDS = (None, None)
_KIND_OF_STATUS = {
    408: ErrorKind.Timeout,
    429: ErrorKind.RateLimited,
    502: ErrorKind.Downstream,
    503: ErrorKind.Downstream,
    504: ErrorKind.Downstream,
}
_AT_START = (
    "request_id",
    "operation",
    "method",
    "path",
    "trace_id",
    "span_id",
    "task_id",
    "trace_segment",
)


class Facts:
    """Makes the record of a request and fills what its class declares; leaves out the rest.

    Args:
        record: The record class.
        classify: From a scope to the operation.

    Raises:
        DeclarationError: The class has fields that nobody would fill; the message lists them.
    """

    def __init__(
        self, record: type[WideEvent], classify: Callable[[Scope], enum.Enum] | None
    ) -> None:
        specs = {field.attribute: field.spec for field in record.__wide_event__.declared}
        plain = {name for name, spec in specs.items() if isinstance(spec, MetricSpec)}
        self._record = record
        self._classify = classify if "operation" in plain else None
        self._starts = [n for n in _AT_START if n in plain and (n != "operation" or classify)]
        self._traced = bool({"trace_id", "span_id"} & plain)
        self._has = plain.__contains__
        self._outcome = isinstance(specs.get("outcome"), OutcomeSpec)
        self._timed = isinstance(specs.get("duration"), TimerSpec)
        self._plain = plain
        problems = _unfilled(specs, self._starts)
        self._kinds: dict[ErrorKind, Any] = {}
        if "error_kind" in plain:
            self._kinds = _kinds(record, problems)
        if problems:
            listed = "\n  ".join(problems)
            msg = f"{record.__name__} cannot be the record of a request:\n  {listed}"
            raise DeclarationError(msg)

    def begin(self, scope: Scope) -> Any:
        """Return a new record of the request, not yet opened."""
        trace_id, span_id = _traceparent(scope) if self._traced else _NO_IDS
        state: State = scope[KEY]
        if buffer.is_open:
            state.task_id, state.trace_segment = place()
        values: dict[str, Any] = {}
        for name in self._starts:
            match name:
                case "request_id":
                    values[name] = state.request_id
                case "method":
                    values[name] = scope["method"]
                case "path":
                    values[name] = raw_path(scope)
                case "operation":
                    assert self._classify is not None
                    values[name] = self._classify(scope)
                case "trace_id":
                    values[name] = trace_id
                case "span_id":
                    values[name] = span_id
                case "task_id":
                    values[name] = state.task_id
                case _:
                    values[name] = state.trace_segment
        return self._record(**values)

    def head_sent(self, record: Any, status: int) -> None:
        """Note the status and the time to the first byte."""
        has = self._has
        if has("status_code"):
            record.status_code = status
        if has("success"):
            record.success = status < 500
        if has("client_error"):
            record.client_error = 400 <= status < 500
        if has("server_error"):
            record.server_error = status >= 500
        if has("first_byte"):
            started_ns = record._started_ns  # noqa: SLF001 -- of the same package
            record.first_byte = (clock.monotonic_ns() - started_ns) / 1e6

    def body_sent(self, record: Any) -> None:
        """Note that the last byte was handed to the server."""
        if self._timed:
            timer: Timer = record.duration
            timer.stop()

    def end(self, record: Any, state: State) -> None:
        """Note how it ended, before the record closes."""
        if buffer.is_open:
            self._tell_recorder(record, state)
        if self._kinds and record.error_kind is None:
            kind = state.error_kind or _kind_of(state.status)
            if kind is not None:
                record.error_kind = self._kinds[kind]
        if state.disconnected:
            if self._outcome:
                record.outcome = Outcome.CANCELLED
        elif state.error is not None:
            if self._outcome and record.outcome is None:
                record.outcome = Outcome.ERROR
            if self._has("error_type") and record.error_type is None:
                cls = type(state.error)
                module = "" if cls.__module__ == "builtins" else f"{cls.__module__}."
                record.error_type = f"{module}{cls.__qualname__}"

    def _tell_recorder(self, record: Any, state: State) -> None:
        """Put the request into the trace; its duration is the record's own, to the nanosecond."""
        started_ns = record._started_ns  # noqa: SLF001 -- of the same package
        elapsed_ns = clock.monotonic_ns() - started_ns
        duration_ns = record.duration.stop() if self._timed else elapsed_ns
        operation = record.operation if self._has("operation") else None
        error = state.error
        outcome = "Ok" if error is None else "Error"
        note_request(
            state.request_id,
            self._record.__name__,
            None if operation is None else operation.name,
            started_ns,
            duration_ns,
            "Cancelled" if state.disconnected else outcome,
            state.status or None,
            state.task_id,
        )


def _unfilled(specs: dict[str, Any], starts: list[str]) -> list[str]:
    problems = []
    for name, spec in specs.items():
        required = (
            isinstance(spec, MetricSpec)
            and spec.default is MISSING
            and spec.default_factory is None
        )
        if not required or name in starts:
            continue
        if name == "operation":
            problems.append("operation: nobody tells it. Give `Options(classify=...)`.")
        else:
            problems.append(f"{name}: has no default, and no middleware fills it. Give it one.")
    return problems


def _kinds(record: type[WideEvent], problems: list[str]) -> dict[ErrorKind, Any]:
    """Return the member of the declared enum for each kind, by name."""
    plan = next(f for f in record.__wide_event__.fields if f.attribute == "error_kind")
    if plan.labels is None or not plan.optional:
        problems.append("error_kind: expected `ErrorKind | None = None`.")
        return {}
    declared = {member.name: member for member in plan.labels}
    missing = [kind.name for kind in ErrorKind if kind.name not in declared]
    if missing:
        problems.append(f"error_kind: its enum lacks {', '.join(missing)}.")
        return {}
    return {kind: declared[kind.name] for kind in ErrorKind}


def _kind_of(status: int) -> ErrorKind | None:
    if status < 400:
        return None
    default = ErrorKind.InvalidRequest if status < 500 else ErrorKind.Internal
    return _KIND_OF_STATUS.get(status, default)


def _traceparent(scope: Scope) -> tuple[str | None, str | None]:
    """Return trace and span id of the W3C header; nothing if there is none or it is malformed."""
    for name, value in scope["headers"]:
        if name == b"traceparent":
            found = _TRACEPARENT.fullmatch(value)
            if found is None or value[:2] == b"ff":
                return _NO_IDS
            trace, span = found[1], found[2]
            if not trace.strip(b"0") or not span.strip(b"0"):
                return _NO_IDS
            return trace.decode(), span.decode()
    return _NO_IDS
