"""EMF against the schema of its lines, and against an independent reader of them.

The reader knows the published format only. What it must find is derived here from the class, its
values and the configuration, not from the encoder.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Sequence
from importlib.resources import files
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tachograph.formats.cloudwatch import EmfConfig
from tachograph.formats.emf import Emf
from tachograph.formats.plan import Buckets, FieldPlan, Notes, RecordPlan, Summary

from .emf_reader import Key, Observed, parse, read
from .random_records import records
from .test_emf import GOLDEN, encode, metric

SCHEMA = json.loads((files("tachograph") / "formats" / "emf.schema.json").read_text())
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)
LARGEST = 2.0**360
GLOBALS = {"Kind": "any", "service": "shop", "stage": "", "host": "ä" * 1_100}


@st.composite
def configurations(draw: st.DrawFn, texts: Sequence[str]) -> EmfConfig:
    """Namespaces, dimension sets of globals and properties, and the size of a line."""
    names = st.sampled_from([*GLOBALS, *texts, "nowhere"])
    sets = st.lists(names, unique=True, max_size=3)
    return EmfConfig(
        namespaces=draw(st.sampled_from([["A"], ["A", "B/c"]])),
        dimensions=draw(st.lists(sets, min_size=1, max_size=3)),
        globals=GLOBALS,
        log_group=draw(st.sampled_from([None, "group"])),
        max_line=draw(st.sampled_from([262_118, 262_118, 4_500])),
    )


@given(st.data())
@settings(max_examples=6 * settings().max_examples // 5)
@pytest.mark.slow
def test_every_metric_is_found_again(data: st.DataObject) -> None:
    """Under each namespace and set of dimensions, with its count, sum, least and most [E-5, E-7].

    No metric is lost, none is there twice or more than once counted, none is invented: whether
    lines were cut by dimensions, by a hundred metrics, by a hundred values or by their size.
    """
    plan, values, notes = data.draw(records())
    texts = [f.emitted for f in plan.fields if f.kind == "property"]
    config = data.draw(configurations(texts))
    emf = Emf(config)
    encoded = emf.encoder(plan)(0, values, notes).decode()
    assume(not emf.tally.oversize)
    lines = encoded.removesuffix("\n").split("\n")
    expected, found = derived(plan, values, notes, config), read(lines)

    for line in lines:
        VALIDATOR.validate(parse(line))
        assert len(line.encode()) <= config.max_line
    assert expected.keys() == found.keys()
    for key, wanted in expected.items():
        assert wanted.count == found[key].count
        assert math.isclose(wanted.total, found[key].total, rel_tol=1e-9, abs_tol=1e-3)
        assert (wanted.least, wanted.most) == pytest.approx((found[key].least, found[key].most))


def derived(
    plan: RecordPlan, values: Sequence[Any], notes: Notes | None, config: EmfConfig
) -> dict[Key, Observed]:
    """Return what CloudWatch must know of a record."""
    named = dict(zip((f.emitted for f in plan.fields), values, strict=True))
    texts = {n: v for n, v in GLOBALS.items() if n not in named}
    texts |= {f.emitted: named[f.emitted] for f in plan.fields if f.kind == "property"}
    usable = {n: shown(v) for n, v in texts.items() if isinstance(v, str) and shown(v).strip()}
    weight = notes.weight if notes else 1
    found: dict[Key, Observed] = {}
    for field, value in zip(plan.fields, values, strict=True):
        pairs = observations(field, value)
        if not pairs or field.log_only:
            continue
        own = dict(field.dimensions)
        seen = Observed(
            sum(count for _, count in pairs) * weight,
            math.fsum(number * count * weight for number, count in pairs),
            min(number for number, _ in pairs),
            max(number for number, _ in pairs),
        )
        for configured in config.dimensions:
            for names in plan.dimensions or ((),):
                joined = [n for n in dict.fromkeys((*configured, *names)) if n not in own]
                if any(name not in usable for name in joined):
                    continue
                dims = (*((name, usable[name]) for name in joined), *own.items())
                found |= {(ns, dims, field.emitted): seen for ns in config.namespaces}
    return found


def shown(text: str) -> str:
    """A dimension's value as CloudWatch gets it."""
    return re.sub("[\ud800-\udfff]", "\ufffd", text[:1_024])


def observations(field: FieldPlan, value: Any) -> list[tuple[float, int]]:
    """What a value holds, as numbers that CloudWatch takes, each with how often it occurred."""
    if field.kind != "metric" or value is None or isinstance(value, str):
        return []
    if isinstance(value, Summary):
        return [(value.total / value.count, value.count)]
    pairs: Iterable[tuple[Any, int]] = (
        value.buckets
        if isinstance(value, Buckets)
        else [(v, 1) for v in (value if isinstance(value, tuple) else (value,))]
    )
    numbers = [(math.nan if "NaN" in str(v) else float(v), count) for v, count in pairs]
    return [
        (max(-LARGEST, min(LARGEST, number)), count)
        for number, count in numbers
        if not math.isnan(number)
    ]


@pytest.mark.parametrize(
    ("fields", "options", "expected"), [pytest.param(*rest, id=name) for name, *rest in GOLDEN]
)
def test_golden_lines_fit_the_schema(fields: Any, options: Any, expected: list[str]) -> None:
    """It says nothing against the lines of the reference [M-1 to M-20]."""
    for line in expected:
        VALIDATOR.validate(json.loads(line))


@pytest.mark.parametrize(
    "spoilt",
    [
        {"Values": list(range(101)), "Counts": [1] * 101},
        {"Values": [1, 2], "Counts": [1]},
        "1",
        True,
    ],
)
def test_the_reader_refuses_what_a_schema_cannot(spoilt: Any) -> None:
    """A metric of more values than CloudWatch takes, or of another form."""
    line = json.dumps(_with("a", spoilt))

    with pytest.raises(AssertionError):
        read([line])


def test_a_value_that_is_no_metric_may_have_many() -> None:
    """CloudWatch's limits are those of metrics: nothing of it is lost, on one line."""
    (line,) = encode([(metric("d", "distribution", log_only=True), tuple(range(150)))])
    VALIDATOR.validate(parse(line))

    assert 150 == len(json.loads(line)["d"]["Values"])


def test_the_schema_is_one() -> None:
    """Well formed in itself."""
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


def _with(path: str, value: Any) -> dict[str, Any]:
    """Return a good line in which the member at *path* is *value*, or not there if it is None."""
    (line,) = encode([], namespaces=["NS"], dimensions=[["service"]], globals={"service": "s"})
    root: Any = json.loads(line) | {"a": 1}
    at: Any = root
    root["_aws"]["CloudWatchMetrics"][0]["Metrics"].append({"Name": "a"})
    *before, last = (int(part) if part.isdigit() else part for part in path.split("."))
    for part in before:
        at = at[part]
    if value is None:
        del at[last]
    else:
        at[last] = value
    return root  # type: ignore[no-any-return]


D = "_aws.CloudWatchMetrics.0"


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("_aws", None),
        ("_aws.Timestamp", None),
        ("_aws.Timestamp", -1),
        ("_aws.Timestamp", "2024-01-15"),
        ("_aws.other", 1),
        (f"{D}.Namespace", ""),
        (f"{D}.Namespace", "AWS/EC2"),
        (f"{D}.Namespace", ":x"),
        (f"{D}.Namespace", "x" * 256),
        (f"{D}.Dimensions", []),
        (f"{D}.Dimensions", [[f"d{n}" for n in range(31)]]),
        (f"{D}.Dimensions", [["a", "a"]]),
        (f"{D}.Dimensions", [[":a"]]),
        (f"{D}.Dimensions", [["é"]]),
        (f"{D}.Dimensions", [[" "]]),
        (f"{D}.Metrics", [{"Name": f"m{n}"} for n in range(101)]),
        (f"{D}.Metrics.0.Name", None),
        (f"{D}.Metrics.0.Name", "x" * 256),
        (f"{D}.Metrics.0.Unit", "Parsecs"),
        (f"{D}.Metrics.0.StorageResolution", 5),
        (f"{D}.Metrics.0.other", 5),
        ("a", True),
        ("a", {"Values": [1]}),
        ("a", {"Values": [1], "Counts": [1.5]}),
        ("a", {"Values": [1], "Counts": [-1]}),
        ("a", {"Values": [1e109], "Counts": [1]}),
        ("a", {"Values": ["1"], "Counts": [1]}),
        ("a", {"nested": 1}),
    ],
)
def test_the_schema_refuses_what_cloudwatch_does(path: str, value: Any) -> None:
    """Each limit and each form, one at a time; the line they spoil is a good one."""
    VALIDATOR.validate(_with("a", 1))

    assert not VALIDATOR.is_valid(_with(path, value))
