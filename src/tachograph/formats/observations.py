"""Fields with many observations (distributions, summaries, histograms), as formats want them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from tachograph.formats.plan import Buckets, FieldPlan, Summary
from tachograph.formats.values import NotANumberError, float_text, integer_or_float

__all__ = ["MANY", "counted", "flat_parts", "nested_value"]

MANY = frozenset(("distribution", "summary", "histogram"))
"""Types of fields whose value is not one number."""


def numbers(values: Sequence[Any]) -> Iterator[str]:
    """Yield each number's text; NaN is skipped."""
    for value in values:
        try:
            yield integer_or_float(value)
        except NotANumberError:
            continue


def flat_parts(field: FieldPlan, value: Any) -> list[tuple[str, str]]:
    """Return the keys and JSON texts that stand for *value* in flat JSON.

    A distribution is an array; a summary `_count _sum _min _max`; a histogram also `_p50 _p99`.

    Raises:
        TypeError: *value* is none of these.
        NotANumberError: There is no observation that is a number.
    """
    if isinstance(value, Summary | Buckets):
        summary = value.summary if isinstance(value, Buckets) else value
        parts = [summary.count, summary.total]
        if summary.count:
            parts += [summary.minimum, summary.maximum]
        if isinstance(value, Buckets):
            parts += [value.quantile(0.5), value.quantile(0.99)]
        return [
            (name, integer_or_float(part))
            for name, part in zip(field.suffixed, parts, strict=False)
        ]
    texts = list(numbers(_sequence(field, value)))
    if not texts:
        raise NotANumberError
    return [(field.emitted, f"[{','.join(texts)}]")]


def counted(field: FieldPlan, value: Any) -> list[tuple[str, int]]:
    """Return each different observation's text with how often it occurred, first seen first.

    Raises:
        TypeError: *value* has no observations.
        NotANumberError: None of them is a number.
    """
    if isinstance(value, Summary):
        mean = value.total / value.count if value.count else 0
        return [(float_text(mean), value.count)]
    if isinstance(value, Buckets):
        return [(float_text(number), count) for number, count in value.buckets]
    counts: dict[str, int] = {}
    for text in numbers(_sequence(field, value)):
        counts[text] = counts.get(text, 0) + 1
    if not counts:
        raise NotANumberError
    return list(counts.items())


def nested_value(field: FieldPlan, value: Any, weight: int) -> str:
    """Return the members of a nested metric: `"value":…` or `"values":[…]`.

    Totals and counts of repeated observations are multiplied by *weight*, so that means stay.
    """
    if isinstance(value, Summary):
        return f'"value":{_repeated(value.total, value.count, weight)}'
    if isinstance(value, Buckets):
        pairs = (_repeated(number * count, count, weight) for number, count in value.buckets)
        return f'"values":[{",".join(pairs)}]'
    texts = []
    for element in _sequence(field, value):
        try:
            texts.append(integer_or_float(element))
        except NotANumberError:
            texts.append("null")
    return f'"values":[{",".join(texts)}]'


def _repeated(total: float, count: int, weight: int) -> str:
    text = integer_or_float(total * weight)
    return f'{{"total":{text},"count":{min(count * weight, 2**64 - 1)}}}'


def _sequence(field: FieldPlan, value: Any) -> Sequence[Any]:
    if isinstance(value, list | tuple):
        return value
    msg = f"expected {field.type}, got {type(value).__name__}"
    raise TypeError(msg)
