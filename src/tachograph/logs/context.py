"""Fields that every log line of a request carries, kept in one context variable.

The mapping is never changed, only replaced, so a task's additions are not seen by its siblings.
Tasks and `asyncio.to_thread` inherit it; `run_in_executor` does not copy the context.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from contextvars import ContextVar, Token
from types import MappingProxyType
from typing import Any

__all__ = ["bind_context", "context", "current_context", "reset_context"]

_EMPTY: Mapping[str, Any] = MappingProxyType({})
_context: ContextVar[Mapping[str, Any]] = ContextVar("tachograph_log_context", default=_EMPTY)


def bind_context(**fields: Any) -> Token[Mapping[str, Any]]:
    """Add *fields* to every line logged from here on in this context.

    Returns:
        What `reset_context` needs to take them away again.
    """
    return _context.set({**_context.get(), **fields})


def reset_context(token: Token[Mapping[str, Any]]) -> None:
    """Go back to the fields before the `bind_context` that returned *token*.

    In another context than that one it has nothing to undo and does nothing.
    """
    with contextlib.suppress(ValueError):
        _context.reset(token)


def current_context() -> Mapping[str, Any]:
    """Return the fields in force here; read-only."""
    return MappingProxyType(dict(_context.get()))


@contextlib.contextmanager
def context(**fields: Any) -> Iterator[None]:
    """Add *fields* to every line logged inside the block."""
    token = bind_context(**fields)
    try:
        yield
    finally:
        reset_context(token)


in_force = _context.get
"""The mapping itself, without a copy; for the handler."""
