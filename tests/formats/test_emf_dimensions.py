"""By what CloudWatch groups metrics: sets of dimensions, flags, and the configuration of both."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tachograph._base.clock import clock
from tachograph._base.ratelimit import reset_once
from tachograph.errors import ConfigError
from tachograph.formats.cloudwatch import Directive, EmfConfig
from tachograph.formats.emf import Emf
from tachograph.formats.plan import RecordPlan, Summary

from .test_emf import S, encode, metric, text

OWN = [f"n{n}" for n in range(16)]
CONFIGURED = [f"c{n}" for n in range(16)]


@pytest.fixture(autouse=True)
def _warned_anew() -> None:
    """What an earlier test was warned of is said again."""
    reset_once()


@pytest.mark.parametrize("native", [False, None])
def test_sets_of_more_than_thirty_dimensions_are_left_out(
    caplog: pytest.LogCaptureFixture, native: bool | None
) -> None:
    """Configured and own names together; the others stay, no record is lost [SP-10]."""
    fields = (metric("a"), *map(text, OWN))
    plan = RecordPlan("Wide", "", fields, (tuple(OWN), tuple(OWN[:2])))
    config = EmfConfig(
        namespaces=["A"],
        dimensions=[CONFIGURED, []],
        globals=dict.fromkeys(CONFIGURED, "x"),
    )
    emf = Emf(config, native=native)
    found = [json.loads(emf.encoder(plan)(clock.time_ns(), (1, *OWN), None)) for _ in range(2)]

    (directive,) = found[0]["_aws"]["CloudWatchMetrics"]
    assert [[*CONFIGURED, *OWN[:2]], OWN, OWN[:2]] == directive["Dimensions"]
    assert [{"Name": "a"}] == directive["Metrics"]
    assert {**dict(zip(OWN, OWN, strict=True)), "a": 1}.items() <= found[1].items()
    (told,) = (record.getMessage() for record in caplog.records)
    assert told == (
        "Left out of every record: Wide: 16 configured dimensions, 16 of the class make a set of "
        "32; CloudWatch takes 30. Take some away in `dimensions=` of either."
    )
    assert 0 == emf.tally.dimensionless


@pytest.mark.parametrize("native", [False, None])
def test_a_record_whose_only_set_is_too_large_makes_no_metric(native: bool | None) -> None:
    """It is still a line of the log, and counted [SP-10]."""
    plan = RecordPlan("Wide", "", (metric("a"), *map(text, OWN)), (tuple(OWN),))
    emf = Emf(EmfConfig(namespaces=["A"], dimensions=[CONFIGURED]), native=native)
    found = json.loads(emf.encoder(plan)(clock.time_ns(), (1, *OWN), None))

    assert [] == found["_aws"]["CloudWatchMetrics"]
    assert 1 == found["a"]
    assert (1, 1) == (emf.tally.oversized_sets, emf.tally.dimensionless)


def test_dimensions_of_a_metric_count_too() -> None:
    """Its own line leaves out what is too large with them; the others keep it [SP-10]."""
    kinds = tuple((f"k{n}", "x") for n in range(15))
    fields = (metric("a", dimensions=kinds), metric("b"))
    emf = Emf(
        EmfConfig(
            namespaces=["A"],
            dimensions=[CONFIGURED, []],
            globals=dict.fromkeys(CONFIGURED, "x"),
        )
    )
    plan = RecordPlan("Wide", "", fields)
    own, base = emf.encoder(plan)(clock.time_ns(), (1, 2), None).splitlines()
    sets = [json.loads(x)["_aws"]["CloudWatchMetrics"][0]["Dimensions"] for x in (own, base)]

    assert [[[name for name, _ in kinds]], [CONFIGURED, []]] == sets
    assert [
        "16 configured dimensions, 0 of the class and 15 of its metric `a` make a set of 31"
    ] == [problem.partition(": ")[2].partition(";")[0] for problem in emf.problems(plan)]


def test_lines_by_dimensions_of_a_metric() -> None:
    """One line for each different set, in the order seen, then the base line [E-7]."""
    fields = [
        (metric("Base"), 1234),
        (metric("Value", log_only=True), 1235),
        (metric("Mean", "summary", S), Summary(6, 21, 1, 6)),
        (metric("Bar", dimensions=(("Kind", "Bar"),)), 1235),
        (metric("FooMean", "summary", S, dimensions=(("Kind", "Foo"),)), Summary(3, 6, 1, 3)),
        (metric("Empty", "distribution", dimensions=(("Kind", "Empty"),)), None),
        (metric("BarMean", "summary", S, dimensions=(("Kind", "Bar"),)), Summary(3, 15, 4, 6)),
        (metric("Both", dimensions=(("Kind", "Bar"), ("Type", "Baz"))), 5),
        (text("API"), "MyAPI"),
    ]
    found = [
        json.loads(line)
        for line in encode(fields, dimensions=[[], ["Account"]], globals={"Account": "1"})
    ]

    assert [["Kind"], ["Account", "Kind"]] == found[0]["_aws"]["CloudWatchMetrics"][0]["Dimensions"]
    assert ["Bar", "Foo", "Bar", None] == [d.get("Kind") for d in found]
    assert [{"Bar", "BarMean"}, {"FooMean"}, {"Both"}, {"Base", "Value", "Mean"}] == [
        set(d) - {"_aws", "API", "Account", "Kind", "Type"} for d in found
    ]
    assert all(d["API"] == "MyAPI" and d["Account"] == "1" for d in found)


def test_a_property_that_is_also_a_dimension_of_the_line_is_left_out() -> None:
    """No key stands twice in a line."""
    (line,) = encode([(metric("a", dimensions=(("Kind", "x"),)), 1), (text("Kind"), "y")])

    assert 1 == line.count('"Kind":"')


def test_without_any_usable_dimension_set_no_metric_is_made() -> None:
    """The values stay as fields of the log, and the line is counted [GD-5]."""
    emf = Emf(EmfConfig(namespaces=["NS"]))
    (line,) = encode([(metric("a"), 1), (text("Kind"), " ")], sets=[["Kind"]], emf=emf)

    assert {"CloudWatchMetrics": [], "Timestamp": 0} == json.loads(line)["_aws"]
    assert 1 == json.loads(line)["a"]
    assert 1 == emf.tally.dimensionless


def test_long_dimension_values_are_cut_and_told() -> None:
    """1,024 characters are what CloudWatch takes; others are counted where they are not ASCII."""
    emf = Emf(EmfConfig(namespaces=["NS"]))
    (line,) = encode([(text("Kind"), "é" * 1025)], sets=[["Kind"]], emf=emf)

    assert 1024 == len(json.loads(line)["Kind"])
    assert ["Kind"] == json.loads(line)["_truncated"]
    assert (1, 1) == (emf.tally.truncated, emf.tally.non_ascii_dimensions)


def test_sets_are_multiplied() -> None:
    """Configured names first, configured order outermost [E-5]."""
    (line,) = encode(
        [(metric("a"), 1), (text("Status"), "200"), (text("Operation"), "Get")],
        sets=[["Status", "Operation"], ["Operation"], []],
        dimensions=[["Region"], []],
        globals={"Region": "eu"},
    )

    assert [
        ["Region", "Status", "Operation"],
        ["Region", "Operation"],
        ["Region"],
        ["Status", "Operation"],
        ["Operation"],
        [],
    ] == json.loads(line)["_aws"]["CloudWatchMetrics"][0]["Dimensions"]


def test_flags_of_a_metric() -> None:
    """By the second in its definition; a log-only value has none, whatever else it is [E-4]."""
    (line,) = encode(
        [
            (metric("fine", high_resolution=True), 1),
            (metric("quiet", log_only=True), 2),
            (metric("both", high_resolution=True, log_only=True), 3),
        ]
    )
    found = json.loads(line)

    assert [{"Name": "fine", "StorageResolution": 1}] == (
        found["_aws"]["CloudWatchMetrics"][0]["Metrics"]
    )
    assert (1, 2, 3) == (found["fine"], found["quiet"], found["both"])


def test_a_record_without_metrics_is_a_line() -> None:
    """A sign of life, and its properties can be searched [E-6]."""
    (line,) = encode([(metric("a"), None), (text("p"), "x")])
    found = json.loads(line)

    assert [] == found["_aws"]["CloudWatchMetrics"][0]["Metrics"]
    assert "x" == found["p"]


@pytest.mark.parametrize(
    ("base", "lines"),
    [
        pytest.param([], 1, id="nothing"),
        pytest.param([(metric("b"), None)], 1, id="absent"),
        pytest.param([(metric("b", "distribution"), (float("nan"),))], 1, id="not a number"),
        pytest.param([(metric("b"), 1)], 2, id="metric"),
        pytest.param([(metric("b", log_only=True), 1)], 2, id="log-only value"),
    ],
)
def test_the_base_line(base: list[Any], lines: int) -> None:
    """Beside lines by dimensions it is there only for metrics of its own [E-8]."""
    fields = [(metric("a", dimensions=(("Kind", "x"),)), 1), (text("p"), "y"), *base]

    assert lines == len(encode(fields))


def test_a_dimension_of_escaped_white_space_is_blank() -> None:
    """What counts is the value, not how JSON writes it."""
    emf = Emf(EmfConfig(namespaces=["NS"]))
    encode([(text("Kind"), "\n\t")], sets=[["Kind"]], emf=emf)

    assert 1 == emf.tally.dimensionless


@pytest.mark.parametrize("native", [False, None])
def test_every_character_of_a_dimension_counts(native: bool | None) -> None:
    """One that is not ASCII may stand anywhere in it."""
    emf = Emf(EmfConfig(namespaces=["NS"]), native=native)
    encode([(text("Kind"), "caf\u00e9")], sets=[["Kind"]], emf=emf)

    assert 1 == emf.tally.non_ascii_dimensions


def test_a_global_that_is_a_dimension_is_cut_too() -> None:
    """Once, when the class is first written, and that is counted."""
    emf = Emf(EmfConfig(namespaces=["NS"], dimensions=[["host"]], globals={"host": "h" * 1_025}))
    (line,) = encode([(metric("a"), 1)], emf=emf)

    assert "h" * 1_024 == json.loads(line)["host"]
    assert 1 == emf.tally.truncated


def test_a_further_directive_goes_with_what_it_names() -> None:
    """Only on lines that hold all its dimensions and one of its metrics."""
    directive = Directive("Other", [["Host"]], {"b": "None"})
    fields = [(metric("a", dimensions=(("Kind", "x"),)), 1), (metric("b"), 2), (text("Host"), "h")]
    lines = [json.loads(line) for line in encode(fields, directives=[directive])]
    (without,) = encode([fields[1], (text("Host"), None)], directives=[directive])

    assert [["NS"], ["NS", "Other"]] == [
        [d["Namespace"] for d in line["_aws"]["CloudWatchMetrics"]] for line in lines
    ]
    assert "Other" not in without


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"namespaces": []}, "namespaces: expected at least one"),
        ({"namespaces": "Shop"}, "namespaces: expected a list, got 'Shop'"),
        ({"namespaces": ["AWS/x"]}, "not starting with a colon or `AWS/`"),
        ({"namespaces": ["x" * 256]}, "1 to 255"),
        ({"dimensions": []}, "at least one set"),
        ({"dimensions": ["Region"]}, "expected sets of names, got the text 'Region'"),
        ({"dimensions": [["é"]]}, "1 to 250 ASCII"),
        ({"dimensions": [[f"n{n}" for n in range(31)]]}, "at most 30 names, got 31"),
        ({"max_line": 2_000_000}, "max_line: expected 1,024 to 1,048,550"),
        ({"directives": [Directive("NS", [[]], {})]}, "expected at least one metric"),
    ],
)
def test_the_configuration_is_checked(config: dict[str, Any], message: str) -> None:
    """What CloudWatch would refuse without a word is said before anything starts."""
    with pytest.raises(ConfigError, match=message):
        EmfConfig(**({"namespaces": ["NS"]} | config))
