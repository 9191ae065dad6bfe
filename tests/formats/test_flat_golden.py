"""Flat JSON byte for byte as the reference has it."""

from __future__ import annotations

import enum
import json
import math
from typing import Any

import pytest

import tachograph as tg
from tachograph._core import native as core
from tachograph.formats.json import FlatJson, mark_dropped
from tachograph.formats.plan import Notes

TEN = 1_705_312_800_000_000_000
HEAD = '{"timestamp":"2024-01-15T10:00:00.000000Z","record":"Order"'


class Call(enum.Enum):
    GetItem = 1


class Order(tg.WideEvent):
    Latency: float | None = tg.metric(default=None, unit=tg.Unit.MILLISECONDS)
    Count: int | None = tg.metric(default=None)
    Operation: Call | None = tg.metric(default=None)
    msg: str | None = tg.metric(default=None)
    plugins: list[str | None] | None = tg.metric(default=None)
    none: list[str] | None = tg.metric(default=None)
    sizes: list[int] | None = tg.metric(default=None)
    ok: bool | None = tg.metric(default=None)
    found: bool | None = tg.metric(default=None)
    delta: int | None = tg.metric(default=None)
    rate: float | None = tg.metric(default=None)
    whole: float | None = tg.metric(default=None)
    tiny: float | None = tg.metric(default=None)
    small: float | None = tg.metric(default=None)
    big: float | None = tg.metric(default=None)
    wide: float | None = tg.metric(default=None)
    a: float | None = tg.metric(default=None)
    b: float | None = tg.metric(default=None)
    c: float | None = tg.metric(default=None)
    d: int | None = tg.metric(default=None)
    cache_ms = tg.distribution(unit=tg.Unit.MILLISECONDS)
    db = tg.mean()


class RequestMetrics(tg.WideEvent, rename="PascalCase"):
    request_id: str = tg.metric(default="6f1c")
    operation: Call = tg.metric(default=Call.GetItem)
    in_flight: int = tg.metric(default=1)
    path: str = tg.metric(default="/items/k")
    duration: float = tg.metric(default=1.25, unit=tg.Unit.MILLISECONDS)
    success: bool = tg.metric(default=True)
    client_error: bool = tg.metric(default=False)
    server_error: bool = tg.metric(default=False)
    status_code: int = tg.metric(default=200, as_property=True)
    payload_bytes: int = tg.metric(default=1, unit=tg.Unit.BYTES)
    downstream_success: bool = tg.metric(default=True)
    found: bool = tg.metric(default=True)
    downstream_duration: float = tg.metric(default=0.02, unit=tg.Unit.MILLISECONDS)


GOLDEN: list[tuple[str, dict[str, Any], str]] = [
    (
        "F-1",
        {"Latency": 42.5, "Count": 10, "Operation": Call.GetItem},
        HEAD + ',"Latency":42.5,"Count":10,"Operation":"GetItem"}',
    ),
    ("F-2", {}, HEAD + "}"),
    ("F-3", {"msg": 'hello "world"\nnewline'}, HEAD + ',"msg":"hello \\"world\\"\\nnewline"}'),
    ("F-4", {"msg": 'α"\x00\x0e'}, HEAD + ',"msg":"α\\"\\u0000\\u000e"}'),
    (
        "F-5",
        {"plugins": ["auth", None, "cache"], "none": [], "sizes": [10, 20, 30]},
        HEAD + ',"plugins":["auth","cache"],"none":[],"sizes":[10,20,30]}',
    ),
    (
        "F-6",
        {
            "ok": True,
            "found": False,
            "delta": -3,
            "rate": 0.1,
            "whole": 100.0,
            "tiny": 1e-7,
            "small": 1e-6,
            "big": 1e21,
            "wide": 1e16,
        },
        HEAD + ',"ok":true,"found":false,"delta":-3,"rate":0.1,"whole":100,"tiny":1e-7,'
        '"small":0.000001,"big":1e21,"wide":10000000000000000}',
    ),
    (
        "F-7",
        {"a": math.nan, "b": math.inf, "c": -math.inf, "d": 1},
        HEAD + ',"b":1.7976931348623157e308,"c":-1.7976931348623157e308,"d":1}',
    ),
    ("F-8", {"cache_ms": (1, 2, 3)}, HEAD + ',"cache_ms":[1,2,3]}'),
]


def encode(
    cls: Any,
    values: dict[str, Any],
    time_ns: int = TEN,
    notes: Notes | None = None,
    **globals: object,
) -> str:
    """Return the line of a record; the native encoder and its twin agree."""
    plan = cls.__wide_event__.plan
    closed = tuple(values.get(field.attribute) for field in plan.fields)
    lines = {
        FlatJson(globals, native=native).encoder(plan)(time_ns, closed, notes)
        for native in ([False, True] if core else [False])
    }

    assert 1 == len(lines)
    return lines.pop().decode().removesuffix("\n")


@pytest.mark.parametrize(
    ("values", "line"), [pytest.param(*rest, id=name) for name, *rest in GOLDEN]
)
def test_golden_lines(values: dict[str, Any], line: str) -> None:
    """Byte for byte the lines of the reference [F-1, F-2, F-3, F-4, F-5, F-6, F-7, F-8].

    Whole floats have no point [N-4], plain decimals reach from 10^-6 to below 10^21 [N-5], beyond
    is an exponent without a plus [N-6].
    """
    assert line == encode(Order, values)


def test_a_bad_value_after_losses() -> None:
    """The field is left out and told; the sink tells what it lost before this line [F-11]."""
    line = encode(Order, {"Latency": 42.5, "Count": "ten"}) + "\n"
    expected = HEAD + ',"Latency":42.5,"_errors":["Count: expected int, got str"],"_dropped":17}\n'

    assert expected == mark_dropped(line.encode(), 17).decode()


def test_before_1970() -> None:
    """A millisecond before the epoch is a time like any other [F-12]."""
    expected = '{"timestamp":"1969-12-31T23:59:59.999000Z","record":"Order"}'

    assert expected == encode(Order, {}, -1_000_000)


def test_a_request() -> None:
    """A record of the shape that services have: globals, then fields, in their order [F-13]."""
    defaults = {f.attribute: f.spec.default for f in RequestMetrics.__wide_event__.declared}  # type: ignore[union-attr]
    expected = (
        '{"timestamp":"2024-01-15T10:00:00.000000Z","record":"RequestMetrics",'
        '"service_name":"orders","RequestId":"6f1c","Operation":"GetItem","InFlight":1,'
        '"Path":"/items/k","Duration":1.25,"Success":true,"ClientError":false,'
        '"ServerError":false,"StatusCode":"200","PayloadBytes":1,"DownstreamSuccess":true,'
        '"Found":true,"DownstreamDuration":0.02}'
    )

    assert expected == encode(RequestMetrics, defaults, service_name="orders")


def _refuse(constant: str) -> None:
    raise AssertionError(constant)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    assert len(dict(pairs)) == len(pairs)
    return dict(pairs)


@pytest.mark.parametrize("line", [line for _, _, line in GOLDEN])
def test_a_strict_parser_accepts_them(line: str) -> None:
    """One that knows no NaN, no infinity and no key twice [§9 8]."""
    found = json.loads(line, parse_constant=_refuse, object_pairs_hook=_unique)

    assert "Order" == found["record"]
