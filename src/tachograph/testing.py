"""For tests of services: what was emitted, what was logged, and a clock that a test moves.

    with capture_events() as events, capture_logs() as logs:
        client.get("/items/k")

    assert events.one(RequestMetrics).status_code == "200"

Captures see every task and thread started inside the block. Nothing needs to be configured.
"""

from __future__ import annotations

import contextlib
import difflib
import json
import threading
from collections.abc import Callable, Iterator, KeysView
from typing import Any, Self

from tachograph import logs as _logs
from tachograph._base.clock import clock
from tachograph.formats.json import FlatJson
from tachograph.formats.plan import Closed, RecordPlan
from tachograph.metrics import WideEvent
from tachograph.metrics.output import capture_into, set_strict

__all__ = [
    "CapturedEvent",
    "CapturedEvents",
    "FakeClock",
    "capture_events",
    "capture_logs",
    "strict",
]


class CapturedEvent:
    """One emitted record with plain values, as a reader of its line finds them.

    By emitted name it is a mapping (`event["RequestId"]`, absent ones raise `KeyError`); by the
    attribute it was declared with (`event.request_id`) an absent value is None. A field wins over
    a method of mappings: `event.items` is the field where the class declares one of that name.
    """

    def __init__(self, plan: RecordPlan, line: bytes) -> None:
        self._plan = plan
        self._values: dict[str, Any] = json.loads(line)

    @property
    def record(self) -> str:
        """The name of its class."""
        return self._plan.name

    def __getitem__(self, name: str) -> Any:
        try:
            return self._values[name]
        except KeyError:
            state = "is absent here" if name in self._plan.emitted_names else "is no field"
            msg = f"{name!r} {state}; {self.record} has {', '.join(self._values)}"
            raise KeyError(msg) from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __contains__(self, name: object) -> bool:
        return name in self._values

    def __len__(self) -> int:
        return len(self._values)

    def __eq__(self, other: object) -> bool:
        return self._values == (other._values if isinstance(other, CapturedEvent) else other)

    __hash__ = None  # type: ignore[assignment]  # as of any mapping

    def keys(self) -> KeysView[str]:
        """Return the emitted names, in the order of the line; `dict(event)` asks for them."""
        return self._values.keys()

    def __getattr__(self, attribute: str) -> Any:
        if attribute.startswith("_"):
            raise AttributeError(attribute)
        by_attribute = {f.attribute.rpartition(".")[2]: f.emitted for f in self._plan.fields}
        try:
            emitted = by_attribute[attribute]
        except KeyError:
            if attribute in ("get", "items", "values"):
                return getattr(self._values, attribute)
            near = difflib.get_close_matches(attribute, by_attribute, n=3)
            hint = f" Did you mean {' or '.join(near)}?" if near else ""
            msg = f"{self.record} emits no field declared as {attribute!r}.{hint}"
            raise AttributeError(msg) from None
        return self._values.get(emitted)

    def __repr__(self) -> str:
        return json.dumps(self._values)


class CapturedEvents:
    """The records emitted inside a `capture_events()` block, in order of emission."""

    def __init__(self) -> None:
        self._format = FlatJson()
        self._encoders: dict[RecordPlan, Callable[..., bytes]] = {}
        self._events: list[CapturedEvent] = []
        self._lock = threading.Lock()

    def add(self, closed: Closed) -> None:
        """Take one record; called by the emission, on any thread."""
        plan = closed.plan
        with self._lock:
            encode = self._encoders.get(plan)
            if encode is None:
                encode = self._encoders[plan] = self._format.encoder(plan)
            line = encode(closed.time_ns, closed.values, closed.notes)
            self._events.append(CapturedEvent(plan, line))

    def all(self, cls: type[WideEvent] | str | None = None) -> list[CapturedEvent]:
        """Return the records of *cls* (a class or its name), or all of them."""
        with self._lock:
            found = list(self._events)
        if cls is None:
            return found
        name = cls if isinstance(cls, str) else cls.__name__
        return [event for event in found if event.record == name]

    def one(self, cls: type[WideEvent] | str | None = None) -> CapturedEvent:
        """Return the only record of *cls*.

        Raises:
            AssertionError: There is none, or there are several; the message shows them.
        """
        found = self.all(cls)
        if len(found) == 1:
            return found[0]
        name = cls if isinstance(cls, str) else "record" if cls is None else cls.__name__
        listed = "".join(f"\n  {event.record} {event!r}" for event in self.all()) or " nothing"
        msg = f"expected one {name}, got {len(found)}. Emitted:{listed}"
        raise AssertionError(msg)

    @property
    def last(self) -> CapturedEvent:
        """The latest record.

        Raises:
            AssertionError: There is none.
        """
        found = self.all()
        if not found:
            msg = "expected at least one record, none was emitted"
            raise AssertionError(msg)
        return found[-1]

    def __len__(self) -> int:
        return len(self._events)

    def __iter__(self) -> Iterator[CapturedEvent]:
        return iter(self.all())


@contextlib.contextmanager
def capture_events() -> Iterator[CapturedEvents]:
    """Collect the records emitted inside the block instead of waiting for a destination.

    Tasks and threads started inside belong to it; a thread without a context belongs to the
    innermost block open in the process. Configured destinations still get their lines.
    """
    events = CapturedEvents()
    end = capture_into(events)
    try:
        yield events
    finally:
        end()


@contextlib.contextmanager
def capture_logs() -> Iterator[list[dict[str, Any]]]:
    """Collect log lines of the block as dictionaries: those that pass the levels in force.

    Every task and thread is seen, also those started before. A pipeline need not be configured.
    """
    lines: list[dict[str, Any]] = []
    observe = lines.append
    _logs.add_capture(observe)
    try:
        yield lines
    finally:
        _logs.remove_capture(observe)


@contextlib.contextmanager
def strict() -> Iterator[None]:
    """Raise where production counts and goes on.

    A write to an emitted record, or outside any scope, raises where it is made. A value that its
    record has to leave out raises at the end of the scope, once the rest is written: of the wrong
    type or unit, no number in a distribution, an extra key that is taken, a dimension without a
    value, a global that hides behind a field.
    """
    before = set_strict(True)
    try:
        yield
    finally:
        set_strict(before)


class FakeClock:
    """Replaces the clock of records, logs and files while its `with` block is open.

    Args:
        time_ns: Wall time at the start, nanoseconds since 1970; default 2024-01-15 10:00 UTC.
    """

    def __init__(self, time_ns: int = 1_705_312_800_000_000_000) -> None:
        self._time_ns = time_ns
        self._monotonic_ns = 1_000_000_000

    def advance(self, seconds: float) -> None:
        """Let *seconds* pass on both clocks."""
        amount = round(seconds * 1e9)
        self._time_ns += amount
        self._monotonic_ns += amount

    def set_time(self, time_ns: int) -> None:
        """Step the wall clock only, as an operator or NTP does; also backwards."""
        self._time_ns = time_ns

    def __enter__(self) -> Self:
        clock.replace(monotonic_ns=lambda: self._monotonic_ns, time_ns=lambda: self._time_ns)
        return self

    def __exit__(self, *exc: object) -> None:
        clock.reset()
