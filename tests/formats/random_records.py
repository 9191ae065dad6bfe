"""Random record classes with random values, for tests of what holds for all of them."""

from __future__ import annotations

import math
from typing import Any

from hypothesis import strategies as st

from tachograph.formats.plan import Buckets, FieldPlan, Notes, RecordPlan, Summary

numbers = st.one_of(st.integers(-(2**70), 2**70), st.floats())
finite = st.one_of(
    st.integers(-(10**6), 10**6), st.floats(-1e6, 1e6, allow_nan=False, allow_infinity=False)
)
words = st.one_of(
    st.text(st.characters(codec=None), max_size=30),
    st.sampled_from(["", " ", "\n\t", "\u00a0", "plain", " padded ", '"', "x" * 1_500]),
)


# Lists that are drawn element by element are short, so what is over a limit is made at once.
crowds = st.integers(101, 230).map(lambda count: [number / 8 for number in range(count)])


@st.composite
def summaries(draw: st.DrawFn) -> Summary:
    """A summary of some observations."""
    seen = draw(st.lists(finite, min_size=1, max_size=9))
    return Summary(len(seen), math.fsum(seen), min(seen), max(seen))


@st.composite
def histograms(draw: st.DrawFn) -> Buckets:
    """A histogram of some observations."""
    few = st.lists(finite, min_size=1, max_size=9, unique_by=float)
    values = sorted(draw(st.one_of(few, crowds)))
    buckets = [(value, draw(st.integers(1, 99))) for value in values[:130]]
    total = math.fsum(v * c for v, c in buckets)
    summary = Summary(sum(c for _, c in buckets), total, buckets[0][0], buckets[-1][0])
    return Buckets(summary, tuple(buckets))


VALUES: dict[tuple[str, str], st.SearchStrategy[Any]] = {
    ("metric", "int"): numbers.filter(lambda n: isinstance(n, int)),
    ("metric", "float"): st.one_of(numbers, st.just("wrong")),
    ("metric", "bool"): st.booleans(),
    ("metric", "decimal"): st.decimals(allow_nan=True),
    ("metric", "distribution"): st.one_of(st.lists(finite, max_size=9), crowds).map(tuple),
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
    fields: list[FieldPlan] = []
    values: list[Any] = []
    for number in range(draw(st.sampled_from([0, 0, 0, 101, 140]))):
        fields.append(FieldPlan(f"w-{number}", f"w-{number}", "metric", "int", None, True))
        values.append(number)
        taken.add(f"w-{number}")
    for name in draw(st.lists(names, max_size=12, unique=True)):
        kind, type_ = draw(st.sampled_from(list(VALUES)))
        suffixed = tuple(f"{name}_{s}" for s in ("count", "sum", "min", "max", "p50", "p99"))
        if taken & {name, *suffixed}:
            continue
        taken |= {name, *suffixed}
        many = type_ in ("distribution", "summary", "histogram")
        metric = kind == "metric"
        fields.append(
            FieldPlan(
                name,
                name,
                kind,
                type_,
                draw(st.sampled_from([None, "Bytes", "Parsecs"])) if metric else None,
                many or draw(st.integers(0, 4)) > 0,
                dimensions=draw(dims) if metric else (),
                high_resolution=metric and draw(st.booleans()),
                log_only=metric and draw(st.integers(0, 9)) == 0,
                suffixed=suffixed if many else (),
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
                Notes(rate=1.0),
                Notes(rate=2.0**-40, weight=2**40),
                Notes(rate=0.001, weight=1000, errors=("x: y",)),
                Notes(errors=("x: y",), incomplete=("a",)),
                Notes(extra=(("extra 1", 5), ("timestamp", "x"))),
            ]
        )
    )
    return RecordPlan("R", "", tuple(fields), tuple(sets)), tuple(values), notes
