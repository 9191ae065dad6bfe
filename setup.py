"""Build the native core when its sources are here; everything else is in pyproject.toml.

A missing or failing compiler never fails the installation: the core has a twin in Python.
"""

from __future__ import annotations

from pathlib import Path

from setuptools import Extension, setup

CORE = Path("src/tachograph/_core")
SOURCES = sorted(path.as_posix() for path in CORE.glob("*.c"))

setup(
    ext_modules=[
        Extension(
            "tachograph._core._native",
            sources=SOURCES,
            depends=sorted(path.as_posix() for path in CORE.glob("*.h")),
            extra_compile_args=["-std=c11", "-O3", "-Wall", "-Wextra", "-Wno-unused-parameter"],
            optional=True,
        )
    ]
    if SOURCES
    else []
)
