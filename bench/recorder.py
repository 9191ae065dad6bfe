"""What the flight recorder costs: against the plain loop, by ratios.

    python bench/recorder.py [--cycles N] [--pairs N] [--requests N] [--workloads NAME...]
        [--apps NAME...] [--loops NAME...] [--profiles NAME...] [--sources none] [--source DIR]

*Micro*: CPU time of workloads that are almost nothing but the loop, recorded and plain in turns in
one process (`recorder_micro`): with the hooks alone, and with the whole recorder. *Service*: pairs
of processes that serve HTTP, one with the whole recorder, one without, loaded in turns
(`recorder_service`). Each figure is the median of the ratios with its 95 % interval. What this
Python lacks is said.
"""

from __future__ import annotations

import argparse
import importlib.util
import itertools
import os
import sys
import tempfile
from pathlib import Path

from recorder_load import APPS, Server, whole_slices
from recorder_micro import PARTS, micro
from recorder_service import Cost, measure_service
from workloads import WORKLOADS

from tachograph.recorder.config import profiles
from tachograph.recorder.core import is_native

ROOT = Path(__file__).resolve().parent.parent


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--cycles", type=int, default=15, help="of each micro workload; 0: none")
    parser.add_argument("--units", type=int, default=400_000, help="of a micro workload")
    parser.add_argument("--workloads", nargs="+", choices=list(WORKLOADS), default=list(WORKLOADS))
    parser.add_argument("--pairs", type=int, default=9, help="of each service; 0: none")
    parser.add_argument("--requests", type=whole_slices, default=9_600, help="of each process")
    parser.add_argument("--apps", nargs="+", choices=list(APPS), default=["small", "generated"])
    parser.add_argument(
        "--loops", nargs="+", choices=["asyncio", "uvloop"], default=["asyncio", "uvloop"]
    )
    parser.add_argument("--profiles", nargs="+", choices=profiles, default=["compact"])
    parser.add_argument(
        "--sources", choices=["default", "none"], default="default", help="of the services"
    )
    parser.add_argument(
        "--source", default="", metavar="DIR", help="of the package `orders`; made if not given"
    )
    options = parser.parse_args()
    print(about(), flush=True)
    if options.cycles:
        print_micro(options)
    if options.pairs:
        with tempfile.TemporaryDirectory() as scratch:
            print_services(options, options.source or generate(options.apps, Path(scratch)))


def about() -> str:
    """Return what is measured on."""
    kind = "native core" if is_native else "twin in Python"
    return f"CPython {sys.version}, {os.cpu_count()} cores; {kind}"


def print_micro(options: argparse.Namespace) -> None:
    """Measure and print the micro workloads."""
    arguments = (options.workloads, options.cycles, options.units)
    found = {part: micro(part, *arguments) for part in PARTS}
    print(f"\n{'CPU, recorded ÷ plain':<24}{'hooks alone':<22}{'whole recorder':<22}")
    for name in options.workloads:
        cells = "".join(f"{found[part]['ratios'][name]!s:<22}" for part in PARTS)
        print(f"{name:<24}{cells}", flush=True)
    if dropped := sum(part["dropped"] for part in found.values()):
        print(f"{dropped:,} events were dropped, and cost nothing more")


def print_services(options: argparse.Namespace, source: str) -> None:
    """Measure and print each application on each loop in each profile."""
    cases = itertools.product(options.apps, options.loops, options.profiles)
    for app, loop, profile in cases:
        wanted = APPS[app] + (["uvloop"] if loop == "uvloop" else [])
        missing = [name for name in wanted if importlib.util.find_spec(name) is None]
        if app == "generated" and not source:
            missing.append("copier, or --source")
        if missing:
            print(f"\n{app} on {loop}: not measured, for want of {', '.join(missing)}", flush=True)
            continue
        settings: dict[str, object] = {"profile": profile}
        if options.sources == "none":
            settings["sources"] = []
        server = Server(app, loop, source, settings=settings)
        cost = measure_service(server, options.pairs, options.requests)
        what = f"{profile} profile, {options.sources} sources, {options.pairs} pairs"
        print(f"\n{app} on {loop}, {what}", flush=True)
        print_cost(cost)
        if profile == "compact":
            shares = sorted(cost.kinds.items(), key=lambda kind: -kind[1])[:4]
            print(f"  {'of the uncompressed':<32}{', '.join(f'{n} {s:.0%}' for n, s in shares)}")


def print_cost(cost: Cost) -> None:
    """Print what one service costs."""
    rows = {
        "CPU a request, with ÷ without": f"{cost.cpu}, of {cost.plain_us:.0f} µs",
        "latency, median": str(cost.p50),
        "latency, p99": str(cost.p99),
        "bytes a step, uncompressed": f"{cost.raw}, {cost.steps:.1f} steps a request",
        "bytes a step, on disk": str(cost.packed),
        "events dropped": f"{cost.dropped:,}",
    }
    for title, text in rows.items():
        print(f"  {title:<32}{text}")


def generate(apps: list[str], scratch: Path) -> str:
    """Return the source of a new service; nothing where none is wanted or none can be made."""
    if "generated" not in apps or importlib.util.find_spec("copier") is None:
        return ""
    sys.path.insert(0, str(ROOT / "scripts"))
    from services import generate as make

    return str(make("orders", scratch) / "src")


if __name__ == "__main__":
    main()
