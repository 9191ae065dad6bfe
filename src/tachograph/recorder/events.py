"""Events of the program's own: a typed function that records its arguments.

    @recorder.event
    def cache_miss(shard: int, key: str) -> None: "A lookup that went to the store."

    cache_miss(shard=3, key="k")

Any thread may call it. What is recorded waits in a bounded buffer for the drain; when that is full
the newest go, counted.
"""

from __future__ import annotations

import inspect
import types
import typing
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

from tachograph._base.clock import clock
from tachograph._base.compile import compile_functions
from tachograph.errors import DeclarationError
from tachograph.trace.schema import Schema

__all__ = ["EventBuffer", "EventKind", "Recorded", "buffer", "event"]

_F = TypeVar("_F", bound=Callable[..., None])
_TYPES = {int: "int", float: "float", bool: "bool", str: "str", bytes: "bytes"}
_MOST = 65_536


@dataclass(frozen=True, slots=True, eq=False)
class EventKind:
    """A kind of event; compared by identity, for a name stands for one list of fields.

    Attributes:
        name: On the wire.
        fields: Name, type (`int float bool str bytes`) and whether it may be None.
        doc: What it means.
        schema: How it stands on the wire where that is fixed; its values fit as they are.
    """

    name: str
    fields: tuple[tuple[str, str, bool], ...]
    doc: str = ""
    schema: Schema | None = None

    @classmethod
    def builtin(cls, schema: Schema) -> EventKind:
        """Return the kind of the recorder's own events that stand so on the wire."""
        return cls(schema.name, (), schema=schema)


class Recorded(NamedTuple):
    """One event: its kind, when it was, and the values of its fields in their order."""

    kind: EventKind
    time_ns: int
    values: tuple[Any, ...]


class EventBuffer:
    """Events that wait for the drain; any thread adds, one takes."""

    def __init__(self) -> None:
        self.is_open = False
        """Whether events are recorded."""
        self.dropped = 0
        """Events that found no room."""
        self._waiting: deque[Recorded] = deque()

    def add(self, kind: EventKind, values: tuple[Any, ...], time_ns: int | None = None) -> None:
        """Record an event that was now, or at *time_ns* of the monotonic clock."""
        if not self.is_open:
            return
        if len(self._waiting) >= _MOST:
            self.dropped += 1
            return
        when = clock.monotonic_ns() if time_ns is None else time_ns
        self._waiting.append(Recorded(kind, when, values))

    def __len__(self) -> int:
        """How many wait."""
        return len(self._waiting)

    def take(self, most: int) -> list[Recorded]:
        """Return the oldest that wait, *most* of them, and forget them."""
        waiting = self._waiting
        return [waiting.popleft() for _ in range(min(most, len(waiting)))]

    def clear(self) -> None:
        """Begin anew."""
        self._waiting.clear()
        self.dropped = 0
        self.is_open = False


buffer = EventBuffer()
"""The process's own."""

_declared: dict[str, tuple[tuple[str, str, bool], ...]] = {}


def event(function: _F) -> _F:
    """Make a function record its arguments as an event, named `module.function`.

    Its parameters are annotated `int`, `float`, `bool`, `str` or `bytes`, each or None. What is
    returned has the same signature, does nothing while the recorder is off, and never raises for
    what it is given: a value of another type becomes the nearest that the field can hold, and is
    left out if there is none. Texts are cut at 16,384 characters.

    Raises:
        DeclarationError: A parameter is not annotated so, or another event has this name and
            other fields.
    """
    name = f"{function.__module__}.{function.__qualname__}".replace(".<locals>", "")
    problems: list[str] = []
    fields = []
    try:
        hints = typing.get_type_hints(function)
    except Exception as error:
        msg = f"event {name}: cannot resolve its annotations: {error}."
        raise DeclarationError(msg) from error
    for parameter in inspect.signature(function).parameters.values():
        kind = _kind_of(hints.get(parameter.name))
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            problems.append(f"`{parameter}`: an event has a fixed number of fields.")
        elif kind is None:
            problems.append(
                f"`{parameter}`: expected an annotation of int, float, bool, str or bytes, "
                "or one of them | None."
            )
        else:
            fields.append((parameter.name, *kind))
    code = getattr(function, "__code__", None)
    if code is None or code.co_flags & (inspect.CO_GENERATOR | inspect.CO_COROUTINE):
        problems.append("expected a plain function, whose body is not run.")
    if not problems and _declared.setdefault(name, tuple(fields)) != tuple(fields):
        problems.append("another event of this name has other fields.")
    if problems:
        raise DeclarationError("\n".join(f"event {name}: {problem}" for problem in problems))
    made = EventKind(name, tuple(fields), inspect.getdoc(function) or "")
    return _recording(function, made)


def _kind_of(annotation: Any) -> tuple[str, bool] | None:
    if annotation in _TYPES:
        return _TYPES[annotation], False
    if typing.get_origin(annotation) in (types.UnionType, typing.Union):
        kinds = [arg for arg in typing.get_args(annotation) if arg is not types.NoneType]
        if len(kinds) == 1 and kinds[0] in _TYPES:
            return _TYPES[kinds[0]], True
    return None


def _recording(function: _F, kind: EventKind) -> _F:
    signature = inspect.signature(function)
    taken = set(signature.parameters)
    own, its_kind = _unused("buffer", taken), _unused("kind", taken)
    names: dict[str, object] = {own: buffer, its_kind: kind}
    parameters = []
    before = None
    for parameter in signature.parameters.values():
        if before is parameter.POSITIONAL_ONLY and parameter.kind is not before:
            parameters.append("/")
        if parameter.kind is parameter.KEYWORD_ONLY and before is not parameter.kind:
            parameters.append("*")
        before = parameter.kind
        text = parameter.name
        if parameter.default is not parameter.empty:
            default = _unused(f"default_{parameter.name}", taken)
            names[default] = parameter.default
            text += f"={default}"
        parameters.append(text)
    if before is inspect.Parameter.POSITIONAL_ONLY:
        parameters.append("/")
    values = "".join(f"{name}, " for name, *_ in kind.fields)
    source = (
        f"def record({', '.join(parameters)}):\n"
        f"    if {own}.is_open:\n"
        f"        {own}.add({its_kind}, ({values}))\n"
    )
    recording: Any = compile_functions(source, names, label=f"event {kind.name}")["record"]
    for name in ("__module__", "__name__", "__qualname__", "__doc__", "__annotations__"):
        setattr(recording, name, getattr(function, name))
    recording.__signature__ = signature
    recording.__wrapped__ = function
    return typing.cast("_F", recording)


def _unused(name: str, taken: set[str]) -> str:
    """Return a name like *name* that is no parameter's."""
    while name in taken:
        name += "_"
    return name
