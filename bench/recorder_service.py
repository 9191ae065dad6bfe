"""A service over HTTP in pairs of processes: one with the whole recorder, one without.

Both of a pair live at the same time and get their requests in turns, a slice each in random order;
the other one is stopped meanwhile, so that both are measured as services without a pause.

Everything that the recorder does is counted: the hooks, the thread that drains, encoding, files,
compression, until the last byte is compressed. What it takes on disk is counted by decoding the
finished segments.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from ratios import Estimate, estimate, estimate_ratios
from recorder_load import CLIENTS, WARM_UP, Run, Server, run_all

__all__ = ["Cost", "measure_service"]


@dataclass(frozen=True, slots=True)
class Cost:
    """What the recorder costs a service.

    Attributes:
        cpu: CPU time a request, with it ÷ without.
        p50: Latency, with it ÷ without.
        p99: The same at p99.
        plain_us: CPU time a request without.
        raw: Bytes a step before compression.
        packed: Bytes a step on disk.
        steps: Steps a request.
        dropped: Events that were lost, of all pairs.
        kinds: The share of each kind of event in what was written, before compression.
    """

    cpu: Estimate
    p50: Estimate
    p99: Estimate
    plain_us: float
    raw: Estimate
    packed: Estimate
    steps: float
    dropped: int
    kinds: dict[str, float]


def measure_service(server: Server, pairs: int, requests: int) -> Cost:
    """Return what the recorder costs, in so many pairs of so many requests."""
    with_it: list[Run] = []
    without: list[Run] = []
    for _ in range(pairs):
        runs = run_all({"on": (server, "tachograph"), "off": (server, "plain loop")}, requests)
        with_it.append(runs["on"])
        without.append(runs["off"])
    sizes = [run.size for run in with_it if run.size is not None]
    kinds = sum((size.kinds for size in sizes), start=Counter[str]())
    lost = ("events_dropped", "events_lost", "own_events_dropped", "own_events_lost")
    return Cost(
        cpu=_ratio((run.whole_us for run in with_it), (run.whole_us for run in without)),
        p50=_ratio((run.p50_ms for run in with_it), (run.p50_ms for run in without)),
        p99=_ratio((run.p99_ms for run in with_it), (run.p99_ms for run in without)),
        plain_us=estimate([run.whole_us for run in without]).median,
        raw=estimate([size.raw / size.steps for size in sizes]),
        packed=estimate([size.packed / size.steps for size in sizes]),
        steps=estimate([size.steps for size in sizes]).median / (requests + CLIENTS * WARM_UP),
        dropped=sum(run.counts[name] for run in with_it for name in lost),
        kinds={name: count / kinds.total() for name, count in kinds.items()},
    )


def _ratio(values: Iterable[float], bases: Iterable[float]) -> Estimate:
    return estimate_ratios(list(values), list(bases))
