"""From the native core's numbers of frames and stacks to addresses of symbols."""

from __future__ import annotations

import ast
import linecache
from array import array
from collections.abc import Iterable

from tachograph.recorder.symbols import Symbols, symbols

__all__ = ["Frame", "Stacks", "called_at"]

Frame = tuple[int, str, str, int, int, int, int, int]
"""Number, file, qualified name, first line; line, column, end line, end column of the place."""

_LONGEST = 60
_MOST_LINES = 20


class Stacks:
    """The stacks of one recording.

    Args:
        table: Where addresses come from.
    """

    def __init__(self, table: Symbols = symbols) -> None:
        self._table = table
        self._frames: dict[int, int] = {}
        self._places: dict[int, Frame] = {}
        self._stacks: dict[int, tuple[int, ...]] = {}
        self._raw: dict[int, bytes] = {}
        self._with_call: dict[int, tuple[int, ...]] = {}

    def learn(self, frames: Iterable[Frame], stacks: Iterable[tuple[int, bytes]]) -> None:
        """Take what numbers stand for; a stack is numbers of frames, innermost first."""
        for frame in frames:
            number, file, qualname, _, line, *_ = frame
            self._frames[number] = self._table.python(file, qualname, line)
            self._places[number] = frame
        for number, raw in stacks:
            self._raw[number] = raw

    def addresses(self, stack: int, *, with_call: bool = False) -> tuple[int, ...]:
        """Return a stack's addresses, innermost first; none for an unknown one.

        Args:
            stack: Its number.
            with_call: Whether what its innermost line calls stands before it.
        """
        found = (self._with_call if with_call else self._stacks).get(stack)
        if found is None:
            numbers = array("I", self._raw.get(stack, b""))
            found = tuple(filter(None, map(self._frames.get, numbers)))
            if with_call:
                called = called_at(self._places[numbers[0]]) if numbers else None
                if called is not None and (address := self._table.native(called)):
                    found = (address, *found)
                self._with_call[stack] = found
            else:
                self._stacks[stack] = found
        return found


def called_at(frame: Frame) -> str | None:
    """Return what the source calls at a place, without arguments; None if it is no call.

    `time.sleep` for `time.sleep(0.05)`. None too where the source is not at hand, or has changed so
    that what stands there is no call.
    """
    _, file, _, _, line, column, end_line, end_column = frame
    if column < 0 or end_column < 0 or not 0 <= end_line - line < _MOST_LINES:
        return None
    lines = [linecache.getline(file, n).encode() for n in range(line, end_line + 1)]
    lines[-1] = lines[-1][:end_column]
    lines[0] = lines[0][column:]
    try:
        tree = ast.parse(b"".join(lines).decode().strip(), mode="eval").body
    except (SyntaxError, ValueError):
        return None
    if isinstance(tree, ast.Await):
        tree = tree.value
    if not isinstance(tree, ast.Call):
        return None
    text = ast.unparse(tree.func)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."
