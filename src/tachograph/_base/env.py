"""Reading settings from environment variables: an empty variable counts as unset."""

from __future__ import annotations

import os
from collections.abc import Mapping

__all__ = ["read_bool", "read_text"]

_TRUE = frozenset(("t", "true", "1", "y", "yes", "on"))
_FALSE = frozenset(("f", "false", "0", "n", "no", "off"))


def read_text(name: str, environ: Mapping[str, str] | None = None) -> str | None:
    """Return the variable's text without surrounding blanks, or None when unset or blank."""
    text = (os.environ if environ is None else environ).get(name, "").strip()
    return text or None


def read_bool(name: str, environ: Mapping[str, str] | None = None) -> bool | None:
    """Return the variable as a bool, None when unset or blank.

    Raises:
        ValueError: The text is none of true/false, t/f, yes/no, y/n, on/off, 1/0.
    """
    text = read_text(name, environ)
    if text is None:
        return None
    lowered = text.lower()
    if lowered in _TRUE:
        return True
    if lowered in _FALSE:
        return False
    msg = f"{name}: expected one of true, false, yes, no, on, off, 1, 0, got {text!r}."
    raise ValueError(msg)
