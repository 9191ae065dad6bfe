"""Records that telemetry makes of its own accord: under which names, and past every sampler."""

from __future__ import annotations

import types
from collections.abc import Mapping
from typing import Any

from tachograph.metrics.record import WideEvent

__all__ = ["emit_kept", "restyled"]


def restyled(cls: type[WideEvent], style: str) -> type[WideEvent]:
    """Return a record class with its names in another style.

    Args:
        cls: As it is declared, with its names preserved.
        style: `preserve`, `PascalCase` and so on.
    """
    if style == "preserve":
        return cls

    def fill(namespace: dict[str, Any]) -> None:
        namespace["__module__"] = cls.__module__
        namespace["__qualname__"] = cls.__qualname__
        namespace["__doc__"] = cls.__doc__

    return types.new_class(cls.__name__, (cls,), {"rename": style}, fill)


def emit_kept(cls: type[WideEvent], values: Mapping[str, Any]) -> None:
    """Emit a record that no sampler of requests thins out."""
    record = cls(**values)
    record.keep()
    record.emit()
