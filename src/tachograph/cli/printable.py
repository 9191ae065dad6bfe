"""Text for a terminal: what a record holds came from outside and must not steer it.

Escape sequences recolour, retitle and rewrite what stands above, so every character that does not
print is shown as its escape. In JSON the escape is JSON's own, so nothing is lost there.
"""

from __future__ import annotations

import json
import re
import unicodedata

__all__ = ["columns", "json_text", "printable"]

_SUSPECT = re.compile(r"[^ -~]")


def printable(text: str, *, keep: str = "") -> str:
    r"""Return *text* with characters that do not print as escapes: `\x1b`, `\n`, `\u202e`.

    Args:
        text: Whatever it is.
        keep: Characters that stay as they are.
    """
    if not _SUSPECT.search(text):
        return text
    return "".join(c if c.isprintable() or c in keep else _escaped(c) for c in text)


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


def json_text(value: object, *, compact: bool = False) -> str:
    """Return *value* as JSON of one line, readable, and harmless in a terminal."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":") if compact else (", ", ": "))
    if not _SUSPECT.search(text):
        return text
    return "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in text)


def columns(text: str) -> int:
    """Return how many columns of a terminal *text* takes."""
    if text.isascii():
        return len(text)
    return sum(map(_columns_of, text))


def _columns_of(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1
