"""The large record of the model's own tests, sampled and not, with dimensions and without."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tachograph.formats.cloudwatch import EmfConfig
from tachograph.formats.emf import Emf
from tachograph.formats.plan import FieldPlan, Notes, RecordPlan, Summary

from .emf_reader import Observed, read
from .test_emf import INF, MS, NAN, S, metric, text

TIME_NS = 1_749_475_336_015_781_900
LARGEST = 2.0**360
CONFIG = EmfConfig(namespaces=["TestNS"], dimensions=[[], ["AWSAccountId"]])
FOO, BAR, EMPTY = (("Kind", "Foo"),), (("Kind", "Bar"),), (("Kind", "Empty"),)
BAZ = (("Kind", "Bar"), ("Type", "Baz"))

RECORD: list[tuple[FieldPlan, Any]] = [
    (metric("NaN", "float"), NAN),
    (text("AWSAccountId"), "012345678901"),
    (text("API"), "MyAPI"),
    (text("StringProp"), "some string value"),
    (metric("HighResCount", high_resolution=True), 1234),
    (metric("BasicIntCount"), 1234),
    (metric("NoMetric", log_only=True), 1235),
    (metric("BasicFloatCount", "float"), 5.4321),
    (metric("SomeDuration", "float", MS, unit_ns=1_000_000), 12_345_678_000),
    (metric("SomeRepeatedDuration", "summary", MS), Summary(3, 6, 1, 3)),
    (metric("Nothing", "summary"), Summary(0, 0, 0, 0)),
    (metric("RepeatedDuration", "distribution", MS), (0.01, 0.17)),
    (metric("CounterWithUnit", "int", "Kilobytes"), 99),
    (metric("MeanValue", "summary", S), Summary(3, 6, 1, 3)),
    (metric("DistributionWithNonFinite", "distribution"), (NAN, INF, -INF, NAN, 1, NAN)),
    (metric("OtherNaN", "float"), NAN),
    (metric("DistributionWithOnlyNaN", "distribution"), (NAN,)),
    (metric("ComplexDistribution", "distribution", "Bits/Second"), (456, 789, 123)),
    (metric("NoObservations", "distribution"), None),
]
SCALARS = {
    "BasicFloatCount": 5.4321,
    "BasicIntCount": 1234,
    "NoMetric": 1235,
    "HighResCount": 1234,
    "CounterWithUnit": 99,
    "SomeDuration": 12_345.678,
}
MANY = {
    "ComplexDistribution": ([456, 789, 123], [1, 1, 1]),
    "MeanValue": ([2], [3]),
    "SomeRepeatedDuration": ([2], [3]),
    "RepeatedDuration": ([0.01, 0.17], [1, 1]),
    "Nothing": ([0], [0]),
    "DistributionWithNonFinite": ([LARGEST, -LARGEST, 1], [1, 1, 1]),
}
DEFINITIONS = [
    {"Name": "HighResCount", "StorageResolution": 1},
    {"Name": "BasicIntCount"},
    {"Name": "BasicFloatCount"},
    {"Name": "SomeDuration", "Unit": "Milliseconds"},
    {"Name": "SomeRepeatedDuration", "Unit": "Milliseconds"},
    {"Name": "Nothing"},
    {"Name": "RepeatedDuration", "Unit": "Milliseconds"},
    {"Name": "CounterWithUnit", "Unit": "Kilobytes"},
    {"Name": "MeanValue", "Unit": "Seconds"},
    {"Name": "DistributionWithNonFinite"},
    {"Name": "ComplexDistribution", "Unit": "Bits/Second"},
]


def lines(fields: list[tuple[FieldPlan, Any]], notes: Notes | None) -> list[str]:
    """The lines of one record; three times the same bytes."""
    encoder = Emf(CONFIG).encoder(RecordPlan("R", "", tuple(f for f, _ in fields)))
    values = tuple(value for _, value in fields)
    texts = {encoder(TIME_NS, values, notes) for _ in range(3)}

    assert 1 == len(texts)
    return texts.pop().decode().removesuffix("\n").split("\n")


@pytest.mark.parametrize("weight", [None, 1, 2])
def test_the_large_record(weight: int | None) -> None:
    """Unsampled, at weight 1 and at weight 2: values, counts, definitions, what is absent [§8.4].

    A stream with a sampler writes Values and Counts for every metric [E-3]; infinities are the
    largest that CloudWatch takes [E-9].
    """
    notes = None if weight is None else Notes(rate=1 / weight, weight=weight)
    (line,) = lines(RECORD, notes)
    found = json.loads(line)
    head = found.pop("_aws")
    n = weight or 1
    expected: dict[str, Any] = {
        name: value if weight is None else {"Values": [value], "Counts": [n]}
        for name, value in SCALARS.items()
    }
    expected |= {
        name: {"Values": values, "Counts": [count * n for count in counts]}
        for name, (values, counts) in MANY.items()
    }
    expected |= {"AWSAccountId": "012345678901", "API": "MyAPI", "StringProp": "some string value"}
    if weight is not None:
        expected |= {"_weight": weight, "_rate": 1 / weight}

    assert expected == found
    assert 1_749_475_336_015 == head["Timestamp"]
    assert [
        {"Namespace": "TestNS", "Dimensions": [[], ["AWSAccountId"]], "Metrics": DEFINITIONS}
    ] == head["CloudWatchMetrics"]


def test_the_dimensioned_variant() -> None:
    """A metric under several dimensions: four lines with all properties [§8.4, E-7, E-8]."""
    fields = [
        (text("AWSAccountId"), "012345678901"),
        (text("API"), "MyAPI"),
        (text("StringProp"), "some string value"),
        (metric("BasicIntCount"), 1234),
        (metric("NoMetric", log_only=True), 1235),
        (metric("MeanValue", "summary", S), Summary(6, 21, 1, 6)),
        (metric("DimensionedIntCount", dimensions=BAR), 1235),
        (metric("MeanValue", "summary", S, dimensions=FOO), Summary(3, 6, 1, 3)),
        (metric("MeanValue", "summary", S, dimensions=EMPTY), None),
        (metric("MeanValue", "summary", S, dimensions=BAR), Summary(3, 15, 4, 6)),
        (metric("MeanValue", "summary", S, dimensions=BAZ), Summary(3, 15, 4, 6)),
    ]
    texts = lines(fields, None)
    found = [json.loads(line) for line in texts]
    account = ("AWSAccountId", "012345678901")

    assert [BAR, FOO, BAZ, ()] == [
        tuple((name, d[name]) for name in ("Kind", "Type") if name in d) for d in found
    ]
    assert [
        [["Kind"], ["AWSAccountId", "Kind"]],
        [["Kind"], ["AWSAccountId", "Kind"]],
        [["Kind", "Type"], ["AWSAccountId", "Kind", "Type"]],
        [[], ["AWSAccountId"]],
    ] == [d["_aws"]["CloudWatchMetrics"][0]["Dimensions"] for d in found]
    assert [None, None, None, 1235] == [d.get("NoMetric") for d in found]
    for document in found:
        assert "012345678901" == document["AWSAccountId"]
        assert "MyAPI" == document["API"]
        assert "some string value" == document["StringProp"]
        assert 1_749_475_336_015 == document["_aws"]["Timestamp"]

    expected = {}
    for own, name, seen in (
        (BAR, "DimensionedIntCount", Observed(1, 1235, 1235, 1235)),
        (BAR, "MeanValue", Observed(3, 15, 5, 5)),
        (FOO, "MeanValue", Observed(3, 6, 2, 2)),
        (BAZ, "MeanValue", Observed(3, 15, 5, 5)),
        ((), "BasicIntCount", Observed(1, 1234, 1234, 1234)),
        ((), "MeanValue", Observed(6, 21, 3.5, 3.5)),
    ):
        expected["TestNS", own, name] = expected["TestNS", (account, *own), name] = seen
    assert expected == read(texts)
