"""An exception as data: type, message, frames, and the exceptions behind it.

    {"type":"orders.StoreError","message":"no answer",
     "frames":[{"file":..,"line":41,"function":..}],
     "notes":[..],"cause":{..},"context":{..},"exceptions":[..],"omitted":{"frames":7}}

`cause` is what `raise ... from` names, `context` what was being handled otherwise; a group has its
children in `exceptions`. The innermost frame comes last, as in a traceback. Everything is bounded,
what is left out is counted in `omitted`. No exception is described twice, so a cycle ends.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from tachograph.formats.text import quote
from tachograph.logs.record import printable

__all__ = ["exception_text", "qualified_name"]

MAX_BYTES = 32_768
"""Longest text of an exception in a line, in bytes."""


@dataclass(frozen=True, slots=True)
class _Limits:
    """How much of an exception is described; `frames` is for one of them, `all_frames` for all."""

    exceptions: int
    frames: int
    all_frames: int
    children: int
    notes: int
    text: int


# The first is generous for what people write; the others are for what does not fit even so.
_STEPS = (
    _Limits(exceptions=16, frames=32, all_frames=128, children=8, notes=8, text=2_048),
    _Limits(exceptions=4, frames=8, all_frames=16, children=4, notes=1, text=256),
    _Limits(exceptions=1, frames=0, all_frames=0, children=0, notes=0, text=256),
)


def exception_text(error: BaseException) -> str:
    """Return *error* as a JSON object of at most 32 KiB."""
    text = ""
    for limits in _STEPS:
        text = _json(_Description(limits).of(error))
        if len(text.encode()) <= MAX_BYTES:
            break
    return text


def qualified_name(cls: type) -> str:
    """Return `module.Class`, without the module for builtins."""
    module: object = getattr(cls, "__module__", None)
    name = cls.__qualname__
    return name if module == "builtins" or not isinstance(module, str) else f"{module}.{name}"


class _Description:
    """One pass over an exception and those behind it, counting down what it may still write."""

    def __init__(self, limits: _Limits) -> None:
        self._limits = limits
        self._exceptions = limits.exceptions
        self._frames = limits.all_frames
        self._seen: set[int] = set()

    def of(self, error: BaseException) -> dict[str, Any]:
        self._seen.add(id(error))
        self._exceptions -= 1
        limit = self._limits.text
        found: dict[str, Any] = {
            "type": qualified_name(type(error))[:limit],
            "message": printable(error)[:limit],
        }
        omitted: dict[str, int] = {}
        self._add_frames(error.__traceback__, found, omitted)
        self._add_notes(error, found, omitted)
        self._add_origin(error, found, omitted)
        if isinstance(error, BaseExceptionGroup):
            self._add_children(error.exceptions, found, omitted)
        if omitted:
            found["omitted"] = omitted
        return found

    def _add_frames(
        self, tb: TracebackType | None, found: dict[str, Any], omitted: dict[str, int]
    ) -> None:
        """Add a quarter of the frames from the outside, the others from where it was raised."""
        limit = min(self._limits.frames, self._frames)
        outer: list[dict[str, Any]] = []
        inner: deque[TracebackType] = deque(maxlen=limit - limit // 4)
        count = 0
        while tb is not None:
            if count < limit // 4:
                outer.append(self._frame(tb))
            else:
                inner.append(tb)
            count += 1
            tb = tb.tb_next
        frames = found["frames"] = [*outer, *map(self._frame, inner)]
        self._frames -= len(frames)
        if len(frames) < count:
            omitted["frames"] = count - len(frames)

    def _frame(self, tb: TracebackType) -> dict[str, Any]:
        code, limit = tb.tb_frame.f_code, self._limits.text
        return {
            "file": code.co_filename[-limit:],
            "line": tb.tb_lineno,
            "function": code.co_qualname[-limit:],
        }

    def _add_notes(
        self, error: BaseException, found: dict[str, Any], omitted: dict[str, int]
    ) -> None:
        notes = getattr(error, "__notes__", None)
        if not isinstance(notes, list | tuple) or not notes:
            return
        limits = self._limits
        found["notes"] = [printable(note)[: limits.text] for note in notes[: limits.notes]]
        if len(notes) > limits.notes:
            omitted["notes"] = len(notes) - limits.notes

    def _add_origin(
        self, error: BaseException, found: dict[str, Any], omitted: dict[str, int]
    ) -> None:
        name, origin = "cause", error.__cause__
        if origin is None and not error.__suppress_context__:
            name, origin = "context", error.__context__
        if origin is None:
            return
        if self._may_describe(origin):
            found[name] = self.of(origin)
        else:
            omitted[name] = 1

    def _add_children(
        self, children: tuple[BaseException, ...], found: dict[str, Any], omitted: dict[str, int]
    ) -> None:
        limit = self._limits.children
        described = [self.of(child) for child in children[:limit] if self._may_describe(child)]
        found["exceptions"] = described
        if len(described) < len(children):
            omitted["exceptions"] = len(children) - len(described)

    def _may_describe(self, error: BaseException) -> bool:
        return self._exceptions > 0 and id(error) not in self._seen


def _json(value: Any) -> str:
    """Write what `_Description` makes: dicts, lists, texts, whole numbers and None."""
    if isinstance(value, str):
        return quote(value)
    if isinstance(value, dict):
        return "{" + ",".join(f'"{key}":{_json(item)}' for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_json, value)) + "]"
    return "null" if value is None else str(value)
