"""An exception as plain data: type, message, frames, and what it came from."""

from __future__ import annotations

import traceback
from typing import Any

__all__ = ["described"]

_MAX_FRAMES = 50
_MAX_DEPTH = 8
_MAX_CHILDREN = 16


def described(error: BaseException) -> dict[str, Any]:
    """Return *error* as mappings, lists and text.

    Keys: `type` (qualified), `message`, `frames` (outermost first, the innermost 50; each `file`,
    `line`, `function`), and where there are any `notes`, `cause` or `context` (the exception it was
    raised from or while handling), `exceptions` of a group. Cycles end; at most 8 levels deep.
    """
    return _described(error, set(), _MAX_DEPTH)


def _described(error: BaseException, seen: set[int], depth: int) -> dict[str, Any]:
    seen.add(id(error))
    cls = type(error)
    name = cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}"
    found: dict[str, Any] = {"type": name, "message": _message(error)}
    frames = traceback.extract_tb(error.__traceback__)
    found["frames"] = [
        {"file": f.filename, "line": f.lineno, "function": f.name} for f in frames[-_MAX_FRAMES:]
    ]
    if len(frames) > _MAX_FRAMES:
        found["frames_omitted"] = len(frames) - _MAX_FRAMES
    if notes := getattr(error, "__notes__", None):
        found["notes"] = [str(note) for note in notes]
    if depth == 0:
        return found
    if isinstance(error, BaseExceptionGroup):
        children = error.exceptions[:_MAX_CHILDREN]
        found["exceptions"] = [_described(e, seen, depth - 1) for e in children if id(e) not in seen]
    cause, context = error.__cause__, error.__context__
    if cause is not None:
        if id(cause) not in seen:
            found["cause"] = _described(cause, seen, depth - 1)
    elif context is not None and not error.__suppress_context__ and id(context) not in seen:
        found["context"] = _described(context, seen, depth - 1)
    return found


def _message(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # noqa: BLE001 -- an exception that cannot be printed is still reported
        return f"<unprintable {type(error).__name__}>"
