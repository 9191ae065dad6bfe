"""Processes of a bench: a module beside this one, told in JSON what to do, answering in JSON.

A module is started by its name and not by its path, so that `make bench`, which runs every file
here, runs no process that waits to be told.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

__all__ = ["command", "environment", "run_child"]

HERE = Path(__file__).resolve().parent


def command(module: str, options: Mapping[str, Any], before: Sequence[str] = ()) -> list[str]:
    """Return the command that calls `main` of *module*, behind *before*, a tool that starts it."""
    call = f"import {module}; {module}.main()"
    return [*before, sys.executable, "-c", call, json.dumps(options)]


def environment(*paths: Path | str, **variables: str) -> dict[str, str]:
    """Return this environment, with this directory and *paths* to import from."""
    found = [str(HERE), *map(str, paths), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, found)), **variables}


def run_child(module: str, options: Mapping[str, Any], *, timeout_s: float) -> Any:
    """Return what `main` of *module* printed last, once it has ended.

    Raises:
        RuntimeError: It failed; the message has what it said.
        subprocess.TimeoutExpired: It took too long, and was ended.
    """
    done = subprocess.run(
        command(module, options), env=environment(), capture_output=True, text=True,
        timeout=timeout_s, check=False,
    )  # fmt: skip
    if done.returncode:
        msg = f"`{module}` ended with {done.returncode}:\n{done.stderr[-2000:]}"
        raise RuntimeError(msg)
    return json.loads(done.stdout.splitlines()[-1])
