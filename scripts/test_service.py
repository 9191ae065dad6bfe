"""Generate a service as a user would and run the tests that it brings along."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path


def main() -> int:
    """Return the worst exit code of the generated service's format, lint, types and tests."""
    with tempfile.TemporaryDirectory(prefix="tachograph-") as scratch:
        service = Path(scratch) / "orders"
        tacho = [sys.executable, "-m", "tachograph"]
        subprocess.run([*tacho, "new", "orders", "--dir", str(service)], check=True)
        # The service is run from its sources: nothing is installed into this environment.
        environment = {**os.environ, "PYTHONPATH": str(service / "src")}
        checks = (
            ["ruff", "format", "--check", "--quiet", "."],
            ["ruff", "check", "--quiet", "."],
            ["mypy"],
            ["pytest", "-q", "-p", "no:cacheprovider"],
        )
        codes = [
            subprocess.run(
                [sys.executable, "-m", *check], cwd=service, env=environment, check=False
            ).returncode
            for check in checks
        ]
        return max(codes)


if __name__ == "__main__":
    sys.exit(main())
