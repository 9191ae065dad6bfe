"""What all tests share: where the reference data is, when it is there."""

from __future__ import annotations

import os
from pathlib import Path

import hypothesis
import pytest

# Times are measured in bench/, never asserted: a busy machine fails no test.
hypothesis.settings.register_profile("tachograph", deadline=None)
# `make check` asks for few examples, `make test` for all; a test that wants more or fewer than
# usual says so as a share of the profile's.
hypothesis.settings.register_profile("quick", deadline=None, max_examples=20)
hypothesis.settings.load_profile("tachograph")

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the repository."""
    return REPOSITORY


@pytest.fixture(scope="session")
def reference_data() -> Path:
    """The directory of reference files, `../shared` or TACHOGRAPH_SHARED; skips without."""
    path = Path(os.environ.get("TACHOGRAPH_SHARED") or REPOSITORY.parent / "shared")
    if not path.is_dir():
        pytest.skip(f"no reference data at {path}; set TACHOGRAPH_SHARED to run this test")
    return path
