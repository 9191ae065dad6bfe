"""CloudWatch's embedded metric format: golden lines, limits, and an independent reader."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest

from tachograph._base.clock import clock
from tachograph.formats.cloudwatch import Directive, EmfConfig
from tachograph.formats.emf import Emf
from tachograph.formats.plan import Buckets, FieldPlan, Notes, RecordPlan, Summary

from .emf_reader import Observed, read

NAN, INF = float("nan"), float("inf")
MS, S = "Milliseconds", "Seconds"


def metric(name: str, type: str = "int", unit: str | None = None, **more: Any) -> FieldPlan:
    """A field that is a metric."""
    return FieldPlan(name, name, "metric", type, unit, True, **more)


def text(name: str) -> FieldPlan:
    """A field that is a property."""
    return FieldPlan(name, name, "property", "str", None, True)


def tags(name: str) -> FieldPlan:
    """A field that is a list."""
    return FieldPlan(name, name, "list", "list", None, True)


def encode(
    fields: Sequence[tuple[FieldPlan, Any]],
    *,
    sets: Sequence[Sequence[str]] = (),
    time_ns: int = 0,
    notes: Notes | None = None,
    emf: Emf | None = None,
    **config: Any,
) -> list[str]:
    """Return the lines of one record, without their newlines."""
    plan = RecordPlan("R", "", tuple(f for f, _ in fields), tuple(tuple(s) for s in sets))
    emf = emf or Emf(EmfConfig(**({"namespaces": ["NS"]} | config)))
    lines = emf.encoder(plan)(time_ns, tuple(v for _, v in fields), notes).decode()
    assert lines.endswith("\n")
    return lines.removesuffix("\n").split("\n")


GOLDEN: list[tuple[str, list[tuple[FieldPlan, Any]], dict[str, Any], list[str]]] = [
    (
        "M-1",
        [(metric("MyField"), 4)],
        {"namespaces": ["MyApp"]},
        [
            '{"_aws":{"CloudWatchMetrics":[{"Namespace":"MyApp","Dimensions":[[]],"Metrics":[{"Name":"MyField"}]}],"Timestamp":0},"MyField":4}',
        ],
    ),
    (
        "M-2",
        [
            (metric("NumberOfDucks"), 1000),
            (text("Operation"), "operation"),
            (text("Status"), "status"),
        ],
        {"namespaces": ["MyApp"], "sets": [["Status", "Operation"], ["Operation"], []]},
        [
            '{"_aws":{"CloudWatchMetrics":[{"Namespace":"MyApp","Dimensions":[["Status","Operation"],["Operation"],[]],"Metrics":[{"Name":"NumberOfDucks"}]}],"Timestamp":0},"NumberOfDucks":1000,"Operation":"operation","Status":"status"}',
        ],
    ),
    (
        "M-3",
        [(metric("MyField"), 4), (text("Operation"), "Foo"), (text("Status"), "200")],
        {"namespaces": ["MyApp", "MyApp2"], "sets": [["Operation"], ["Operation", "Status"]]},
        [
            '{"_aws":{"CloudWatchMetrics":[{"Namespace":"MyApp","Dimensions":[["Operation"],["Operation","Status"]],"Metrics":[{"Name":"MyField"}]},{"Namespace":"MyApp2","Dimensions":[["Operation"],["Operation","Status"]],"Metrics":[{"Name":"MyField"}]}],"Timestamp":0},"MyField":4,"Operation":"Foo","Status":"200"}',
        ],
    ),
    (
        "M-4",
        [
            (metric("MyField"), 4),
            (metric("TimeTaken", "float", MS), 1.2),
            (text("Operation"), "Foo"),
            (text("MachineType"), "r7g.2xlarge"),
        ],
        {
            "namespaces": ["MyApp"],
            "dimensions": [["Operation"]],
            "directives": [Directive("MyApp", [["Operation", "MachineType"]], {"TimeTaken": MS})],
        },
        [
            '{"_aws":{"CloudWatchMetrics":[{"Namespace":"MyApp","Dimensions":[["Operation"]],"Metrics":[{"Name":"MyField"},{"Name":"TimeTaken","Unit":"Milliseconds"}]},{"Namespace":"MyApp","Dimensions":[["Operation","MachineType"]],"Metrics":[{"Name":"TimeTaken","Unit":"Milliseconds"}]}],"Timestamp":0},"MyField":4,"TimeTaken":1.2,"Operation":"Foo","MachineType":"r7g.2xlarge"}',
        ],
    ),
    (
        "M-5",
        [(metric("MyField"), 4)],
        {"namespaces": ["MyApp"], "log_group": "Foo"},
        [
            '{"_aws":{"CloudWatchMetrics":[{"Namespace":"MyApp","Dimensions":[[]],"Metrics":[{"Name":"MyField"}]}],"LogGroupName":"Foo","Timestamp":0},"MyField":4}',
        ],
    ),
    (
        "M-6",
        [],
        {"namespaces": ["TestNS"], "time_ns": 1_749_475_336_015_781_900},
        [
            '{"_aws":{"CloudWatchMetrics":[{"Namespace":"TestNS","Dimensions":[[]],"Metrics":[]}],"Timestamp":1749475336015}}',
        ],
    ),
    (
        "M-7",
        [
            (metric("NumberOfDucks"), 10),
            (metric("NoMetric", log_only=True), 1),
            (metric("HighStorageResolution", high_resolution=True), 1),
            (tags("ActivePlugins"), ["auth", "logging"]),
            (text("Region"), "us-east-1"),
            (text("Operation"), "CountDucks"),
            (text("Status"), "SUCCESS"),
        ],
        {
            "namespaces": ["MyApp"],
            "dimensions": [["Region"]],
            "sets": [["Status", "Operation"], ["Operation"]],
            "time_ns": 1_753_189_090_887_000_000,
        },
        [
            '{"_aws":{"CloudWatchMetrics":[{"Namespace":"MyApp","Dimensions":[["Region","Status","Operation"],["Region","Operation"]],"Metrics":[{"Name":"NumberOfDucks"},{"Name":"HighStorageResolution","StorageResolution":1}]}],"Timestamp":1753189090887},"NumberOfDucks":10,"NoMetric":1,"HighStorageResolution":1,"ActivePlugins":["auth","logging"],"Region":"us-east-1","Operation":"CountDucks","Status":"SUCCESS"}',
        ],
    ),
    (
        "M-8",
        [(metric("D", "distribution"), (1, 2, NAN))],
        {},
        [
            '{"_aws":{"CloudWatchMetrics":[{"Namespace":"NS","Dimensions":[[]],"Metrics":[{"Name":"D"}]}],"Timestamp":0},"D":{"Values":[1,2],"Counts":[1,1]}}',
        ],
    ),
    (
        "M-9",
        [(metric("X", "float"), NAN), (metric("Y", "distribution"), (NAN,)), (metric("A"), 1)],
        {},
        [
            '{"_aws":{"CloudWatchMetrics":[{"Namespace":"NS","Dimensions":[[]],"Metrics":[{"Name":"A"}]}],"Timestamp":0},"A":1}',
        ],
    ),
    (
        "M-10",
        [(metric("I", "distribution"), (INF, -INF, 1))],
        {},
        [
            '{"_aws":{"CloudWatchMetrics":[{"Namespace":"NS","Dimensions":[[]],"Metrics":[{"Name":"I"}]}],"Timestamp":0},"I":{"Values":[2.3485425827738332e108,-2.3485425827738332e108,1],"Counts":[1,1,1]}}',
        ],
    ),
    (
        "M-11",
        [
            (metric("Repeated", "summary", MS), Summary(3, 6, 1, 3)),
            (metric("Nothing", "summary"), Summary(0, 0, 0, 0)),
            (metric("Durations", "distribution", MS), (0.01, 0.17)),
            (metric("Bits", "distribution", "Bits/Second"), (456, 789, 123)),
            (metric("Kb", "int", "Kilobytes"), 99),
            (metric("None_", "distribution"), None),
        ],
        {},
        [
            '{"_aws":{"CloudWatchMetrics":[{"Namespace":"NS","Dimensions":[[]],"Metrics":[{"Name":"Repeated","Unit":"Milliseconds"},{"Name":"Nothing"},{"Name":"Durations","Unit":"Milliseconds"},{"Name":"Bits","Unit":"Bits/Second"},{"Name":"Kb","Unit":"Kilobytes"}]}],"Timestamp":0},"Repeated":{"Values":[2],"Counts":[3]},"Nothing":{"Values":[0],"Counts":[0]},"Durations":{"Values":[0.01,0.17],"Counts":[1,1]},"Bits":{"Values":[456,789,123],"Counts":[1,1,1]},"Kb":99}',
        ],
    ),
    (
        "M-12",
        [
            (metric("BasicFloatCount", "float"), 5.4321),
            (metric("SomeDuration", "float", MS), 12345.678),
            (metric("Repeated", "summary", MS), Summary(3, 6, 1, 3)),
            (metric("NoMetric", log_only=True), 1235),
        ],
        {"notes": Notes(rate=0.5, weight=2)},
        [
            '{"_aws":{"CloudWatchMetrics":[{"Namespace":"NS","Dimensions":[[]],"Metrics":[{"Name":"BasicFloatCount"},{"Name":"SomeDuration","Unit":"Milliseconds"},{"Name":"Repeated","Unit":"Milliseconds"}]}],"Timestamp":0},"BasicFloatCount":{"Values":[5.4321],"Counts":[2]},"SomeDuration":{"Values":[12345.678],"Counts":[2]},"Repeated":{"Values":[2],"Counts":[6]},"NoMetric":{"Values":[1235],"Counts":[2]},"_weight":2,"_rate":0.5}',
        ],
    ),
    (
        "M-13",
        [(metric("my_counter", dimensions=(("label", "value1"),)), 1)],
        {"namespaces": ["MyNS"], "time_ns": 86_400_000_000_000},
        [
            '{"_aws":{"CloudWatchMetrics":[{"Namespace":"MyNS","Dimensions":[["label"]],"Metrics":[{"Name":"my_counter"}]}],"Timestamp":86400000},"label":"value1","my_counter":1}',
        ],
    ),
    (
        "M-14",
        [(metric("my_counter"), 3)],
        {"namespaces": ["MyNS"], "time_ns": 86_400_000_000_000},
        [
            '{"_aws":{"CloudWatchMetrics":[{"Namespace":"MyNS","Dimensions":[[]],"Metrics":[{"Name":"my_counter"}]}],"Timestamp":86400000},"my_counter":3}',
        ],
    ),
    (
        "M-15",
        [
            (metric("CpuPercent", "float"), 85.5),
            (text("Region"), "us-east-1"),
            (text("Environment"), None),
        ],
        {"namespaces": ["Infra"], "sets": [["Region"], ["Region", "Environment"]]},
        [
            '{"_aws":{"CloudWatchMetrics":[{"Namespace":"Infra","Dimensions":[["Region"]],"Metrics":[{"Name":"CpuPercent"}]}],"Timestamp":0},"CpuPercent":85.5,"Region":"us-east-1"}',
        ],
    ),
    (
        "M-16",
        [
            (text("field1"), "a"),
            (text("field2"), "2"),
            (text("field3"), "3"),
            (text("field4"), "4"),
        ],
        {"namespaces": ["test"], "sets": [["field4", "field1", "field2"], ["field4", "field3"]]},
        [
            '{"_aws":{"CloudWatchMetrics":[{"Namespace":"test","Dimensions":[["field4","field1","field2"],["field4","field3"]],"Metrics":[]}],"Timestamp":0},"field1":"a","field2":"2","field3":"3","field4":"4"}',
        ],
    ),
    (
        "M-17",
        [(metric("Ok", "bool"), True), (metric("Neg"), -5), (text("msg"), 'α"\x00\x0e')],
        {},
        [
            '{"_aws":{"CloudWatchMetrics":[{"Namespace":"NS","Dimensions":[[]],"Metrics":[{"Name":"Ok"},{"Name":"Neg"}]}],"Timestamp":0},"Ok":1,"Neg":-5,"msg":"α\\"\\u0000\\u000e"}',
        ],
    ),
    (
        "M-18",
        [
            (metric("MeanValue", "summary", S, dimensions=(("Kind", "Foo"),)), Summary(3, 6, 1, 3)),
            (metric("BasicIntCount"), 1234),
        ],
        {"dimensions": [[], ["Account"]], "globals": {"Account": "012"}},
        [
            '{"_aws":{"CloudWatchMetrics":[{"Namespace":"NS","Dimensions":[["Kind"],["Account","Kind"]],"Metrics":[{"Name":"MeanValue","Unit":"Seconds"}]}],"Timestamp":0},"Kind":"Foo","MeanValue":{"Values":[2],"Counts":[3]},"Account":"012"}',
            '{"_aws":{"CloudWatchMetrics":[{"Namespace":"NS","Dimensions":[[],["Account"]],"Metrics":[{"Name":"BasicIntCount"}]}],"Timestamp":0},"BasicIntCount":1234,"Account":"012"}',
        ],
    ),
    (
        "M-19",
        [(metric("MeanValue", "summary", S, dimensions=(("Kind", "Foo"),)), Summary(3, 6, 1, 3))],
        {"dimensions": [[], ["Account"]], "globals": {"Account": "012"}},
        [
            '{"_aws":{"CloudWatchMetrics":[{"Namespace":"NS","Dimensions":[["Kind"],["Account","Kind"]],"Metrics":[{"Name":"MeanValue","Unit":"Seconds"}]}],"Timestamp":0},"Kind":"Foo","MeanValue":{"Values":[2],"Counts":[3]},"Account":"012"}',
        ],
    ),
    (
        "M-20",
        [
            (
                metric("MeanValue", "summary", S, dimensions=(("Kind", "Foo"),), log_only=True),
                Summary(3, 6, 1, 3),
            )
        ],
        {"dimensions": [[], ["Account"]], "globals": {"Account": "012"}},
        [
            '{"_aws":{"CloudWatchMetrics":[{"Namespace":"NS","Dimensions":[["Kind"],["Account","Kind"]],"Metrics":[]}],"Timestamp":0},"Kind":"Foo","MeanValue":{"Values":[2],"Counts":[3]},"Account":"012"}',
        ],
    ),
]


@pytest.mark.parametrize(
    ("fields", "options", "expected"),
    [pytest.param(*rest, id=name) for name, *rest in GOLDEN],
)
def test_golden_lines(
    fields: list[tuple[FieldPlan, Any]], options: dict[str, Any], expected: list[str]
) -> None:
    """Byte for byte the lines of the reference [M-1 to M-20, E-1, E-2].

    M-18 is two lines: of the dimensioned metric, then of the other [M-18a, M-18b, E-7, E-8]; a
    record is one log event a line, nothing before or after the object [E-12].
    """
    assert expected == encode(fields, **options)


def many(count: int, **more: Any) -> list[tuple[FieldPlan, Any]]:
    """So many metrics, each with its number."""
    return [(metric(f"m{n}", **more), n) for n in range(count)]


def parts(lines: Sequence[str]) -> list[int]:
    """How many definitions each line has in its first directive."""
    return [len(json.loads(line)["_aws"]["CloudWatchMetrics"][0]["Metrics"]) for line in lines]


@pytest.mark.parametrize(
    ("count", "expected"),
    [(99, [99]), (100, [100]), (101, [100, 1]), (250, [100, 100, 50]), (120, [100, 20])],
)
def test_a_hundred_metrics_a_line(count: int, expected: list[int]) -> None:
    """More are cut into lines that repeat every property [SP-1, SP-2, SP-3, SP-7, SP-9]."""
    lines = encode([*many(count), *((text(f"p{n}"), "x") for n in range(35))])
    documents = [json.loads(line) for line in lines]

    assert expected == parts(lines)
    assert all(35 == sum(key.startswith("p") for key in d) for d in documents)
    if len(lines) == 1:
        assert "_part" not in documents[0]
    else:
        assert list(range(1, len(lines) + 1)) == [d["_part"] for d in documents]
        assert {len(lines)} == {d["_parts"] for d in documents}
        assert 1 == len({d["_id"] for d in documents})
    assert [1] * count == [o.count for o in read(lines).values()]


@pytest.mark.parametrize(("count", "lines"), [(100, 1), (101, 2), (250, 3)])
def test_a_hundred_values_a_metric(count: int, lines: int) -> None:
    """More are cut into several lines, none lost [SP-4]."""
    found = encode([(metric("d", "distribution"), tuple(range(count)))])

    assert lines == len(found)
    assert Observed(count, sum(range(count)), 0, count - 1) == read(found)["NS", (), "d"]


def test_equal_values_are_merged_first() -> None:
    """250 times the same is one value with its count [SP-5, E-2]."""
    (line,) = encode([(metric("d", "distribution"), (7,) * 250)])

    assert {"Values": [7], "Counts": [250]} == json.loads(line)["d"]


def test_many_metrics_one_of_many_values() -> None:
    """Its second chunk is in a second layer [SP-6]."""
    fields = [*many(100), (metric("d", "distribution"), tuple(range(150)))]

    assert [100, 1, 1] == parts(encode(fields))


def test_values_that_are_no_metrics_ride_on_the_first_line() -> None:
    """100 metrics and 5 values fit one line [SP-8]."""
    (line,) = encode([*many(100), *((metric(f"v{n}", log_only=True), n) for n in range(5))])

    assert [100] == parts([line])
    assert 105 == sum(1 for key in json.loads(line) if key != "_aws")


def test_each_line_has_every_namespace() -> None:
    """Split lines too [SP-11]."""
    lines = encode(many(101), namespaces=["A", "B"])

    assert [2, 2] == [len(json.loads(line)["_aws"]["CloudWatchMetrics"]) for line in lines]


def test_a_sampled_stream_never_changes_its_types() -> None:
    """Also at weight 1 each metric is Values and Counts [E-3]."""
    (line,) = encode([(metric("a"), 5), (metric("b", log_only=True), 1)], notes=Notes(rate=1.0))
    found = json.loads(line)

    assert {"Values": [5], "Counts": [1]} == found["a"]
    assert {"Values": [1], "Counts": [1]} == found["b"]
    assert (1, 1) == (found["_weight"], found["_rate"])


def test_counts_saturate() -> None:
    """A rate of 1e-30 stands for more records than a count can hold."""
    (line,) = encode([(metric("a"), 5)], notes=Notes(rate=1e-30, weight=2**64 - 1))

    assert [18446744073709551615] == json.loads(line)["a"]["Counts"]


def test_units_that_cloudwatch_does_not_know_are_left_out() -> None:
    """The value stays [E-11]."""
    (line,) = encode([(metric("a", unit="Parsecs"), 1)])

    assert [{"Name": "a"}] == json.loads(line)["_aws"]["CloudWatchMetrics"][0]["Metrics"]


def test_numbers_out_of_range_are_clamped() -> None:
    """Floats and large integers beyond 2^360 [E-9]."""
    (line,) = encode(
        [(metric("a", "float"), 1e300), (metric("b"), -(2**400)), (metric("c"), 2**70)]
    )

    assert (
        '"a":2.3485425827738332e108,"b":-2.3485425827738332e108,"c":1.1805916207174113e21' in line
    )


def test_old_and_future_records_are_counted() -> None:
    """CloudWatch drops what is older than two weeks or more than two hours ahead [E-10]."""
    emf = Emf(EmfConfig(namespaces=["NS"]))
    now, hour = clock.time_ns(), 3600 * 10**9
    for shift in (0, hour, 3 * hour, -13 * 24 * hour, -15 * 24 * hour):
        encode([], time_ns=now + shift, emf=emf)

    assert 2 == emf.tally.timestamp_out_of_window


def test_a_line_that_is_too_long_is_cut_in_halves() -> None:
    """Metrics go to more lines before anything is shortened."""
    fields = [(metric("m" * 200 + str(n)), n) for n in range(40)]
    lines = encode(fields, max_line=4_096)

    assert len(lines) > 3
    assert all(len(line.encode()) <= 4_096 for line in lines)
    assert 40 == len(read(lines))


def test_a_line_that_cannot_be_short_enough_is_a_stub() -> None:
    """Globals and what happened are left [§7]."""
    emf = Emf(EmfConfig(namespaces=["NS"], globals={"service": "s"}, max_line=1_024))
    (line,) = encode([(tags(f"t{n}"), ["x" * 90] * 3) for n in range(9)], emf=emf)
    found = json.loads(line)

    assert "s" == found["service"]
    assert found["_errors"][0].startswith("oversize: ")
    assert 1 == emf.tally.oversize


def test_a_bad_value_costs_its_field_only() -> None:
    """The metric is left out, with its definition, and told."""
    (line,) = encode([(metric("a"), "no"), (metric("b"), 2)])
    found = json.loads(line)

    assert ["a: expected int, got str"] == found["_errors"]
    assert [{"Name": "b"}] == found["_aws"]["CloudWatchMetrics"][0]["Metrics"]


def test_histograms_are_their_buckets() -> None:
    """Each bucket's value with its count."""
    value = Buckets(Summary(5, 9.0, 1, 3), ((1.0, 2), (3.0, 3)))
    (line,) = encode([(metric("h", "histogram"), value)])

    assert {"Values": [1, 3], "Counts": [2, 3]} == json.loads(line)["h"]


def test_a_failing_record_leaves_nothing_behind() -> None:
    """The next one is written as if it had not been."""
    emf = Emf(EmfConfig(namespaces=["NS"]))
    fields = [(metric("a"), 1), (text("p"), "x")]
    before = encode(fields, emf=emf)
    encode([(metric("a"), "no"), (text("p"), 5)], emf=emf)

    assert before == encode(fields, emf=emf)
