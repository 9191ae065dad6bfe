"""Keeping a directory of files within a count and a size, oldest first."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from tachograph.errors import ConfigError

__all__ = ["Retention"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """How much of one family of files stays.

    Attributes:
        max_files: Number of files, the open one included.
        max_bytes: Size of all together.

    Raises:
        ConfigError: A limit is below 1.
    """

    max_files: int = 1_500
    max_bytes: int = 2**30

    def __post_init__(self) -> None:
        for name in ("max_files", "max_bytes"):
            value = getattr(self, name)
            if value < 1:
                msg = f"Retention.{name}: expected a number of at least 1, got {value}."
                raise ConfigError(msg)

    def apply(
        self,
        directory: Path,
        pattern: re.Pattern[str],
        current: Path,
        opened: dict[str, tuple[str, int]] | None = None,
    ) -> int:
        """Delete the oldest files of *directory* whose whole name matches; return how many.

        Names sort by time. *current* is never deleted, nor anything that does not match.

        Args:
            directory: Where the files are.
            pattern: What their names look like.
            current: The file that was opened now.
            opened: Remembers between calls what was opened after what, and is changed here: a clock
                that is set back gives the freshest file an older name than its predecessors have.

        Raises:
            OSError: The directory cannot be read, or a file cannot be deleted.
        """
        found = {
            entry.name: entry for entry in directory.iterdir() if pattern.fullmatch(entry.name)
        }
        ranks = {name: (name, 0) for name in found}
        if opened is not None:
            ranks |= {name: rank for name, rank in opened.items() if name in found}
            newest, turn = max(ranks.values(), default=(current.name, 0))
            ranks[current.name] = (max(newest, current.name), turn + 1)
            opened.clear()
            opened.update((name, rank) for name, rank in ranks.items() if rank[1])
        files = sorted(found.values(), key=lambda file: ranks[file.name], reverse=True)
        count, size, deleted = 0, 0, 0
        for file in files:
            try:
                bytes_here = file.stat().st_size
            except FileNotFoundError:
                continue
            count += 1
            size += bytes_here
            if file == current or (count <= self.max_files and size <= self.max_bytes):
                continue
            file.unlink(missing_ok=True)
            count -= 1
            size -= bytes_here
            deleted += 1
        return deleted
