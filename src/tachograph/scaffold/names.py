"""What a service may be called: one name that works as a project, a package and a service name."""

from __future__ import annotations

import keyword
import re
import sys
from dataclasses import dataclass

from tachograph.errors import CommandError

__all__ = ["MAX_LENGTH", "Project"]

MAX_LENGTH = 40  # it becomes part of file names, process titles and metric names

DESCRIPTION = "A starter async backend service."

# Directories of the generated project, and packages that it imports under these names.
_TAKEN = frozenset({"aiohttp", "bench", "cyclopts", "httptools", "src", "starlette"}) | frozenset(
    {"tachograph", "tests", "uvicorn"}
)


@dataclass(frozen=True, slots=True)
class Project:
    """What a generated service is called and for.

    Args:
        name: The project: lower-case words joined by `-`, like `orders` or `order-history`.
        description: One line of text.

    Raises:
        CommandError: The name or description cannot be used; says why and what could.
    """

    name: str
    description: str = DESCRIPTION

    def __post_init__(self) -> None:
        if reason := _objection(self.name):
            raise CommandError(
                f"{self.name!r} cannot be the name of a service: {reason}."
                f" Try `tacho new {_suggestion(self.name)}`.",
                exit_code=2,
            )
        if not self.description.isprintable() or not self.description.strip():
            raise CommandError(
                f"Expected a description of one line, got {self.description!r}.", exit_code=2
            )

    @property
    def package(self) -> str:
        """The name of its Python package: `order_history`."""
        return self.name.replace("-", "_")


def _objection(name: str) -> str | None:
    """Return why *name* cannot be used, None if it can."""
    package = name.replace("-", "_")
    if len(name) > MAX_LENGTH:
        return f"it has {len(name)} characters, at most {MAX_LENGTH} fit"
    if name.startswith("-") or not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", name):
        return (
            "expected lower-case letters and digits, beginning with a letter, words joined by `-`"
        )
    if keyword.iskeyword(package) or keyword.issoftkeyword(package):
        return f"`{package}` is a word of the Python language"
    if package in sys.stdlib_module_names:
        return f"its package would hide the module `{package}` of Python's standard library"
    if package in _TAKEN:
        return f"its package would hide `{package}`, which the service itself needs"
    return None


def _suggestion(name: str) -> str:
    """Return a name near *name* that can be used."""
    parted = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", name).lower()
    words = re.sub(r"[^a-z0-9]+", "-", parted).strip("-")[: MAX_LENGTH - 8].strip("-")
    if words and not words[0].isalpha():
        words = f"service-{words}"
    if not words:
        return "orders"
    return words if _objection(words) is None else f"{words}-service"
