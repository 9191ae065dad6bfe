"""The native core: what `_native` and `_loop` offer, or None where there is none.

`native` is for records, `loop` for the recorder. Each is absent without a compiler, without the GIL
(it is not written for that yet), and when `TACHO_PURE` is set. Each thing in it has a twin in
Python that makes the same bytes.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tachograph._core import _loop as loop
    from tachograph._core import _native as native
else:
    native = loop = None
    if not os.environ.get("TACHO_PURE") and getattr(sys, "_is_gil_enabled", lambda: True)():
        try:
            from tachograph._core import _native as native
        except ImportError:  # not built here: the twin does the work
            native = None
        try:
            from tachograph._core import _loop as loop
        except ImportError:
            loop = None

__all__ = ["loop", "native"]
