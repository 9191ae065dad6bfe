"""Sampling: which records are written, and what they stand for."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterator
from typing import Any

import pytest

import tachograph as tg
from tachograph.errors import ConfigError
from tachograph.formats.cloudwatch import EmfConfig
from tachograph.formats.emf import Emf
from tachograph.formats.json import FlatJson
from tachograph.metrics import Destination, Sampling, attach, detach, statistics
from tachograph.metrics.sampling import multiplicity
from tachograph.sinks import MemorySink
from tachograph.testing import FakeClock, capture_events


class Request(tg.WideEvent):
    request_id: str = ""
    server_error: bool = False
    outcome = tg.outcome()
    duration = tg.timer()


@pytest.fixture
def sinks() -> Iterator[tuple[MemorySink, MemorySink]]:
    """Two sinks: the first gets everything."""
    first, second = MemorySink(), MemorySink()
    yield first, second
    detach()


def documents(sink: MemorySink) -> list[dict[str, Any]]:
    """The lines of a sink."""
    return [json.loads(line) for line in sink.drain()[0].splitlines()]


@pytest.mark.parametrize(
    ("rate", "n", "alpha"),
    [
        pytest.param(1.0, 1, 1, id="SA-1"),
        pytest.param(0.7, 1, 0.5714, id="SA-2"),
        pytest.param(0.5, 2, 1, id="SA-3"),
        pytest.param(0.4, 2, 0.5, id="SA-4"),
        pytest.param(0.3, 3, 0.6667, id="SA-5"),
        pytest.param(0.225, 4, 0.5556, id="SA-6"),
    ],
)
def test_multiplicities(rate: float, n: int, alpha: float) -> None:
    """Floor of 1/rate with probability alpha, else one more.

    One row each [SA-1, SA-2, SA-3, SA-4, SA-5, SA-6].
    """
    assert n == multiplicity(rate, 0.0)
    assert n == multiplicity(rate, alpha - 0.001)
    if alpha < 1:
        assert n + 1 == multiplicity(rate, alpha + 0.001)


def test_the_multiplicity_of_almost_nothing() -> None:
    """The largest count there is [SA-7]."""
    assert 18446744073709551615 == multiplicity(1e-30, 0.5)


def test_weights_sum_up_to_the_records_offered() -> None:
    """10,000 tries at rate 0.4: mean 1 within one per cent, weights 2 and 3 only [SA-8, §9 6]."""
    sampling, record = Sampling(0.4, seed=7), Request()
    weights = [sampling.decide(record, error=None, duration_ns=0) for _ in range(10_000)]

    assert sum(weights) / 10_000 == pytest.approx(1.0, abs=0.02)
    assert {0, 2, 3} == set(weights)


def test_all_services_keep_the_same_requests() -> None:
    """By the id's hash: the same decision and weight everywhere, whatever else is drawn."""
    one, other = Sampling(0.3, by="request_id", seed=1), Sampling(0.3, by="request_id", seed=2)
    records = [Request(request_id=f"r{n}") for n in range(4_000)]
    first = [one.decide(r, error=None, duration_ns=0) for r in records]

    assert first == [other.decide(r, error=None, duration_ns=0) for r in records]
    assert sum(first) / 4_000 == pytest.approx(1.0, abs=0.07)


@pytest.mark.parametrize(
    ("record", "error", "duration_ns"),
    [
        (Request(server_error=True), None, 0),
        (Request(), ValueError("x"), 0),
        (Request(), None, 2_000_000_000),
        (Request(request_id="vip"), None, 0),
    ],
)
def test_what_matters_is_kept(
    record: Request, error: BaseException | None, duration_ns: int
) -> None:
    """Errors, slow ones and chosen ones stand for themselves."""
    sampling = Sampling(1e-9, keep_slower_than=1.0, keep=lambda r: r.request_id == "vip")

    assert 1 == sampling.decide(record, error=error, duration_ns=duration_ns)


def test_what_is_kept_anyway_says_so(sinks: tuple[MemorySink, MemorySink]) -> None:
    """Its rate is 1, not the sampler's: it was not drawn."""
    attach([Destination(FlatJson(), sinks[0], sampler=Sampling(1e-9))])
    with Request(server_error=True):
        pass
    (document,) = documents(sinks[0])

    assert (1, 1) == (document["_weight"], document["_rate"])


def test_an_assigned_outcome_is_an_error() -> None:
    """Any but Ok."""
    with capture_events(), Request() as record:
        record.outcome = tg.Outcome.ERROR
        assert 1 == Sampling(1e-9).decide(record, error=None, duration_ns=0)


class Step(tg.WideEvent):
    ended = tg.outcome()


class Flow(tg.WideEvent):
    result = tg.outcome()
    plain: tg.Outcome = tg.Outcome.OK
    step: Step = tg.slot()
    last: Step = tg.slot(flatten=True, prefix="last")


@pytest.mark.parametrize(
    ("outcome", "expected"), [(tg.Outcome.ERROR, 1), (tg.Outcome.OK, 0), (None, 0)]
)
@pytest.mark.parametrize("path", ["result", "plain", "step.ended", "last.ended"])
def test_an_outcome_is_found_by_what_it_is(
    path: str, outcome: tg.Outcome | None, expected: int
) -> None:
    """Whatever its name, and in a child, whose fields are the record's too."""
    with capture_events(), Flow() as record:
        *above, name = path.split(".")
        if outcome is not None:
            setattr(getattr(record, above[0]) if above else record, name, outcome)

        assert expected == Sampling(1e-9).decide(record, error=None, duration_ns=0)


def test_a_lost_child_is_no_error() -> None:
    """What stands in its place has no outcome; the record is drawn as any."""
    record: Any = Flow()
    record.step = None

    assert 0 == Sampling(1e-9).decide(record, error=None, duration_ns=0)


def test_a_cancelled_record_is_no_error() -> None:
    """Cancelled by the client, it is as good as any."""
    error = asyncio.CancelledError()

    assert 0 == Sampling(1e-9).decide(Request(), error=error, duration_ns=0)


def test_a_failing_sampler_keeps_the_record() -> None:
    """An attribute that is not there, a predicate that raises: kept, counted."""
    before = statistics.sampling_errors
    failing = [Sampling(0.5, by="nothing"), Sampling(0.5, keep=lambda r: r.nothing)]

    assert [1, 1] == [s.decide(Request(), error=None, duration_ns=0) for s in failing]
    assert before + 2 == statistics.sampling_errors


@pytest.mark.parametrize("rate", [0, -0.1, 1.1, float("nan")])
def test_rates_are_checked(rate: float) -> None:
    """Above 0, at most 1."""
    with pytest.raises(ConfigError, match="rate: expected a number above 0 and at most 1"):
        Sampling(rate)


def test_every_record_to_one_place_and_a_sample_to_another(
    sinks: tuple[MemorySink, MemorySink],
) -> None:
    """The archive has no marks; the sample says its weight; the counts add up."""
    sampling = Sampling(0.2, by="request_id")
    emf = Emf(EmfConfig(namespaces=["NS"]))
    attach([Destination(FlatJson(), sinks[0]), Destination(emf, sinks[1], sampler=sampling)])
    for n in range(2_000):
        with Request(request_id=str(n)):
            pass
    archive, sample = documents(sinks[0]), documents(sinks[1])

    assert 2_000 == len(archive)
    assert not any("_weight" in document for document in archive)
    assert sum(d["_weight"] for d in sample) == pytest.approx(2_000, rel=0.15)
    assert all(d["duration"]["Counts"] == [d["_weight"]] and d["_rate"] == 0.2 for d in sample)


def test_a_sampled_out_record_is_counted(sinks: tuple[MemorySink, MemorySink]) -> None:
    """Emitted and left out together are all records."""
    attach([Destination(FlatJson(), sinks[0], sampler=Sampling(0.5, seed=3))])
    emitted, out = statistics.emitted, statistics.sampled_out
    for _ in range(200):
        with Request():
            pass

    assert 200 == statistics.emitted - emitted + statistics.sampled_out - out
    assert statistics.emitted - emitted == len(documents(sinks[0]))


def test_destinations_that_share_a_sampler_agree(sinks: tuple[MemorySink, MemorySink]) -> None:
    """It is asked once for each record."""
    sampling = Sampling(0.5, seed=5)
    attach([Destination(FlatJson(), sink, sampler=sampling) for sink in sinks])
    for n in range(200):
        with Request(request_id=str(n)):
            pass
    first, second = (documents(sink) for sink in sinks)

    assert first == second
    assert 60 < len(first) < 140


def test_a_kept_record_is_not_drawn(sinks: tuple[MemorySink, MemorySink]) -> None:
    """`keep()` before the end of the scope: written, weight 1 [LC-15]."""
    attach([Destination(FlatJson(), sinks[0], sampler=Sampling(1e-9))])
    with Request() as record:
        record.keep()

    (document,) = documents(sinks[0])
    assert (1, 1) == (document["_weight"], document["_rate"])


def test_slow_records_are_measured_by_the_scope(sinks: tuple[MemorySink, MemorySink]) -> None:
    """From its start to its end."""
    attach([Destination(FlatJson(), sinks[0], sampler=Sampling(1e-9, keep_slower_than=1.0))])
    with FakeClock() as clock:
        for seconds in (0.9, 1.1):
            with Request(request_id=str(seconds)):
                clock.advance(seconds)

    assert ["1.1"] == [document["request_id"] for document in documents(sinks[0])]


def test_captures_see_what_is_sampled_out(sinks: tuple[MemorySink, MemorySink]) -> None:
    """A test wants every record."""
    attach([Destination(FlatJson(), sinks[0], sampler=Sampling(1e-9))])
    with capture_events() as events, Request():
        pass

    assert 1 == len(events.all(Request))
    assert [] == documents(sinks[0])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_forked_child_draws_other_numbers() -> None:
    """Otherwise all workers of a prefork server would keep the same ones."""
    sampling, record = Sampling(0.5), Request()

    def draws() -> bytes:
        return bytes(bool(sampling.decide(record, error=None, duration_ns=0)) for _ in range(64))

    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        os.write(writer, draws())
        os._exit(0)
    os.waitpid(child, 0)

    assert os.read(reader, 64) != draws()
