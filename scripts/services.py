"""Starting and stopping instances of a generated service, for the demo and the load."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

__all__ = ["Instance", "free_port", "generate", "lines_of", "running"]


def generate(name: str, directory: Path) -> Path:
    """Make a service with `tacho new` and return its directory."""
    destination = directory / name
    command = [sys.executable, "-m", "tachograph", "new", name, "--dir", str(destination)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return destination


def lines_of(directory: Path, pattern: str) -> list[dict[str, Any]]:
    """Return the JSON lines of the files in *directory* whose names match, in order."""
    texts = (file.read_text() for file in sorted(directory.glob(pattern)))
    return [json.loads(line) for text in texts for line in text.splitlines()]


def free_port() -> int:
    """Return a loopback port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Instance:
    """A process of the service, listening on loopback.

    Args:
        project: The generated project.
        package: Its package.
        telemetry: Directory for its records and logs.
        flags: Further command-line flags.
    """

    def __init__(
        self, project: Path, package: str, telemetry: Path, flags: Sequence[str] = ()
    ) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.telemetry = telemetry
        command = [sys.executable, "-m", package, "--port", str(self.port)]
        command += ["--telemetry-dir", str(telemetry), *flags]
        environment = {**os.environ, "PYTHONPATH": str(project / "src")}
        self.output = telemetry.parent / f"{telemetry.name}.out"
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                command, cwd=project, env=environment, stdout=output, stderr=output
            )

    def wait_ready(self, timeout: float = 15.0) -> None:
        """Wait until `/health` answers.

        Raises:
            RuntimeError: The process ended or did not answer in time.
        """
        end = time.monotonic() + timeout
        while time.monotonic() < end and self.process.poll() is None:
            with (
                contextlib.suppress(urllib.error.URLError, OSError),
                urllib.request.urlopen(f"{self.url}/health", timeout=1),
            ):
                return
            time.sleep(0.05)
        msg = f"the service at {self.url} did not start:\n{self.output.read_text()}"
        raise RuntimeError(msg)

    def send(self, number: signal.Signals) -> None:
        """Send a signal to this process."""
        if self.process.poll() is None:
            self.process.send_signal(number)

    def wait(self, timeout: float = 35.0) -> int:
        """Return the exit code."""
        return self.process.wait(timeout)

    def stop(self) -> None:
        """End the process whatever it takes; nothing is left running."""
        if self.process.poll() is None:
            self.send(signal.SIGCONT)
            self.send(signal.SIGTERM)
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


@contextlib.contextmanager
def running(
    project: Path, package: str, telemetry: Path, flags: Sequence[str] = ()
) -> Iterator[Instance]:
    """Start an instance, wait until it answers, and stop it at the end of the block."""
    instance = Instance(project, package, telemetry, flags)
    try:
        instance.wait_ready()
        yield instance
    finally:
        instance.stop()
