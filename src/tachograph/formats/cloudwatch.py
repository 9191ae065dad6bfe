"""What CloudWatch takes and what it does not: units, names, limits, and the configuration of EMF.

Source: the embedded metric format's specification and the limits of PutMetricData; where published
copies differ, the smaller number.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from tachograph.errors import ConfigError
from tachograph.formats.plan import RecordPlan
from tachograph.formats.text import double, quote

__all__ = [
    "LARGEST",
    "MAX_DEFINITIONS",
    "MAX_VALUES",
    "UNITS",
    "Directive",
    "EmfConfig",
    "in_range",
    "usable_dimension",
]

MAX_DEFINITIONS = 100
"""Metric definitions in one directive."""
MAX_VALUES = 100
"""Values of one metric in one line."""
MAX_DIMENSIONS = 30
MAX_DIMENSION_VALUE = 1_024
LARGEST = 2.0**360
"""Values lie between its negative and itself."""
WINDOW_NS = (-14 * 86_400 * 10**9, 2 * 3_600 * 10**9)
"""How far a time may lie from now: two weeks back, two hours ahead."""

_SIZES = ("", "Kilo", "Mega", "Giga", "Tera")
_SCALED = [f"{size}{of}".capitalize() for of in ("bytes", "bits") for size in _SIZES]
UNITS = frozenset(
    ("Seconds", "Microseconds", "Milliseconds", "Percent", "Count", "Count/Second", "None")
) | {f"{unit}{per}" for unit in _SCALED for per in ("", "/Second")}
"""What a definition's unit may be; values in another are written without it."""

_NAMESPACE = re.compile(r"[a-zA-Z0-9._#:/\- ]{1,255}")


def in_range(text: str) -> str:
    """Return a number's JSON text, or that of the nearest one that CloudWatch takes."""
    if len(text) < 20 and "e" not in text:
        return text
    value = float(text)
    if value > LARGEST:
        return double(LARGEST)
    if value < -LARGEST:
        return double(-LARGEST)
    return text


def usable_dimension(value: str | None) -> bool:
    """Tell whether a property's value can be a dimension's: there, and not blank."""
    return value is not None and bool(value.strip())


@dataclass(frozen=True, slots=True)
class Directive:
    """A further directive for lines that hold all of its dimensions and some of its metrics.

    Attributes:
        namespace: Where its metrics go.
        dimensions: Sets of names.
        metrics: Emitted names with their unit's text, `None` for no unit.
    """

    namespace: str
    dimensions: Sequence[Sequence[str]]
    metrics: Mapping[str, str]

    def text(self) -> str:
        """Return its JSON text."""
        definitions = [{"Name": n, "Unit": unit or "None"} for n, unit in self.metrics.items()]
        document = {
            "Namespace": self.namespace,
            "Dimensions": [list(names) for names in self.dimensions],
            "Metrics": definitions,
        }
        return json.dumps(document, ensure_ascii=False, separators=(",", ":"))


@dataclass(frozen=True, slots=True, kw_only=True)
class EmfConfig:
    """Where CloudWatch puts the metrics.

    Attributes:
        namespaces: At least one; each gets every metric.
        dimensions: Sets of names by which every metric is grouped, multiplied with the record's own
            sets; `[[]]` is no dimensions. Names are emitted names of properties or globals.
        globals: Properties of every record, before its own.
        directives: Further directives.
        log_group: Read by the CloudWatch agent when it takes lines over TCP or UDP.
        max_line: The longest line in bytes, newline not included: CloudWatch Logs counts 26 more.

    Raises:
        ConfigError: A value is none that CloudWatch takes; the message lists every problem.
    """

    namespaces: Sequence[str]
    dimensions: Sequence[Sequence[str]] = ((),)
    globals: Mapping[str, object] = field(default_factory=dict)
    directives: Sequence[Directive] = ()
    log_group: str | None = None
    max_line: int = 262_118

    def __post_init__(self) -> None:
        if isinstance(self.namespaces, str):
            name = self.namespaces
            raise ConfigError(f"namespaces: expected a list, got {name!r}. Use [{name!r}].")
        problems = [
            f"namespace: expected 1 to 255 of A-Z a-z 0-9 . _ # : / - and spaces, not starting "
            f"with a colon or `AWS/`, got {name!r}."
            for name in [*self.namespaces, *(d.namespace for d in self.directives)]
            if not _NAMESPACE.fullmatch(name) or name.startswith((":", "AWS/")) or not name.strip()
        ]
        if not self.namespaces:
            problems.append("namespaces: expected at least one.")
        if not self.dimensions:
            problems.append("dimensions: expected at least one set; `[[]]` is no dimensions.")
        for names in [*self.dimensions, *(n for d in self.directives for n in d.dimensions)]:
            problems += _problems_of_set(names)
        if not 1_024 <= self.max_line <= 1_048_550:
            problems.append(f"max_line: expected 1,024 to 1,048,550 bytes, got {self.max_line}.")
        for directive in self.directives:
            if not directive.metrics:
                problems.append(f"directive {directive.namespace!r}: expected at least one metric.")
        if problems:
            raise ConfigError("\n".join(problems))

    @classmethod
    def from_text(
        cls, namespaces: str, *, dimensions: str = "", log_group: str | None = None
    ) -> Self:
        """Return a configuration from texts, as flags and variables have them.

        Args:
            namespaces: Separated by commas.
            dimensions: Names separated by commas, sets by semicolons: `Operation,Status;Operation;`
                are three sets, of which the last, empty one is no dimensions.
            log_group: Its name.

        Raises:
            ConfigError: A value is none that CloudWatch takes.
        """
        return cls(
            namespaces=[name.strip() for name in namespaces.split(",")],
            dimensions=[
                [name.strip() for name in names.split(",") if name.strip()]
                for names in dimensions.split(";")
            ],
            log_group=log_group or None,
        )

    def sets(self, own: Sequence[Sequence[str]]) -> tuple[tuple[str, ...], ...]:
        """Return the configured sets, each with each of a record's *own* ones, as far as they fit.

        `problems` says which do not.
        """
        joined = (_joined(c, names) for c in self.dimensions for names in own or ((),))
        return tuple(dict.fromkeys(names for names in joined if len(names) <= MAX_DIMENSIONS))

    def problems(self, plan: RecordPlan) -> list[str]:
        """Return a sentence for each set that is too large with those of a record class.

        That is known before a record is written; one is written without them.
        """
        found: dict[str, None] = {}
        own = {f.dimensions: f"metric `{f.emitted}`" for f in plan.fields if f.dimensions}
        for configured in self.dimensions:
            for names in plan.dimensions or ((),):
                joined = _joined(configured, names)
                for extra, whose in {(): "", **own}.items():
                    size = len({*joined, *dict(extra)})
                    if size <= MAX_DIMENSIONS:
                        continue
                    more = f" and {len(extra)} of its {whose}" if extra else ""
                    found[
                        f"{plan.name}: {len(configured)} configured dimensions, {len(names)} of "
                        f"the class{more} make a set of {size}; CloudWatch takes "
                        f"{MAX_DIMENSIONS}. Take some away in `dimensions=` of either."
                    ] = None
                    break
        return list(found)


def _joined(*sets: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for names in sets for name in names))


def _problems_of_set(names: Sequence[Any]) -> list[str]:
    problems = []
    if isinstance(names, str):
        return [f"dimensions: expected sets of names, got the text {names!r}. Use [[{names!r}]]."]
    if len(names) > MAX_DIMENSIONS:
        problems.append(f"dimensions: a set has at most {MAX_DIMENSIONS} names, got {len(names)}.")
    problems += [
        f"dimensions: expected names of 1 to 250 ASCII characters, got {name!r}."
        for name in names
        if not isinstance(name, str)
        or not name.strip()
        or not name.isascii()
        or len(name) > 250
        or name.startswith((":", "_"))
    ]
    return problems


def json_names(sets: Sequence[Sequence[str]]) -> str:
    """Return dimension sets as JSON text."""
    return f"[{','.join('[' + ','.join(quote(n) for n in names) + ']' for names in sets)}]"
