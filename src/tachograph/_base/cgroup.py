"""What the container of this process may use: control groups of Linux, of both versions."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

__all__ = ["Cgroup", "CgroupFacts", "table"]

_TREES = ("memory", "cpu")  # of version 1
_NO_LIMIT = 1 << 60  # version 1 says that nothing is limited by a number near 2^63


class CgroupFacts(NamedTuple):
    """What a group says; None is what it does not.

    `cpu_limit` is in processors; `throttled_ns` and the numbers of periods count up.
    """

    version: int
    memory_limit: int | None = None
    memory_used: int | None = None
    cpu_limit: float | None = None
    periods: int | None = None
    throttled_periods: int | None = None
    throttled_ns: int | None = None


class Cgroup:
    """The control group of this process.

    Args:
        proc: Where the process file system is.
        root: Where the control groups are.
    """

    def __init__(self, proc: Path = Path("/proc"), root: Path = Path("/sys/fs/cgroup")) -> None:
        self._proc = proc
        self._root = root
        self._found: tuple[Path, Path] | None = None  # of memory and CPU; of version 2 the same

    def read(self) -> CgroupFacts | None:
        """Return what the group says now; None where there is none.

        Which group it is, is looked up once.

        Raises:
            OSError: It cannot be read.
        """
        self._found = self._found or self._look_up()
        if self._found is None:
            return None
        memory, cpu = self._found
        return self._version_2(memory) if memory == cpu else self._version_1(memory, cpu)

    def _look_up(self) -> tuple[Path, Path] | None:
        groups: dict[str, str] = {}
        for line in (self._proc / "self/cgroup").read_text().splitlines():
            _, names, path = line.split(":", 2)
            groups |= dict.fromkeys(names.split(","), path)
        if groups.keys() & {"memory", "cpu"}:
            memory, cpu = (_below(self._root / name, groups.get(name, "")) for name in _TREES)
            return memory, cpu
        if "" not in groups:
            return None
        group = _below(self._root, groups[""])
        return group, group

    def _version_2(self, group: Path) -> CgroupFacts:
        quota, _, period = (_text(group / "cpu.max") or "max").partition(" ")
        limit = int(quota) / int(period or 100_000) if quota.isdigit() else None
        stat = table(_text(group / "cpu.stat") or "")
        throttled = stat.get("throttled_usec")
        return CgroupFacts(
            2,
            _number(group / "memory.max"),
            _number(group / "memory.current"),
            limit,
            stat.get("nr_periods"),
            stat.get("nr_throttled"),
            None if throttled is None else throttled * 1_000,
        )

    def _version_1(self, memory: Path, cpu: Path) -> CgroupFacts:
        most = _number(memory / "memory.limit_in_bytes")
        quota = _number(cpu / "cpu.cfs_quota_us")  # -1 is no number of ours: not limited
        period = _number(cpu / "cpu.cfs_period_us")
        stat = table(_text(cpu / "cpu.stat") or "")
        return CgroupFacts(
            1,
            None if most is None or most >= _NO_LIMIT else most,
            _number(memory / "memory.usage_in_bytes"),
            quota / period if quota and period else None,
            stat.get("nr_periods"),
            stat.get("nr_throttled"),
            stat.get("throttled_time"),
        )


def table(text: str) -> dict[str, int]:
    """Return the numbers of a file of `name value` lines, with or without a colon."""
    found = {}
    for line in text.splitlines():
        words = line.replace(":", " ").split()
        if len(words) > 1 and words[1].isdigit():
            found[words[0]] = int(words[1])
    return found


def _below(root: Path, path: str) -> Path:
    group = root / path.lstrip("/")
    # Named as the host sees it, mounted as the container does.
    return group if group.is_dir() else root


def _text(path: Path) -> str | None:
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:  # so, it takes a third of what `read_text` does
        return os.read(file, 4_096).decode().strip()
    except OSError:
        return None
    finally:
        os.close(file)


def _number(path: Path) -> int | None:
    text = _text(path)
    return int(text) if text is not None and text.isdigit() else None
