"""Which lines are written: `info,orders=debug,uvicorn.access=off`."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Self

from tachograph.errors import ConfigError

__all__ = ["LEVELS", "Directives"]

_OFF = logging.CRITICAL + 10
LEVELS: Mapping[str, int] = {
    "trace": 5,
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warn": logging.WARNING,
    "warning": logging.WARNING,
    "error": logging.ERROR,
    "critical": logging.CRITICAL,
    "off": _OFF,
}
"""Level names, lower case, with stdlib's numbers."""


@dataclass(frozen=True, slots=True)
class Directives:
    """A level for everything and levels for some loggers; the longest logger prefix wins.

    Attributes:
        level: For loggers that are not named.
        loggers: Level by logger name; `orders` covers `orders.api`.
    """

    level: int
    loggers: Mapping[str, int]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read comma-separated directives; a part without `=` is the level for everything.

        Raises:
            ConfigError: A part is malformed; the message lists every such part.
        """
        level = logging.INFO
        loggers: dict[str, int] = {}
        problems = []
        for position, raw in enumerate(text.split(","), start=1):
            part = raw.strip()
            if not part:
                continue
            name, equals, word = part.rpartition("=")
            found = LEVELS.get(word.strip().lower())
            if found is None or (equals and not name.strip()):
                problems.append(f"part {position}, {part!r}")
            elif equals:
                loggers[name.strip()] = found
            else:
                level = found
        if problems:
            msg = (
                f"expected a level or logger=level, separated by commas, got {text!r}; wrong: "
                f"{'; '.join(problems)}. Levels are {', '.join(LEVELS)}."
            )
            raise ConfigError(msg)
        return cls(level, loggers)

    def apply(self) -> Callable[[], None]:
        """Set stdlib's logger levels; return the function that sets them back."""
        wanted = {"": self.level, **self.loggers}
        before = {name: logging.getLogger(name or None).level for name in wanted}
        for name, level in wanted.items():
            logging.getLogger(name or None).setLevel(level)

        def restore() -> None:
            for name, level in before.items():
                logging.getLogger(name or None).setLevel(level)

        return restore
