"""What the native encoders write by themselves, and what they leave to their twins."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, NoReturn

import pytest

from tachograph._base.clock import clock
from tachograph._core import native as core
from tachograph.formats import emf as emf_module
from tachograph.formats.cloudwatch import EmfConfig
from tachograph.formats.emf import Emf
from tachograph.formats.json import FlatJson
from tachograph.formats.plan import FieldPlan, Notes, RecordPlan

pytestmark = pytest.mark.skipif(core is None, reason="the native core is not built")

PLAN = RecordPlan(
    "Order",
    "",
    (
        FieldPlan("name", "Name", "property", "str"),
        FieldPlan("size", "Size", "metric", "int", "Bytes"),
        FieldPlan("took", "Took", "metric", "float", "Milliseconds", True, log_only=True),
    ),
)
CONFIG = EmfConfig(namespaces=["A"], dimensions=[["Name"]])


def careful(*_: object) -> NoReturn:
    """Stand for the encoder that takes over."""
    raise AssertionError


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> dict[str, Callable[..., bytes]]:
    """Encoders that have nobody to leave anything to."""
    monkeypatch.setattr(emf_module._Encoder, "encode", careful)
    monkeypatch.setattr(FlatJson, "_careful_encoder", lambda *_: careful)
    return {"flat": FlatJson().encoder(PLAN), "emf": Emf(CONFIG).encoder(PLAN)}


TWINS: dict[str, Any] = {"flat": FlatJson(native=False), "emf": Emf(CONFIG, native=False)}


@pytest.mark.parametrize("form", TWINS)
@pytest.mark.parametrize("took", [None, 1.5])
@pytest.mark.parametrize("notes", [None, Notes(rate=1.0), Notes(rate=0.3, weight=4)])
def test_a_sampled_record_is_written_natively(
    monkeypatch: pytest.MonkeyPatch,
    alone: dict[str, Callable[..., bytes]],
    form: str,
    took: float | None,
    notes: Notes | None,
) -> None:
    """A rate and a weight are nothing unusual; the twin makes the same bytes."""
    closed = (clock.time_ns(), ("a", 5, took), notes)
    found = alone[form](*closed)
    monkeypatch.undo()

    assert TWINS[form].encoder(PLAN)(*closed) == found


@pytest.mark.parametrize("form", TWINS)
@pytest.mark.parametrize(
    "notes",
    [
        Notes(rate=1.0, weight=0),
        Notes(rate=1e-30, weight=2**64 - 1),
        Notes(rate=1, weight=1),
        Notes(weight=2),
        Notes(incomplete=("x",), rate=1.0),
        Notes(errors=("Size: x",), rate=1.0),
        Notes(extra=(("x", 1),), rate=1.0),
    ],
)
def test_whatever_else_is_told_is_left_to_the_twin(
    alone: dict[str, Callable[..., bytes]], form: str, notes: Notes
) -> None:
    """Marks that are out of the ordinary, and everything that notes say besides."""
    with pytest.raises(AssertionError):
        alone[form](clock.time_ns(), ("a", 5, None), notes)


def test_lines_about_as_long_as_they_may_be_are_cut_alike() -> None:
    """Room for the number of a part is reckoned with, though there is only one."""
    config = EmfConfig(namespaces=["A"], dimensions=[["Name"]], max_line=1_024)
    native, twin = (Emf(config, native=n).encoder(PLAN) for n in (True, False))
    for length in range(700, 1_024):
        closed = (clock.time_ns(), ("x" * length, 5, 1.5), None)
        lines = [
            {k: v for k, v in json.loads(line).items() if k != "_id"}
            for line in native(*closed).splitlines()
        ]

        assert lines == [
            {k: v for k, v in json.loads(line).items() if k != "_id"}
            for line in twin(*closed).splitlines()
        ]
