"""What the recorder's sources cost a service: each alone, those that are on by default, and all.

    python bench/sources_service.py [--pairs N] [--requests N] [--app NAME] [--loop NAME]

Each choice of sources is measured in pairs of processes, one with it and one without the recorder,
that are loaded in turns (`recorder_load`). A figure is the median over the pairs of the ratio of
CPU time a request of the whole process.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import fields
from pathlib import Path

from ratios import estimate, estimate_ratios
from recorder import about, generate
from recorder_load import APPS, Run, Server, run_all, whole_slices

from tachograph.recorder import SourcesConfig

ALONE = "recorder alone"
LIVE_SET = "memory_live_set"  # a part of the memory profile


def choices() -> dict[str, list[str] | None]:
    """Return the sources of each process by its name; None for the usual ones."""
    switches = [f.name for f in fields(SourcesConfig) if f.type == "bool"]
    each: dict[str, list[str] | None] = {
        name: [name, "memory_profile"] if name == LIVE_SET else [name] for name in switches
    }
    return {ALONE: [], **each, "default": None, "all": switches}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--requests", type=whole_slices, default=6_400, help="of each process")
    parser.add_argument("--app", choices=list(APPS), default="generated")
    parser.add_argument("--loop", choices=["asyncio", "uvloop"], default="asyncio")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="of the choices")
    options = parser.parse_args()
    print(about(), flush=True)
    with tempfile.TemporaryDirectory() as scratch:
        source = generate([options.app], Path(scratch))
        plain = Server(options.app, options.loop, source)
        for name, sources in choices().items():
            if options.only and name not in options.only:
                continue
            settings = None if sources is None else {"sources": sources}
            server = Server(options.app, options.loop, source, settings=settings)
            pair = {"on": (server, "tachograph"), "off": (plain, "plain loop")}
            runs = [run_all(pair, options.requests) for _ in range(options.pairs)]
            print_cost(name, runs)


def print_cost(name: str, runs: list[dict[str, Run]]) -> None:
    """Print what a choice costs."""
    on, off = ([pair[side].whole_us for pair in runs] for side in ("on", "off"))
    cost = estimate_ratios(on, off)
    print(f"  {name:<20} {cost}, of {estimate(off).median:.0f} µs a request", flush=True)


if __name__ == "__main__":
    main()
