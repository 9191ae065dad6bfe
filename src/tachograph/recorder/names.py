"""What the numbers in events stand for: where tasks are made, and which callbacks run.

The native core tells each number once, on a loop's thread, in the middle of its work; so a name is
made from what lies at hand, kept, and written at once to a file beside the rings, which a killed
process leaves behind.
"""

from __future__ import annotations

import functools
import json
import os
import sys
import types
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

__all__ = ["Name", "Names", "Places", "names", "read_names"]

_CALLBACK, _SPAWN, _STACK, _JOB = range(4)
_MARKUP = str.maketrans('<>&"', "    ")


Places = tuple[tuple[str, str, int], ...]
"""File, qualified name and line of each frame of a stack, innermost first."""


class Name(NamedTuple):
    """What a number stands for.

    Attributes:
        kind: `callback` or `spawn`.
        number: As it stands in events.
        text: `app/jobs.py:12 app.jobs.work` for where and what, `callback:app.jobs.tick`,
            `executor:app.jobs.work`.
    """

    kind: str
    number: int
    text: str


class Names:
    """The names of this process; the native core gives each once, whatever recordings there are."""

    def __init__(self) -> None:
        self.spawns: dict[int, str] = {}
        """Texts of the numbers of places where tasks are made."""
        self.callbacks: dict[int, str] = {}
        """Texts of the ids of groups of callbacks."""
        self.stacks: dict[int, Places] = {}
        """Of the numbers of places where tasks wait, innermost first."""
        self.unwritten = 0
        """Names that could not be written to the file; segments have them all the same."""
        self._news: list[Name] = []
        self._file: int | None = None

    def open(self, path: Path) -> None:
        """Write every name to a new file, from now on too.

        Raises:
            OSError: It cannot be written.
        """
        self.close()
        self.unwritten = 0
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        for name in self.all():
            self._write(*name)
        for number, places in list(self.stacks.items()):
            self._write("stack", number, places)
        self._news.clear()  # the head of a segment tells them all

    def all(self) -> list[Name]:
        """Return every name."""
        found = [Name("callback", number, text) for number, text in list(self.callbacks.items())]
        return found + [Name("spawn", number, text) for number, text in list(self.spawns.items())]

    def news(self) -> list[Name]:
        """Return the names that came since the last time."""
        news = self._news
        return [news.pop(0) for _ in range(len(news))]

    def note(self, kind: int, number: int, first: Any, line: int, second: Any) -> None:
        """Keep a name; called by the native core. Never raises.

        Args:
            kind: 0 for a group of callbacks, 1 for a place where tasks are made, 2 for a place
                where they wait, 3 for a job of an executor, which is told as one where tasks are
                made.
            number: What stands for it in events.
            first: The callable (None for all that have no number of their own), or the code object
                that makes the task (None for unknown), or pairs of code and line, innermost first.
            line: In that code.
            second: The coroutine that the task runs.
        """
        if kind == _STACK:
            self._note_stack(number, first)
            return
        try:
            text = _text(kind, first, line, second)
        except Exception:  # noqa: BLE001 -- whatever the program calls may refuse to tell its name
            text = {_CALLBACK: "callback:unknown", _JOB: "executor:unknown"}.get(kind, "unknown")
        (self.callbacks if kind == _CALLBACK else self.spawns)[number] = text
        name = Name("callback" if kind == _CALLBACK else "spawn", number, text)
        self._news.append(name)
        self._write(*name)

    def _note_stack(self, number: int, frames: tuple[tuple[types.CodeType, int], ...]) -> None:
        found = tuple((code.co_filename, code.co_qualname, line) for code, line in frames)
        self.stacks[number] = found
        self._write("stack", number, found)

    def _write(self, *entry: Any) -> None:
        if self._file is None:
            return
        # With an end before it too: the line before may be there in part.
        line = b"\n" + json.dumps(entry, ensure_ascii=False).encode(errors="replace") + b"\n"
        try:
            whole = os.write(self._file, line) == len(line)
        except OSError:
            whole = False
        self.unwritten += not whole

    def close(self) -> None:
        """Write to no file any more; also in a forked child, where the file is the parent's."""
        file, self._file = self._file, None
        if file is not None:
            os.close(file)


names = Names()
"""The process's own: the core is told once to whom it tells names."""


def _text(kind: int, first: Any, line: int, second: Any) -> str:
    if kind == _SPAWN:
        return _spawn(first, line, second)
    return _callback(first) if kind == _CALLBACK else f"executor:{qualified_name(first)}"


def _callback(called: Any) -> str:
    return "callback:" + ("other" if called is None else qualified_name(called))


def _spawn(code: Any, line: int, coroutine: Any) -> str:
    place = "unknown" if code is None else f"{short_path(code.co_filename)}:{line}"
    return clean(place + ("" if coroutine is None else " " + coroutine_name(coroutine)))


def read_names(lines: Iterable[bytes]) -> tuple[list[Name], dict[int, Places]]:
    """Return names and stacks of a file, as far as it can be read; its last line may be torn."""
    found = []
    stacks: dict[int, Places] = {}
    for line in lines:
        try:
            kind, number, what = json.loads(line)
            if kind == "stack":
                stacks[int(number)] = tuple((str(f), str(n), int(at)) for f, n, at in what)
            else:
                found.append(Name(str(kind), int(number), str(what)))
        except (ValueError, TypeError):
            continue
    return found, stacks


def clean(text: str) -> str:
    """Return *text* without what viewers take for markup: `f.<locals>.g` is written `f.g`."""
    return text.replace(".<locals>", "").replace("<lambda>", "lambda").translate(_MARKUP)


def qualified_name(called: Any) -> str:
    """Return `module.qualname` of whatever can be called."""
    function = getattr(called, "__func__", called)
    name = getattr(function, "__qualname__", None)
    if not isinstance(name, str):
        cls = type(called)
        return clean(f"{cls.__module__}.{cls.__qualname__}")
    module = getattr(function, "__module__", None)
    if not isinstance(module, str):  # a method of a type written in C
        owner = getattr(function, "__self__", None)
        module = None if owner is None else type(owner).__module__
    return clean(f"{module}.{name}" if isinstance(module, str) else name)


def coroutine_name(coroutine: Any) -> str:
    """Return `module.qualname` of a coroutine, or of its type when it has no name."""
    name = getattr(coroutine, "__qualname__", None)
    if not isinstance(name, str):
        cls = type(coroutine)
        return f"{cls.__module__}.{cls.__qualname__}"
    code = getattr(coroutine, "cr_code", None) or getattr(coroutine, "gi_code", None)
    if not isinstance(code, types.CodeType):
        return name
    return f"{module_of(code.co_filename)}.{name}"


def short_path(path: str) -> str:
    """Return a source file relative to the longest import root that holds it."""
    roots = _roots(tuple(sys.path), _here() if "" in sys.path else "")
    best = max(filter(path.startswith, roots), key=len, default="")
    if best:
        return path[len(best) :]
    return Path(path).name if Path(path).is_absolute() else path


@functools.lru_cache(maxsize=1)
def _roots(paths: tuple[str, ...], here: str) -> tuple[str, ...]:
    """Return the import roots as beginnings of paths; an empty one is the directory *here*."""
    return tuple(f"{root or here}{os.sep}" for root in paths)


def _here() -> str:
    try:
        return os.getcwd()  # noqa: PTH109 -- a text, without an object around it
    except OSError:  # it was removed
        return ""


def module_of(path: str) -> str:
    """Return the dotted name that a source file has as a module."""
    short = short_path(path).removesuffix(".py").removesuffix("/__init__")
    return short.replace(os.sep, ".").replace("/", ".")
