"""Build the native core when its sources are here; everything else is in pyproject.toml.

A missing or failing compiler never fails the installation: the core has a twin in Python.
"""

from __future__ import annotations

from pathlib import Path

from setuptools import Extension, setup

CORE = Path("src/tachograph/_core")
FLAGS = ["-O3", "-fvisibility=hidden", "-Wall", "-Wextra", "-Wno-unused-parameter"]


def extension(name: str, directory: Path, *flags: str) -> list[Extension]:
    """Return the extension built of a directory's sources, if they are here."""
    sources = sorted(path.as_posix() for path in directory.glob("*.c"))
    if not sources:
        return []
    made = Extension(
        f"tachograph._core.{name}",
        sources=sources,
        depends=sorted(path.as_posix() for path in directory.glob("*.h")),
        extra_compile_args=[*flags, *FLAGS],
        libraries=["m"],
        optional=True,
    )
    return [made]


setup(
    ext_modules=[
        *extension("_native", CORE, "-std=c11"),
        *extension(
            "_loop",
            CORE / "loop",
            "-std=gnu11",
            "-fvisibility=hidden",
            "-Wno-missing-field-initializers",
        ),
    ]
)
