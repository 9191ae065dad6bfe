"""Fields with many observations, extra keys and the trailer, in flat JSON."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tachograph.formats.json import FlatJson
from tachograph.formats.plan import Buckets, FieldPlan, Notes, RecordPlan, Summary

TIME = 1_705_312_800_000_000_000
HEAD = '{"timestamp":"2024-01-15T10:00:00.000000Z","record":"Order",'


def encode(name: str, type: str, value: Any, notes: Notes | None = None, **options: Any) -> str:
    """Return the line of a record with one field."""
    suffixed = tuple(f"{name}_{s}" for s in ("count", "sum", "min", "max", "p50", "p99"))
    field = FieldPlan(name, name, "metric", type, None, True, suffixed=suffixed)
    encoder = FlatJson(**options).encoder(RecordPlan("Order", "", (field,)))
    return encoder(TIME, (value,), notes).decode().removesuffix("\n")


def test_a_distribution_is_an_array() -> None:
    """All observations, in their order; NaN is skipped [F-8]."""
    assert HEAD + '"cache_ms":[1,2,3]}' == encode("cache_ms", "distribution", (1, 2, 3))
    assert HEAD + '"d":[1,0.5]}' == encode("d", "distribution", (1, float("nan"), 0.5))
    assert HEAD[:-1] + "}" == encode("d", "distribution", (float("nan"),))


def test_a_summary_is_four_keys() -> None:
    """Count, sum, least and most [F-9]."""
    expected = HEAD + '"db_count":3,"db_sum":6,"db_min":1,"db_max":3}'

    assert expected == encode("db", "summary", Summary(3, 6, 1, 3))


def test_a_histogram_has_two_percentiles_more() -> None:
    """By nearest rank, within what was observed."""
    value = Buckets(Summary(100, 5_050, 1, 100), tuple((float(n), 1) for n in range(1, 101)))
    found = json.loads(encode("db", "histogram", value))

    assert (100, 5_050, 1, 100, 50, 99) == tuple(list(found.values())[2:])


def test_a_distribution_that_was_folded() -> None:
    """It is written as the histogram that it became."""
    value = Buckets(Summary(2, 3.0, 1, 2), ((1.0, 1), (2.0, 1)))

    assert '"d_count":2,"d_sum":3' in encode("d", "distribution", value)


def test_what_has_no_observations_is_an_error_of_its_field() -> None:
    """The record is written without it."""
    assert ["d: expected distribution, got int"] == json.loads(encode("d", "distribution", 5))[
        "_errors"
    ]


def test_a_sampled_record_says_its_weight() -> None:
    """First in the trailer [F-10]."""
    line = encode("Latency", "float", 42.5, Notes(rate=0.5, weight=2), globals={"s": "orders"})

    assert HEAD + '"s":"orders","Latency":42.5,"_weight":2,"_rate":0.5}' == line


def test_extra_keys_are_checked() -> None:
    """Taken, reserved and unsuitable ones are left out and told."""
    extra = (
        ("ok", 1),
        ("a", 2),
        ("_x", 3),
        ("record", 4),
        ("list", [1]),
        ("ok", 5),
        ("nan", float("nan")),
    )
    found = json.loads(encode("a", "int", 1, Notes(extra=extra)))

    assert ["timestamp", "record", "a", "ok", "_errors"] == list(found)
    assert [
        "a: the name is taken",
        "_x: expected a name that is a text and does not start with `_`, got '_x'",
        "record: the name is taken",
        "list: expected a number or a text, got list",
        "ok: the name is taken",
    ] == found["_errors"]


def test_at_most_thirty_two_extra_keys() -> None:
    """The rest are counted."""
    flat = FlatJson()
    encoder = flat.encoder(RecordPlan("R", "", ()))
    found = json.loads(encoder(0, (), Notes(extra=tuple((f"k{n}", n) for n in range(40)))))

    assert 32 == sum(key.startswith("k") for key in found)
    assert ["extra: 40 keys, 32 are written"] == found["_errors"]
    assert 8 == flat.tally.extra_dropped


@pytest.mark.parametrize("limit", [400, 300])
def test_extra_keys_go_before_fields(limit: int) -> None:
    """Where a line is too long, the last added go first."""
    flat = FlatJson(max_line=limit)
    field = FieldPlan("a", "a", "property", "str", None, True)
    notes = Notes(extra=tuple((f"k{n}", "x" * 40) for n in range(6)))
    found = json.loads(flat.encoder(RecordPlan("R", "", (field,)))(0, ("y" * 100,), notes))

    assert "y" * 100 == found["a"]
    assert found["_truncated"][0] == "k5"
