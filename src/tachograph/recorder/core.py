"""The recorder's core, the native one where it is there, else its twin in Python."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tachograph._core import loop
from tachograph.trace import delta

__all__ = ["chains_in", "columns", "core", "is_native"]

if TYPE_CHECKING:
    from tachograph._core import _loop as core
elif loop is None:
    from tachograph._core import loop_pure as core
else:
    core = loop

is_native: bool = loop is not None
"""Whether it is the native one."""

# The twin has none of its own: the format's are as quick, and the core imports nothing.
columns = delta.columns if loop is None else loop.columns
"""Return the columns of the compact profile: of steps, parks, spawns and checkpoints."""

chains_in = delta.chains_in if loop is None else loop.chains_in
"""Return the numbers of the chains of awaits in raw events, in ascending order."""
