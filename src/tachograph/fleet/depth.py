"""Lines that nest deeper than anything ours: their deep values become text, so that all can read.

Our formats never nest deeper than a few levels. A reader that recurses fails on a thousand, so the
place where a value becomes too deep is found without recursion.
"""

from __future__ import annotations

import json
import re

__all__ = ["MAX_DEPTH", "shallow"]

MAX_DEPTH = 32
"""Levels that are kept as structure, the line's own object included."""

_TOKEN = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|[\[\]{}]')


def shallow(line: str) -> str:
    """Return *line*, valid JSON, with each member that nests too deeply as a text of itself."""
    if line.count("[") + line.count("{") <= MAX_DEPTH:
        return line
    parts: list[str] = []
    kept = start = depth = deepest = 0
    for token in _TOKEN.finditer(line):
        match token[0]:
            case "[" | "{":
                depth += 1
                if depth == 2:
                    start, deepest = token.start(), 2
                deepest = max(deepest, depth)
            case "]" | "}":
                depth -= 1
                if depth == 1 and deepest > MAX_DEPTH:
                    parts += (line[kept:start], json.dumps(line[start : token.end()]))
                    kept = token.end()
                    deepest = 0
            case _:
                pass
    return "".join((*parts, line[kept:]))
