"""Comma-separated values as RFC 4180 quotes them, with nothing and the empty text told apart.

Absent is an empty field, an empty text is `""`. Lists and objects are JSON. Lines end in a bare
line feed, as other tools of a shell have it. On a terminal characters that would steer it are shown
as their escapes; in a file or a pipe every character is as it was.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from typing import Any, TextIO

from tachograph.cli.printable import printable

__all__ = ["write"]

_QUOTED = re.compile(r'[",\r\n]|^\s|\s$|^$')


def write(stream: TextIO, names: Sequence[str], rows: Iterable[Iterable[Any]]) -> None:
    """Write a header and *rows*, values as JSON has them."""
    shown = printable if stream.isatty() else str
    # One column without a value would be an empty line, which readers skip.
    absent = '""' if len(names) == 1 else ""
    stream.write(",".join(_quoted(shown(name)) for name in names) + "\n")
    for row in rows:
        fields = (absent if value is None else _quoted(shown(_text(value))) for value in row)
        stream.write(",".join(fields) + "\n")


def _text(value: object) -> str:
    match value:
        case str():
            return value
        case bool():
            return "true" if value else "false"
        case list() | dict():
            return json.dumps(value, ensure_ascii=False)
    return str(value)


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"' if _QUOTED.search(text) else text
