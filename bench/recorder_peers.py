"""The recorder beside what else watches a loop or a process, on the same work.

    python bench/recorder_peers.py [--rounds N] [--requests N] [--units N] [--only NAME...]

Each tool runs in a process of its own, all of them once in each round, in random order; figures are
CPU time of the process, all threads, as a ratio to the plain loop of the same round: of a request
to a server of streams (`recorder_server`), and of an empty step. The recorder's has all that it
does until the last byte is compressed; of the others, what they do after the load is not counted.
The first run installs them (dependency group `profilers`) into scratch/profilers, apart from .venv.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from ratios import Estimate, estimate, estimate_ratios
from recorder_load import Server, run, whole_slices
from started import command, environment
from tools import TOOLS, Tool

ROOT = Path(__file__).resolve().parent.parent
PLACE = ROOT / "scratch" / "profilers"
TIMEOUT_S = 300


def install(place: Path) -> None:
    """Fetch each of the group, once, into a directory of its own; say why one has not come."""
    marker = place / f".ready-{platform.python_version()}"
    if marker.exists():
        return
    place.mkdir(parents=True, exist_ok=True)
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]
    for requirement in groups["profilers"]:
        target = place / requirement.partition(">")[0]  # pip replaces `bin` of one that is shared
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--only-binary", ":all:"]
        done = subprocess.run(
            [*pip, "--target", str(target), requirement],
            capture_output=True, text=True, check=False, timeout=TIMEOUT_S,
        )  # fmt: skip
        if done.returncode:
            print(f"{requirement} cannot be installed: {_last_line(done.stderr)}")
    marker.touch()


def _last_line(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1].strip() if lines else "no reason was given"


@dataclass(slots=True)
class Measured:
    """One tool's figures, a value a round.

    Attributes:
        request: Of a request, over the plain loop's.
        step: Of an empty step.
        failure: Why there are none.
    """

    request: list[float] = field(default_factory=list)
    step: list[float] = field(default_factory=list)
    failure: str = ""


@dataclass(frozen=True, slots=True)
class Spent:
    """CPU time under load and of the whole, as in `recorder_load.Run`."""

    load: float
    whole: float

    def of(self, tool: type[Tool]) -> float:
        """Return what counts for *tool*."""
        return self.whole if tool.writes else self.load


def empty_steps(name: str, units: int) -> Spent:
    """Return what a process with *units* empty steps spends under the tool.

    Raises:
        RuntimeError: It failed.
    """
    with tempfile.TemporaryDirectory() as directory:
        # Faster than anything can be written; room for all, so that all is written.
        settings = {"ring_events": 1 << 19}
        options = {"tool": name, "units": units, "directory": directory, "settings": settings}
        done = subprocess.run(
            command("recorder_step", options, TOOLS[name].before(directory)),
            env=environment(*_places()),
            capture_output=True, text=True, timeout=TIMEOUT_S, check=False,
        )  # fmt: skip
        answers = [line for line in done.stdout.splitlines() if line.startswith("{")]
        if done.returncode or not answers:
            raise RuntimeError(_last_line(done.stderr))
        found = json.loads(answers[-1])
        return Spent(found["load_ns"], found["whole_ns"])


def _places() -> list[str]:
    return [str(path) for path in sorted(PLACE.iterdir()) if path.is_dir()]


def requests_of(name: str, requests: int) -> Spent:
    """Return what a server under the tool spends on a request."""
    found = run(Server("streams", path=os.pathsep.join(_places())), name, requests)
    return Spent(found.load_us, found.whole_us)


def measure(names: Iterable[str], options: argparse.Namespace) -> dict[str, Measured]:
    """Return each tool's figures; one that fails is left out of the rounds that follow."""
    found = {name: Measured() for name in names}
    for number in range(options.rounds):
        left = [name for name, measured in found.items() if not measured.failure]
        spent: dict[str, tuple[Spent, Spent]] = {}
        for name in random.sample(left, len(left)):
            try:
                spent[name] = (
                    requests_of(name, options.requests),
                    empty_steps(name, options.units),
                )
            except (OSError, RuntimeError, subprocess.TimeoutExpired) as error:
                found[name].failure = _last_line(str(error))
        plain = spent[Tool.name]
        for name, (request, step) in spent.items():
            tool = TOOLS[name]
            found[name].request.append(request.of(tool) / plain[0].of(tool))
            found[name].step.append(step.of(tool) / plain[1].of(tool))
        print(f"  round {number + 1} of {options.rounds}", file=sys.stderr, flush=True)
    return found


def main() -> None:
    """Install, measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--requests", type=whole_slices, default=6_400)
    parser.add_argument("--units", type=int, default=200_000, help="empty steps of a round")
    parser.add_argument("--only", nargs="+", choices=list(TOOLS), default=list(TOOLS))
    options = parser.parse_args()
    install(PLACE)
    os.environ["PY_SPY"] = str(PLACE / "py-spy" / "bin" / "py-spy")
    print(f"CPython {platform.python_version()}, {os.cpu_count()} cores")
    found = measure(dict.fromkeys([Tool.name, *options.only]), options)
    print(f"{'CPU ÷ plain loop':<30}{'a request':<22}{'an empty step':<22}sees steps")
    for name, measured in found.items():
        if measured.failure:
            print(f"{name:<30}does not run here: {measured.failure}")
        elif name != Tool.name:
            request, step = estimate(measured.request), estimate(measured.step)
            print(f"{name:<30}{request!s:<22}{step!s:<22}{TOOLS[name].sees}")
    _verdict(found)


def _verdict(found: dict[str, Measured]) -> None:
    """Say whether the recorder costs least of all that see every step, round by round."""
    ours = found.get("tachograph")
    if ours is None or not ours.request:
        return
    for name, measured in found.items():
        if TOOLS[name].sees in {"each", "totals", "slow"} and measured is not ours:
            rounds = min(len(ours.request), len(measured.request))
            if not rounds:
                continue
            pairs: list[Estimate] = [
                estimate_ratios(theirs[:rounds], own[:rounds])
                for theirs, own in ((measured.request, ours.request), (measured.step, ours.step))
            ]
            print(f"{name} ÷ tachograph: a request {pairs[0]}, an empty step {pairs[1]}")


if __name__ == "__main__":
    main()
