"""Random record classes, from their declaration to what CloudWatch reads of their lines."""

from __future__ import annotations

import json
import math
import types
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tachograph as tg
from tachograph.formats.cloudwatch import EmfConfig
from tachograph.formats.emf import Emf
from tachograph.metrics import Destination, attach, detach
from tachograph.sinks import MemorySink

from .emf_reader import Key, Observed, parse, read

SCHEMA = json.loads((files("tachograph") / "formats" / "emf.schema.json").read_text())
KINDS = ("int", "float", "bool", "quantity", "distribution", "mean")
OWN: tuple[dict[str, str], ...] = ({}, {}, {}, {"Kind": "Foo"}, {"Kind": "Bar", "Tier": "x"})

numbers = st.integers(-(10**6), 10**6)
fractions = st.integers(-(10**6), 10**6).map(lambda n: n / 64)


@dataclass(frozen=True)
class Field:
    """A metric of a random class, and what is put into it."""

    name: str
    kind: str
    own: dict[str, str]
    log_only: bool
    values: list[Any]

    def observed(self) -> Observed | None:
        """What CloudWatch must know of it."""
        if self.kind == "mean" and self.values:
            mean = math.fsum(self.values) / len(self.values)
            return Observed(len(self.values), mean * len(self.values), mean, mean)
        held = [v.value * 1_000 if self.kind == "quantity" else float(v) for v in self.values]
        return Observed(len(held), math.fsum(held), min(held), max(held)) if held else None


class Fixed:
    """A sampler by which each record stands for a fixed number."""

    def __init__(self, weight: int) -> None:
        self._weight = weight

    def weigh(self, record: Any, **_: Any) -> tuple[float, int]:
        """Return rate and weight."""
        return 1 / self._weight, self._weight


@st.composite
def metrics(draw: st.DrawFn, name: str) -> Field:
    """A metric with its values: one, or many, or none."""
    kind = draw(st.sampled_from(KINDS))
    one = {
        "int": numbers,
        "float": fractions,
        "bool": st.booleans(),
        "quantity": numbers.map(tg.Unit.KILOBYTES),
    }
    many = st.one_of(
        st.lists(fractions, max_size=4),
        # Drawn one by one they would be few; these take several lines.
        st.integers(101, 230).map(lambda count: [number / 8 for number in range(count)]),
    )
    values = st.lists(one[kind], max_size=1) if kind in one else many
    return Field(name, kind, draw(st.sampled_from(OWN)), draw(st.integers(0, 9)) == 0, draw(values))


@st.composite
def shapes(draw: st.DrawFn) -> tuple[list[Field], list[Field], int]:
    """Fields of a class and of its child; more plain metrics than one line takes, now and then."""
    own = [draw(metrics(f"m{n}")) for n in range(draw(st.integers(0, 5)))]
    child = [draw(metrics(f"c{n}")) for n in range(draw(st.integers(0, 3)))]
    return own, child, draw(st.sampled_from([0, 0, 0, 99, 130]))


def define(name: str, fields: list[Field], plain: int, **options: Any) -> Any:
    """Return a record class with these metrics, two properties, and so many plain metrics more."""
    child = options.pop("child", None)

    def body(namespace: Any) -> None:
        annotations: dict[str, Any] = namespace["__annotations__"]
        for field in fields:
            flags: dict[str, Any] = {"dimensions": field.own or None, "log_only": field.log_only}
            if field.kind in ("distribution", "mean"):
                namespace[field.name] = getattr(tg, field.kind)(**flags)
                continue
            unit = tg.Unit.BYTES if field.kind == "quantity" else tg.Unit.NONE
            types_: dict[str, Any] = {"int": int, "float": float, "bool": bool}
            annotations[field.name] = types_.get(field.kind, tg.Quantity) | None
            namespace[field.name] = tg.metric(None, unit=unit, **flags)
        for number in range(plain):
            annotations[f"p{number}"] = int
            namespace[f"p{number}"] = number
        if child is not None:
            annotations["operation"] = str
            annotations["status"] = str | None
            annotations["child"] = child
            namespace["status"] = None
            namespace["child"] = tg.slot(prefix="of_")

    return types.new_class(name, (tg.WideEvent,), options, body)


def fill(record: Any, fields: list[Field]) -> None:
    """Put the values in."""
    for field in fields:
        for value in field.values:
            if field.kind in ("distribution", "mean"):
                getattr(record, field.name).add(value)
            else:
                setattr(record, field.name, value)


@pytest.mark.slow
@given(shapes(), st.sampled_from([None, "200", " "]), st.sampled_from([None, 1, 3]), st.booleans())
@settings(max_examples=3 * settings().max_examples // 5)
def test_what_was_set_is_what_is_read(
    shape: tuple[list[Field], list[Field], int],
    status: str | None,
    weight: int | None,
    region: bool,
) -> None:
    """Count, sum, least and most of each metric, under each set of dimensions [E-5, E-7, IN-11]."""
    own, below, plain = shape
    child = define("Child", below, 0)
    sets = [["operation", "status"], ["operation"]]
    cls = define("Root", own, plain, child=child, dimensions=sets)
    configured = [["Region"], []] if region else [[]]
    emf = Emf(EmfConfig(namespaces=["N"], dimensions=configured, globals={"Region": "eu"}))
    sink = MemorySink()
    attach([Destination(emf, sink, sampler=None if weight is None else Fixed(weight))])
    try:
        with cls(operation="Get", status=status) as record:
            fill(record, own)
            fill(record.child, below)
    finally:
        detach()
    lines = sink.drain()[0].decode().splitlines()
    for line in lines:
        jsonschema.validate(parse(line), SCHEMA)

    usable = {"operation": "Get", "Region": "eu"} | ({"status": "200"} if status == "200" else {})
    wanted = [(f.name, f.own, f.observed()) for f in own if not f.log_only]
    wanted += [(f"of_{f.name}", f.own, f.observed()) for f in below if not f.log_only]
    wanted += [(f"p{n}", {}, Observed(1, n, n, n)) for n in range(plain)]
    expected: dict[Key, Observed] = {}
    for name, dimensions, seen in wanted:
        if seen is None:
            continue
        n = weight or 1
        scaled = Observed(seen.count * n, seen.total * n, seen.least, seen.most)
        for first in configured:
            for second in sets:
                if all(key in usable for key in (*first, *second)):
                    dims = tuple((key, usable[key]) for key in (*first, *second))
                    expected["N", (*dims, *dimensions.items()), name] = scaled
    found = read(lines)

    assert expected.keys() == found.keys()
    for key, scaled in expected.items():
        assert scaled.count == found[key].count
        assert math.isclose(scaled.total, found[key].total, rel_tol=1e-9, abs_tol=1e-6)
        assert (scaled.least, scaled.most) == pytest.approx((found[key].least, found[key].most))
