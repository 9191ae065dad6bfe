"""What holds for every record in every format."""

from __future__ import annotations

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
from tachograph.testing import FakeClock

from .emf_reader import parse
from .random_records import records

pytestmark = pytest.mark.slow


@given(records(), st.integers(-(10**9), 2**62))
@settings(max_examples=3 * settings().max_examples // 2)
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
@settings(max_examples=3 * settings().max_examples // 2)
def test_flat_keys_are_in_the_declared_order(record: Any) -> None:
    """Absent values leave no gap [§9 3]."""
    plan, values, notes = record
    found = list(parse(FlatJson({"service": "s"}).encoder(plan)(0, values, notes).decode()))
    fields = [name for f in plan.fields for name in (f.emitted, *f.suffixed)]
    tail = ["extra 1", "_weight", "_rate", "_incomplete", "_truncated", "_errors"]
    order = ["timestamp", "record", "service", *fields, *tail]

    assert found == sorted(found, key=order.index)


@pytest.mark.skipif(core is None, reason="the native core is not built")
@given(records(), st.integers(-(20 * 86_400), 4 * 3_600))
@settings(max_examples=3 * settings().max_examples)
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
