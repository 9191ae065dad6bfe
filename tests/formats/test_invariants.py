"""What holds for every record in every format."""

from __future__ import annotations

import json
import math
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tachograph._base.clock import clock
from tachograph._core import native as core
from tachograph.formats.cloudwatch import EmfConfig
from tachograph.formats.emf import Emf
from tachograph.formats.json import FlatJson
from tachograph.formats.nested import NestedJson
from tachograph.formats.plan import Buckets, FieldPlan, Notes, RecordPlan, Summary
from tachograph.testing import FakeClock

from .emf_reader import parse, read

pytestmark = pytest.mark.slow

numbers = st.one_of(st.integers(-(2**70), 2**70), st.floats())
finite = st.one_of(
    st.integers(-(10**6), 10**6), st.floats(-1e6, 1e6, allow_nan=False, allow_infinity=False)
)
words = st.text(st.characters(codec=None), max_size=30)


@st.composite
def summaries(draw: st.DrawFn) -> Summary:
    """A summary of some observations."""
    seen = draw(st.lists(finite, min_size=1, max_size=9))
    return Summary(len(seen), math.fsum(seen), min(seen), max(seen))


@st.composite
def histograms(draw: st.DrawFn) -> Buckets:
    """A histogram of some observations."""
    buckets = sorted(
        draw(st.dictionaries(finite, st.integers(1, 99), min_size=1, max_size=130)).items()
    )
    total = math.fsum(v * c for v, c in buckets)
    summary = Summary(sum(c for _, c in buckets), total, buckets[0][0], buckets[-1][0])
    return Buckets(summary, tuple(buckets))


VALUES: dict[tuple[str, str], st.SearchStrategy[Any]] = {
    ("metric", "int"): numbers.filter(lambda n: isinstance(n, int)),
    ("metric", "float"): st.one_of(numbers, st.just("wrong")),
    ("metric", "bool"): st.booleans(),
    ("metric", "decimal"): st.decimals(allow_nan=True),
    ("metric", "distribution"): st.lists(finite, max_size=230).map(tuple),
    ("metric", "summary"): summaries(),
    ("metric", "histogram"): histograms(),
    ("property", "str"): st.one_of(words, st.just(7)),
    ("list", "list"): st.lists(st.one_of(words, finite, st.none()), max_size=5),
}
names = st.from_regex(r"[A-Za-z][A-Za-z0-9-]{0,8}", fullmatch=True)
dims = st.sampled_from([(), (), (), (("Kind", "Foo"),), (("Kind", "Bar"), ("Type", "é"))])


@st.composite
def records(draw: st.DrawFn) -> tuple[RecordPlan, tuple[Any, ...], Notes | None]:
    """A random class with random values."""
    taken = {"timestamp", "record", "Kind", "Type", "_aws"}
    fields, values = [], []
    wide = draw(st.booleans())
    for name in draw(st.lists(names, max_size=140 if wide else 12, unique=True)):
        kind, type_ = draw(st.sampled_from(list(VALUES)))
        suffixed = tuple(f"{name}_{s}" for s in ("count", "sum", "min", "max", "p50", "p99"))
        if taken & {name, *suffixed}:
            continue
        taken |= {name, *suffixed}
        metric = kind == "metric"
        fields.append(
            FieldPlan(
                name,
                name,
                kind,
                type_,
                draw(st.sampled_from([None, "Bytes", "Parsecs"])) if metric else None,
                True,
                dimensions=draw(dims) if metric else (),
                high_resolution=metric and draw(st.booleans()),
                log_only=metric and draw(st.integers(0, 9)) == 0,
                suffixed=suffixed if type_ in ("distribution", "summary", "histogram") else (),
            )
        )
        values.append(draw(st.one_of(st.none(), VALUES[kind, type_])))
    texts = [f.emitted for f in fields if f.kind == "property"]
    sets = (
        draw(
            st.lists(
                st.lists(st.sampled_from(texts), unique=True, max_size=3).map(tuple), max_size=3
            )
        )
        if texts
        else []
    )
    notes = draw(
        st.sampled_from(
            [
                None,
                Notes(rate=0.3, weight=3),
                Notes(errors=("x: y",), incomplete=("a",)),
                Notes(extra=(("extra 1", 5), ("timestamp", "x"))),
            ]
        )
    )
    return RecordPlan("R", "", tuple(fields), tuple(sets)), tuple(values), notes


@given(records(), st.integers(-(10**9), 2**62))
@settings(deadline=None, max_examples=150)
def test_each_line_is_strict_json_and_repeats(record: Any, time_ns: int) -> None:
    """One object a line, no key twice, the same bytes again [TU-6]."""
    plan, values, notes = record
    formats: list[Any] = [
        FlatJson({"service": "s"}),
        FlatJson({"service": "s"}, native=False),
        NestedJson({"service": "s"}),
        Emf(
            EmfConfig(namespaces=["A", "B"], dimensions=[[], ["service"]], globals={"service": "s"})
        ),
    ]
    for format_ in formats:
        encode = format_.encoder(plan)
        text = encode(time_ns, values, notes)
        assert text.endswith(b"\n")
        for line in text.decode().removesuffix("\n").split("\n"):
            parse(line)
            assert len(line.encode()) <= 262_144
        if b'"_id"' not in text:
            assert text == encode(time_ns, values, notes)
    assert formats[0].encoder(plan)(time_ns, values, notes) == (
        formats[1].encoder(plan)(time_ns, values, notes)
    )


@given(records())
@settings(deadline=None, max_examples=150)
def test_flat_keys_are_in_the_declared_order(record: Any) -> None:
    """Absent values leave no gap [§9 3]."""
    plan, values, notes = record
    found = list(parse(FlatJson({"service": "s"}).encoder(plan)(0, values, notes).decode()))
    fields = [name for f in plan.fields for name in (f.emitted, *f.suffixed)]
    tail = ["extra 1", "_weight", "_rate", "_incomplete", "_truncated", "_errors"]
    order = ["timestamp", "record", "service", *fields, *tail]

    assert found == sorted(found, key=order.index)


@given(records())
@settings(deadline=None, max_examples=200)
def test_emf_loses_and_repeats_no_observation(record: Any) -> None:
    """Counts and sums of all lines are those of the values times the weight [§9 4, 5]."""
    plan, values, notes = record
    lines = (
        Emf(EmfConfig(namespaces=["NS"]))
        .encoder(plan)(0, values, notes)
        .decode()
        .removesuffix("\n")
        .split("\n")
    )
    found = read(lines)
    weight = notes.weight if notes else 1
    documents = [json.loads(line) for line in lines]
    for field, value in zip(plan.fields, values, strict=True):
        if field.kind != "metric" or value is None or isinstance(value, str):
            continue
        count, total = observed(value)
        if not count and not isinstance(value, Summary):
            continue
        keys = [key for key in found if key[2] == field.emitted]
        if field.log_only or not any(d["_aws"]["CloudWatchMetrics"] for d in documents):
            assert [] == keys
            continue
        for key in keys:
            assert count * weight == found[key].count
            assert math.isclose(
                total * weight, found[key].total, rel_tol=1e-9, abs_tol=1e-6 * count * weight
            )
            assert set(field.dimensions) <= set(key[1])


def observed(value: Any) -> tuple[int, float]:
    """How many observations a value holds, and their sum, as CloudWatch takes them."""
    if isinstance(value, Buckets):
        value = value.summary
    if isinstance(value, Summary):
        return value.count, value.total
    many = list(value) if isinstance(value, tuple) else [value]
    many = [v for v in many if not (isinstance(v, Decimal) and v.is_nan())]
    kept = [float(v) if isinstance(v, Decimal | bool) else v for v in many]
    kept = [v for v in kept if v == v]  # noqa: PLR0124 -- NaN
    limit = 2.0**360
    return len(kept), math.fsum(max(-limit, min(limit, v)) for v in kept)


@pytest.mark.skipif(core is None, reason="the native core is not built")
@given(records(), st.integers(-(20 * 86_400), 4 * 3_600))
@settings(deadline=None, max_examples=300)
def test_native_emf_is_its_twins(record: Any, seconds: int) -> None:
    """The same bytes and the same counts, inside and outside the window of time."""
    plan, values, notes = record
    config = EmfConfig(
        namespaces=["A", "B"], dimensions=[[], ["service"]], globals={"service": "s"}, log_group="g"
    )
    native, twin = Emf(config), Emf(config, native=False)
    with FakeClock():
        time_ns = clock.time_ns() + seconds * 10**9
        for each in (values, tuple(None for _ in values)):
            found = native.encoder(plan)(time_ns, each, notes)
            expected = twin.encoder(plan)(time_ns, each, notes)
            if b'"_id"' not in expected:
                assert expected == found
    assert twin.tally == native.tally
