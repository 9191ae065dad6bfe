"""A reader of EMF lines that knows the published format only, as CloudWatch would read them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

Key = tuple[str, tuple[tuple[str, str], ...], str]


@dataclass(frozen=True)
class Observed:
    """What is known of one metric in one namespace under one set of dimensions."""

    count: int
    total: float
    least: float
    most: float

    def and_(self, other: Observed) -> Observed:
        """Both together."""
        return Observed(
            self.count + other.count,
            self.total + other.total,
            min(self.least, other.least),
            max(self.most, other.most),
        )


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    assert len(found) == len(pairs), f"a key stands twice: {[k for k, _ in pairs]}"
    return found


def _refuse(constant: str) -> None:
    raise AssertionError(f"{constant} is no JSON")


def parse(line: str) -> dict[str, Any]:
    """Return a line as strict JSON: no key twice, no NaN, no infinity."""
    found = json.loads(line, object_pairs_hook=_unique, parse_constant=_refuse)
    assert isinstance(found, dict)
    return found


def read(lines: Iterable[str]) -> dict[Key, Observed]:
    """Return each metric by namespace, dimensions and name, observed over all lines."""
    metrics: dict[Key, Observed] = {}
    for line in lines:
        root = parse(line)
        for directive in root["_aws"]["CloudWatchMetrics"]:
            assert len(directive["Metrics"]) <= 100
            for names in directive["Dimensions"]:
                assert len(names) <= 30
                for name in names:
                    assert isinstance(root[name], str), name
                    assert root[name].strip(), name
                values = tuple((name, root[name]) for name in names)
                for definition in directive["Metrics"]:
                    key = (directive["Namespace"], values, definition["Name"])
                    observed = _observed(root[definition["Name"]])
                    metrics[key] = observed.and_(metrics[key]) if key in metrics else observed
    return metrics


def _observed(value: Any) -> Observed:
    if isinstance(value, dict):
        assert len(value["Values"]) == len(value["Counts"]) <= 100
        pairs = list(zip(value["Values"], value["Counts"], strict=True))
    else:
        assert isinstance(value, int | float)
        assert not isinstance(value, bool)
        pairs = [(value, 1)]
    values = [v for v, _ in pairs]
    return Observed(
        sum(c for _, c in pairs), sum(v * c for v, c in pairs), min(values), max(values)
    )
