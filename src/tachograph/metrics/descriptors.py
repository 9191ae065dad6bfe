"""What stands on the class for an instrument: it makes the instrument when it is first touched."""

from __future__ import annotations

import functools
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Self

from tachograph._base.clock import clock
from tachograph._base.compile import compile_functions
from tachograph._core import native
from tachograph.metrics.fields import (
    GaugeSpec,
    InstrumentSpec,
    LatestSpec,
    ManySpec,
    OutcomeSpec,
    StopwatchSpec,
    TimerSpec,
)
from tachograph.metrics.instruments import Counter, Outcome, Stopwatch, Timer

__all__ = ["descriptor_of"]


class _Field:
    """A read-only attribute whose state lives in a hidden slot of the record."""

    __slots__ = ("_name", "_state")

    def __init__(self, name: str, state: str) -> None:
        self._name = name
        self._state = state

    def __set__(self, record: Any, value: object) -> None:
        msg = (
            f"`{type(record).__name__}.{self._name}` measures itself and cannot be assigned; "
            "see its methods."
        )
        raise AttributeError(msg)


class _TimerField(_Field):
    __slots__ = ()

    def __get__(self, record: Any, owner: type) -> Timer | Self:
        if record is None:
            return self
        timer: Timer | None = getattr(record, self._state)
        if timer is None:
            timer = Timer(record._started_ns or clock.monotonic_ns())  # noqa: SLF001
            setattr(record, self._state, timer)
        return timer


class _GaugeField(_Field):
    __slots__ = ("_counter",)

    def __init__(self, name: str, state: str, counter: Counter) -> None:
        super().__init__(name, state)
        self._counter = counter

    def __get__(self, record: Any, owner: type) -> int | Self:
        return self if record is None else self._counter.value


class _LatestField(_Field):
    __slots__ = ("_board",)

    def __init__(self, name: str, state: str, board: Any) -> None:
        super().__init__(name, state)
        self._board = board

    def __get__(self, record: Any, owner: type) -> Any:
        return self if record is None else self._board.sample()


class _OutcomeField(_Field):
    __slots__ = ()

    def __get__(self, record: Any, owner: type) -> Outcome | Self | None:
        if record is None:
            return self
        outcome: Outcome | None = getattr(record, self._state)
        return outcome

    def __set__(self, record: Any, value: object) -> None:
        setattr(record, self._state, value)


class _TimestampField(_Field):
    __slots__ = ()

    def __get__(self, record: Any, owner: type) -> datetime | Self:
        if record is None:
            return self
        return datetime.fromtimestamp(record._time_ns / 1e9, UTC)  # noqa: SLF001


def _made(name: str, state: str, make: Callable[[], Any]) -> property:
    """Return a property that makes the instrument when it is first touched.

    Generated for the one slot: handlers touch it twice a request, and this is the cheapest way.
    """
    source = (
        f"def {name}(record):\n"
        f"    instrument = record.{state}\n"
        "    if instrument is None:\n"
        f"        instrument = record.{state} = make()\n"
        "    return instrument\n"
    )
    functions = compile_functions(source, {"make": make}, label=f"{name} field")
    refuse = _Field(name, state).__set__
    return property(functions[name], refuse)


def descriptor_of(name: str, state: str, spec: InstrumentSpec) -> Any:
    """Return the descriptor for an instrument of the class, named *name*, kept in *state*."""
    if native is not None and isinstance(spec, TimerSpec | StopwatchSpec):
        refuse = _Field(name, state).__set__
        return native.Instrument(state, refuse, isinstance(spec, TimerSpec))
    match spec:
        case TimerSpec():
            return _TimerField(name, state)
        case StopwatchSpec():
            return _made(name, state, Stopwatch)
        case ManySpec(make=make, unit=unit):
            return _made(name, state, functools.partial(make, unit))
        case GaugeSpec(counter=Counter() as counter):
            return _GaugeField(name, state, counter)
        case LatestSpec(record=record):
            return _LatestField(name, state, record.__latest__)
        case OutcomeSpec():
            return _OutcomeField(name, state)
        case _:
            return _TimestampField(name, state)
