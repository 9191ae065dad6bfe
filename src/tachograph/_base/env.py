"""Reading settings from environment variables: an empty variable counts as unset."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping

__all__ = ["collected", "read_bool", "read_text"]

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


@contextlib.contextmanager
def collected(problems: list[str], variables: Mapping[str, str] | None = None) -> Iterator[None]:
    """Add what a `ValueError` of the block says to *problems* instead of raising it.

    Args:
        problems: Receives its lines.
        variables: For lines that begin with a field's name and a colon: the variable to name
            instead.
    """
    try:
        yield
    except ValueError as error:
        for line in str(error).splitlines():
            field, colon, rest = line.partition(":")
            problems.append(f"{(variables or {}).get(field, field)}{colon}{rest}")
