"""Whether plain changes of shared numbers are whole, as the GIL makes them.

With the GIL a thread gives way only at calls and at backward jumps, so a statement that reads,
computes and stores with neither in between, such as `self.count += 1`, is whole. Hot paths rely on
that where it holds and take a lock where it does not.
"""

from __future__ import annotations

import sys

__all__ = ["CHANGES_ARE_WHOLE"]

CHANGES_ARE_WHOLE: bool = getattr(sys, "_is_gil_enabled", lambda: True)()
