"""Names on the wire: words, rename styles, prefixes.

A name is built from segments, the outermost prefix first; the style of a segment is that of the
record that owns it. `name="..."` is exact and never renamed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

__all__ = ["STYLES", "join", "restyle", "suffixed"]

# lower-to-Upper, and before the last capital of a run (HTTPServer: HTTP, Server). Digits stay with
# the word before them.
_BOUNDARY = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


def _words(text: str) -> list[str]:
    return [word for part in re.split(r"[_-]", text) for word in _BOUNDARY.split(part) if word]


def _pascal(text: str) -> str:
    return "".join(word[:1].upper() + word[1:].lower() for word in _words(text))


def _camel(text: str) -> str:
    pascal = _pascal(text)
    return pascal[:1].lower() + pascal[1:]


STYLES: dict[str, Callable[[str], str]] = {
    "preserve": lambda text: text,
    "snake_case": lambda text: "_".join(_words(text)).lower(),
    "kebab-case": lambda text: "-".join(_words(text)).lower(),
    "camelCase": _camel,
    "PascalCase": _pascal,
    "SCREAMING_SNAKE_CASE": lambda text: "_".join(_words(text)).upper(),
}

_JOINTS = {"snake_case": "_", "SCREAMING_SNAKE_CASE": "_", "kebab-case": "-"}


def restyle(text: str, style: str) -> str:
    """Return *text* in *style*, one of the keys of `STYLES`."""
    return STYLES[style](text)


def join(prefixes: Sequence[tuple[str, str]], name: str, style: str, *, exact: bool) -> str:
    """Return the emitted name of a field.

    Args:
        prefixes: Child prefixes, outermost first, each with the style of the record that gave it.
        name: The attribute's name, or the exact name.
        style: The style of the field's own record.
        exact: Whether *name* is taken as it is; the prefixes still apply to it.
    """
    emitted = ""
    for text, owner in prefixes:
        # A segment and its joint are shaped by the record that the segment belongs to.
        emitted += restyle(text, owner)
        joint = _JOINTS.get(owner, "")
        if emitted and not emitted.endswith(joint):
            emitted += joint
    if exact:
        return emitted + name
    base = restyle(name, style)
    if style == "camelCase" and emitted:
        base = base[:1].upper() + base[1:]
    return emitted + base


def suffixed(emitted: str, suffix: str, style: str) -> str:
    """Return *emitted* with *suffix*, joined as *style* does: `db_count`, `DbCount`, `db-count`."""
    match style:
        case "PascalCase" | "camelCase":
            return emitted + suffix.capitalize()
        case "kebab-case":
            return f"{emitted}-{suffix}"
        case "SCREAMING_SNAKE_CASE":
            return f"{emitted}_{suffix.upper()}"
        case _:
            return f"{emitted}_{suffix}"
