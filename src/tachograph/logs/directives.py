"""Which lines are logged: `info,orders=debug,uvicorn.access=off`.

A filter is a level for everything, then `logger=level` pairs; a pair covers the logger and all
below it, and the longest name wins. It is applied by setting the levels of stdlib loggers, so a
line that is switched off costs what stdlib makes of it: one cached lookup.
"""

from __future__ import annotations

import difflib
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Self

from tachograph.errors import ConfigError
from tachograph.logs.levels import LEVELS, level_name, level_number

__all__ = ["Directives", "LevelChanges"]

_LOGGER = re.compile(r"[^\s.=,*]+(\.[^\s.=,*]+)*")
_NUMBER = re.compile(r"[+-]?\d{1,9}")
_SYNTAX = (
    "A filter is a level, then `logger=level` pairs, separated by commas: "
    "`info,orders=debug,uvicorn.access=off`. Levels: trace, debug, info, warn or warning, error, "
    "critical, off."
)


@dataclass(frozen=True, slots=True)
class Directives:
    """A parsed filter.

    Attributes:
        level: Number of the level for every logger that no pair covers.
        loggers: Level number by logger name, each for the logger and all below it.
    """

    level: int = logging.INFO
    loggers: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a filter; blanks and empty parts are ignored, without a level it is `info`.

        Raises:
            ConfigError: Lists every wrong part with its position, counted from 1, and the syntax.
        """
        levels: dict[str, int] = {}  # "" is the level for everything
        problems: list[str] = []
        for position, part in _parts(text):
            name, equals, word = (piece.strip() for piece in part.rpartition("="))
            number = level_number(word)
            found = [_name_problem(name)] if equals else []
            found.append(_level_problem(word) if number is None else None)
            if not any(found) and name in levels:
                found.append(_twice(name))
            if any(found):
                problems.append(f"  at {position}, {part!r}: {' '.join(filter(None, found))}")
            elif number is not None:
                levels[name] = number
        if problems:
            count = "1 wrong part" if len(problems) == 1 else f"{len(problems)} wrong parts"
            lines = [f"The log filter {text!r} has {count}:", *problems, _SYNTAX]
            raise ConfigError("\n".join(lines))
        level = levels.pop("", logging.INFO)
        return cls(level, MappingProxyType(levels))

    def level_of(self, logger: str) -> int:
        """Return the level number for the logger named *logger*: the longest prefix wins."""
        name = logger
        while name:
            if name in self.loggers:
                return self.loggers[name]
            name = name.rpartition(".")[0]
        return self.level

    def apply(self, changes: LevelChanges) -> None:
        """Set the levels of stdlib loggers, noting in *changes* how they were.

        A pair beats what code set below it: existing loggers under a named one lose their level.
        The level for everything does not: a library that code made quieter stays quieter.
        """
        changes.set(logging.getLogger(), self.level)
        for name in self.loggers:
            prefix = f"{name}."
            # A copy: another thread may create loggers meanwhile.
            for below, logger in list(logging.root.manager.loggerDict.items()):
                if below.startswith(prefix) and isinstance(logger, logging.Logger):
                    changes.set(logger, logging.NOTSET)
        for name, number in self.loggers.items():
            changes.set(logging.getLogger(name), number)

    def __str__(self) -> str:
        pairs = (f"{name}={level_name(number)}" for name, number in self.loggers.items())
        return ",".join((level_name(self.level), *pairs))


class LevelChanges:
    """Levels of loggers as they were before we set them.

    `undo` leaves alone what somebody else set after us: theirs is the later wish.
    """

    def __init__(self) -> None:
        self._changes: dict[logging.Logger, tuple[int, int]] = {}

    def set(self, logger: logging.Logger, level: int) -> None:
        """Set the level of *logger* and remember the one it had from somebody else."""
        before, ours = self._changes.get(logger, (logger.level, logger.level))
        if logger.level != ours:
            before = logger.level
        if logger.level != level:
            logger.setLevel(level)
        self._changes[logger] = (before, level)

    def undo(self) -> None:
        """Give back each level that is still the one we set."""
        for logger, (before, ours) in self._changes.items():
            if logger.level == ours and before != ours:
                logger.setLevel(before)
        self._changes.clear()


def _parts(text: str) -> list[tuple[int, str]]:
    """Return each part that is not blank, with the position of its first character from 1."""
    found, start = [], 1
    for part in text.split(","):
        if part.strip():
            found.append((start + len(part) - len(part.lstrip()), part.strip()))
        start += len(part) + 1
    return found


def _twice(name: str) -> str:
    if name:
        return f"`{name}` was given a level before. Keep one of the two."
    return "the level for everything was given before. Keep one, or name a logger: `logger=level`."


def _level_problem(word: str) -> str:
    if not word:
        return "expected a level after `=`, got nothing."
    if _NUMBER.fullmatch(word):
        name = level_name(int(word))
        hint = f"Write `{name}`." if name in LEVELS else "Write a name."
        return f"expected the name of a level, got the number {word}. {hint}"
    near = difflib.get_close_matches(word.lower(), LEVELS, n=1)
    hint = f" Did you mean `{near[0]}`?" if near else ""
    return f"expected a level, got {word!r}.{hint}"


def _name_problem(name: str) -> str | None:
    if name == "root":
        return "`root` is no name here: write the level alone, as the first part."
    if _LOGGER.fullmatch(name):
        return None
    if "*" in name:
        bare = name.replace("*", "").strip(".")
        hint = f" Write `{bare}`." if bare else ""
        return f"expected a logger name, got {name!r}: a name covers all below it.{hint}"
    if not name:
        return "expected a logger name before `=`, got nothing."
    return f"expected a logger name like `orders.api`, got {name!r}."
