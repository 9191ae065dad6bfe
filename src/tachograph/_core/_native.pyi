from collections.abc import Callable, Sequence
from contextvars import ContextVar
from types import TracebackType
from typing import Any, Self

# A class that is called through its plan: its constructor, scope and `current()` are native.
class Record:
    _state: int
    _started_ns: int
    _time_ns: int
    _more: Any
    @property
    def _token(self) -> Any: ...
    @property
    def _outer(self) -> Any: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> None: ...
    def _pause(self) -> None: ...
    def _resume(self) -> None: ...

class Plan:
    # init, finish: the class's own, for whatever is unusual.
    # inert: what `current()` returns outside any scope.
    # done: what an emitted record's class becomes.
    # items: for each slot (argument or None, offset, 0 required / 1 default / 2 factory / 3 child,
    #   the child's node, default or factory).
    # nodes: the children from number 1 on, parents first: (parent's number, offset in it, class,
    #   done class, items).
    # gauges: counters that are raised while a record is open.
    # sources: for each emitted field (READ_..., node, offset, object).
    # direct: whether a scope may end without Python.
    def __init__(
        self,
        init: Callable[..., None],
        finish: Callable[..., None],
        inert: Any,
        done: type,
        items: tuple[tuple[str | None, int, int, int, Any], ...],
        nodes: tuple[tuple[int, int, type, type, tuple[Any, ...]], ...],
        gauges: tuple[Any, ...],
        sources: tuple[tuple[int, int, int, Any], ...],
        direct: bool,
    ) -> None: ...
    def current(self) -> Any: ...
    def set_route(self, encoder: LineEncoder, lines: Lines, /) -> None: ...

class Instrument:
    offset: int
    def __init__(
        self, state: str, refuse: Callable[[Any, object], None], is_timer: bool
    ) -> None: ...

# Twins of the classes of metrics/instruments.py and sinks/lines.py, which describe them.
class Counter: ...
class Stopwatch: ...
class Span: ...
class Timer: ...

class Lines:
    def __init__(self, max_lines: int, max_bytes: int, attend: Callable[[], None]) -> None: ...

class Batch: ...

class LineEncoder:
    # head: UTF-8 that stands after the timestamp, from its closing quote to the last global.
    # fields: for each field (key, kind, optional, labels, writer, unit_ns): `,"Name":` in UTF-8;
    #   one of the kinds below; whether it may be None; for enums ((member, text), ...), else None;
    #   the function from a value to its text, for what is not written natively; for durations the
    #   nanoseconds in their unit, else 1.
    # careful: takes over when anything is unusual.
    # limit: the longest line that certainly holds nothing that is too long.
    # emf: instead of flat JSON: the start of each namespace's directive; each field's definition,
    #   empty for what is none; the fields' numbers in the order of the line, metrics first; how
    #   many those are; the globals; what stands before the time; the fields that are dimensions.
    def __init__(
        self,
        head: bytes,
        fields: Sequence[
            tuple[bytes, int, bool, tuple[tuple[Any, bytes], ...] | None, Callable[[Any], str], int]
        ],
        careful: Callable[..., bytes],
        limit: int,
        emf: tuple[
            tuple[bytes, ...],
            tuple[bytes, ...],
            tuple[int, ...],
            int,
            bytes,
            bytes,
            tuple[int, ...],
        ]
        | None = None,
    ) -> None: ...
    def __call__(self, time_ns: int, values: tuple[Any, ...], notes: object, /) -> bytes: ...

def bind(first: type | ContextVar[Any], second: Any, /) -> None: ...
def offset_of(cls: type, attribute: str, /) -> int: ...
def set_clock(clock: Any, /) -> None: ...
def forget_routes() -> None: ...
def write_ready(descriptor: int, block: bytes, wait_ms: int, /) -> int: ...
def emitted() -> int: ...
def id_of(series: bytes, number: int, /) -> str: ...
def number_of(series: bytes, text: str, /) -> int | None: ...
def on_late(callback: Callable[[str], None], /) -> None: ...

OTHER: int
STR: int
BOOL: int
INT: int
INT_TEXT: int
FLOAT: int
DURATION: int
BIT: int
ENUM: int
