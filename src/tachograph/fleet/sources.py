"""Where wide events lie: the rolled files of one or many services, and the schemas beside them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tachograph.errors import CommandError
from tachograph.fleet.schema import Schema
from tachograph.formats.schema import FILE_NAME

__all__ = ["PATTERN", "Sources"]

PATTERN = "metrics.log.*"


@dataclass(frozen=True, slots=True)
class Sources:
    """Files of wide events, one record a line, also gzipped, and what their fields mean."""

    files: tuple[Path, ...]
    schema: Schema

    @classmethod
    def find(cls, paths: Sequence[Path], schema: Sequence[Path] = ()) -> Sources:
        """Return every file that *paths* name; a directory gives its `metrics.log.*`, at any depth.

        Args:
            paths: Files and directories.
            schema: Schema documents besides the `metrics.schema.json` found next to the files.

        Raises:
            CommandError: A path does not exist, or a directory holds no such file.
        """
        files: dict[Path, None] = {}
        for path in paths:
            files.update(dict.fromkeys(_files(path)))
        beside = dict.fromkeys(file.parent / FILE_NAME for file in files)
        documents = [*(p for p in beside if p.is_file()), *schema]
        return cls(tuple(files), Schema.read(documents))


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    if not path.exists():
        raise CommandError(
            f"{path} does not exist. Name a file of wide events, or the directory that a service "
            "got as `--telemetry-dir`."
        )
    found = sorted(p for p in path.rglob(PATTERN) if p.is_file())
    if not found:
        raise CommandError(
            f"{path} holds no wide events: expected files `{PATTERN}` in it or below, found "
            f"{_contents(path)}. Name the directory that a service got as `--telemetry-dir`."
        )
    return found


def _contents(directory: Path) -> str:
    names = sorted(p.name for p in directory.iterdir())
    if not names:
        return "nothing"
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(f"`{name}`" for name in names[:3]) + more
