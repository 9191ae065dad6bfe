"""Fields that every log line of a request carries: bound once, in one `ContextVar`.

A task or an `asyncio.to_thread` call started inside sees what was bound before; what it binds
itself stays its own. `run_in_executor` does not copy the context. The mapping is replaced and never
changed, so copying a context copies nothing.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from contextvars import ContextVar, Token
from types import MappingProxyType

__all__ = ["bind_context", "context", "current_context", "reset_context"]

_NOTHING: dict[str, object] = {}
_bound: ContextVar[dict[str, object]] = ContextVar("tachograph_log_context", default=_NOTHING)

in_force = _bound.get
"""The mapping itself, without a copy, for the writers of lines. Never change it."""


def bind_context(**fields: object) -> Token[dict[str, object]]:
    """Add *fields* to every line logged from here on in this task or thread.

    A name that is bound already gets the new value.

    Returns:
        What `reset_context` needs to take them away again.
    """
    return _bound.set({**_bound.get(), **fields})


def reset_context(token: Token[dict[str, object]]) -> None:
    """Go back to what was bound before `bind_context` returned *token*.

    A token that was used already, or that another task bound, changes nothing: an async generator
    may be finished by a different task than the one that started it.
    """
    with contextlib.suppress(ValueError, RuntimeError):
        _bound.reset(token)


def current_context() -> Mapping[str, object]:
    """Return what is bound here: a read-only mapping that later binding does not change."""
    return MappingProxyType(_bound.get())


@contextlib.contextmanager
def context(**fields: object) -> Iterator[None]:
    """Bind *fields* for the length of a `with` block.

    Example:
        with context(order_id=17):
            log.info("paid")            # the line has "order_id":17
    """
    token = bind_context(**fields)
    try:
        yield
    finally:
        reset_context(token)
