"""Comma-separated values."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Any

import pytest

from tachograph.cli.csv import write


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def written(names: Sequence[str], *rows: Sequence[Any], stream: io.StringIO | None = None) -> str:
    """Return what is written."""
    stream = stream or io.StringIO()
    write(stream, names, rows)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, ""),
        ("", '""'),
        ("plain", "plain"),
        ("a,b", '"a,b"'),
        ('a"b', '"a""b"'),
        ("a\r\nb", '"a\r\nb"'),
        (" a", '" a"'),
        (True, "true"),
        (0.1, "0.1"),
        (2**64, "18446744073709551616"),
        (["x", 1], '"[""x"", 1]"'),
        ({"k": None}, '"{""k"": null}"'),
    ],
)
def test_values_are_quoted_as_needed(value: object, expected: str) -> None:
    """RFC 4180: quotes around commas, quotes and line breaks, quotes doubled; lists are JSON."""
    assert f"n,v\n1,{expected}\n" == written(["n", "v"], (1, value))


def test_what_is_written_is_read_back() -> None:
    """The standard library's reader gets every text and every title as it was."""
    texts = ['a,"b"', "line\nbreak", "", "ü\x1b[31m"]

    assert [texts, texts] == list(csv.reader(io.StringIO(written(texts, texts), newline="")))


def test_a_single_absent_value_keeps_its_line() -> None:
    """An empty line would be skipped by readers, so a lone absent value is quoted."""
    assert 'n\n""\n1\n' == written(["n"], (None,), (1,))


def test_a_terminal_is_not_steered() -> None:
    """What does not print is escaped for eyes, and untouched for programs."""
    assert "\\x1b[31m\n" == written(["\x1b[31m"], stream=Terminal())
    assert "\x1b[31m\n" == written(["\x1b[31m"])
