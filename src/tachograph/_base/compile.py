"""Turn generated source text into functions that a person can print and step into.

Work happens once, at declaration: a class or a format writes straight-line Python for exactly its
own fields. The text is registered with `linecache`, so that `inspect.getsource`, tracebacks and
debuggers show it like any file.
"""

from __future__ import annotations

import linecache
from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["compile_functions"]

_counts: dict[str, int] = {}


def compile_functions(
    source: str, names: Mapping[str, object], *, label: str
) -> dict[str, Callable[..., Any]]:
    """Execute *source* and return the functions it defines, by name.

    Args:
        source: Python text that holds only `def` statements.
        names: What the text may refer to besides builtins.
        label: What it was generated for, shown as the file name in tracebacks.
    """
    count = _counts[label] = _counts.get(label, 0) + 1
    suffix = f" #{count}" if count > 1 else ""
    filename = f"<tachograph generated {label}{suffix}>"
    namespace: dict[str, Any] = dict(names)
    before = set(namespace)
    exec(compile(source, filename, "exec"), namespace)
    # A mtime of None tells linecache.checkcache() to keep an entry that no file backs.
    linecache.cache[filename] = (len(source), None, source.splitlines(keepends=True), filename)
    return {
        name: value
        for name, value in namespace.items()
        if name not in before and name != "__builtins__" and callable(value)
    }
