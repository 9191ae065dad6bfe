"""Control groups of both versions, from files like the kernel's."""

from __future__ import annotations

from pathlib import Path

import pytest

from tachograph._base.cgroup import Cgroup, CgroupFacts, table


def write(root: Path, files: dict[str, str]) -> None:
    """Write files below *root*."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@pytest.fixture
def group(tmp_path: Path) -> Cgroup:
    """The group that the files below the test's directory tell."""
    return Cgroup(tmp_path / "proc", tmp_path / "cgroup")


STAT = "usage_usec 9\nnr_periods 20\nnr_throttled 3\nthrottled_usec 4500\n"


@pytest.mark.parametrize("below", ["app/", ""])
def test_version_2(tmp_path: Path, group: Cgroup, below: str) -> None:
    """Limits, use and what was throttled; named as the host sees it or mounted as the root."""
    write(tmp_path / "proc/self", {"cgroup": "0::/app\n"})
    write(
        tmp_path / f"cgroup/{below}",
        {
            "memory.max": "1048576\n",
            "memory.current": "4096\n",
            "cpu.max": "150000 100000\n",
            "cpu.stat": STAT,
        },
    )

    assert group.read() == CgroupFacts(2, 1_048_576, 4_096, 1.5, 20, 3, 4_500_000)


def test_version_2_without_limits(tmp_path: Path, group: Cgroup) -> None:
    """`max` is no limit; what is not there is not known."""
    write(tmp_path / "proc/self", {"cgroup": "0::/\n"})
    write(tmp_path / "cgroup", {"memory.max": "max\n", "cpu.max": "max 100000\n"})

    assert group.read() == CgroupFacts(2)


def test_version_1(tmp_path: Path, group: Cgroup) -> None:
    """Each controller has a tree of its own; a number near 2^63 and -1 are no limits."""
    write(
        tmp_path / "proc/self",
        {"cgroup": "4:memory:/app\n3:cpu,cpuacct:/app\n1:name=systemd:/a:b\n0::/\n"},
    )
    files = {
        "memory/app/memory.limit_in_bytes": "1048576\n",
        "memory/app/memory.usage_in_bytes": "4096\n",
        "cpu/cpu.cfs_quota_us": "50000\n",
        "cpu/cpu.cfs_period_us": "100000\n",
        "cpu/cpu.stat": "nr_periods 7\nnr_throttled 2\nthrottled_time 99\n",
    }
    write(tmp_path / "cgroup", files)

    assert group.read() == CgroupFacts(1, 1_048_576, 4_096, 0.5, 7, 2, 99)
    unlimited = {
        "memory/app/memory.limit_in_bytes": f"{2**63 - 4096}\n",
        "cpu/cpu.cfs_quota_us": "-1\n",
    }
    write(tmp_path / "cgroup", unlimited)

    assert group.read() == CgroupFacts(1, None, 4_096, None, 7, 2, 99)


def test_without_a_group(tmp_path: Path, group: Cgroup) -> None:
    """No controller at all is no group; no file is an error for whoever asks."""
    write(tmp_path / "proc/self", {"cgroup": "1:name=systemd:/\n"})

    assert group.read() is None
    (tmp_path / "proc/self/cgroup").unlink()
    with pytest.raises(OSError, match="cgroup"):
        group.read()


def test_tables() -> None:
    """Lines of a name and a number, with or without a colon; others are left out."""
    assert {"a": 1, "MemTotal": 20} == table("a 1\nMemTotal:   20 kB\nword text\n\nalone\n")
