"""Cutting the metrics of one record into lines that CloudWatch takes whole."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from tachograph.formats.cloudwatch import MAX_DEFINITIONS, MAX_VALUES
from tachograph.formats.plan import FieldPlan

__all__ = ["Metric", "split"]


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric's observations in one record.

    Attributes:
        field: What it is.
        key: Its name as JSON text.
        observed: Each different value's text, with how often it occurred.
        plain: Whether it is written as a bare number, being one observation.
    """

    field: FieldPlan
    key: str
    observed: Sequence[tuple[str, int]]
    plain: bool

    @property
    def dimensions(self) -> tuple[tuple[str, str], ...]:
        """The names and values by which it is told apart, sorted by name."""
        return self.field.dimensions

    def text(self) -> str:
        """Return its value as JSON text."""
        if self.plain:
            return self.observed[0][0]
        values = ",".join(text for text, _ in self.observed)
        counts = ",".join(str(count) for _, count in self.observed)
        return f'{{"Values":[{values}],"Counts":[{counts}]}}'


def split(
    metrics: Sequence[Metric], fits: Callable[[Sequence[Metric]], bool]
) -> list[list[Metric]]:
    """Return groups of metrics, one for each line; at least one, which may be empty.

    A metric of many values is cut into chunks of 100, chunk j in layer j; each layer's definitions
    are cut into groups of 100, in order. Values that are no metrics ride on the first line. A group
    that does not *fit* is halved until it does or has one metric.

    Args:
        metrics: The metrics of one line, in order, values merged.
        fits: Whether a line with these metrics is short enough.
    """
    log_only = [m for m in metrics if m.field.log_only]
    layers: list[list[Metric]] = []
    for metric in metrics:
        if metric.field.log_only:
            continue
        observed = metric.observed
        for number, start in enumerate(range(0, max(1, len(observed)), MAX_VALUES)):
            if number == len(layers):
                layers.append([])
            layers[number].append(replace(metric, observed=observed[start : start + MAX_VALUES]))
    groups = [
        layer[start : start + MAX_DEFINITIONS]
        for layer in layers
        for start in range(0, len(layer), MAX_DEFINITIONS)
    ] or [[]]
    if log_only:
        order = {id(m.field): number for number, m in enumerate(metrics)}
        groups[0] = sorted(groups[0] + log_only, key=lambda m: order[id(m.field)])
    return [part for group in groups for part in _halved(group, fits)]


def _halved(group: list[Metric], fits: Callable[[Sequence[Metric]], bool]) -> list[list[Metric]]:
    if len(group) <= 1 or fits(group):
        return [group]
    middle = len(group) // 2
    return _halved(group[:middle], fits) + _halved(group[middle:], fits)
