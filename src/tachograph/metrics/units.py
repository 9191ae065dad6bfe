"""Units of measurement by CloudWatch's names, and what a number in one of them is."""

from __future__ import annotations

import enum
from decimal import Decimal

from tachograph.formats.quantities import Quantity

__all__ = ["Unit", "nanoseconds_of", "text_of"]


class Unit(enum.Enum):
    """The unit of a metric; its value is the text that formats and the schema show.

    Scale is decimal everywhere: a kilobyte is 1,000 bytes. Called with a number it makes a
    quantity, which a field converts to its own unit: `event.size = Unit.KILOBYTES(2)`.

    Where a unit is expected, any text is a unit of your own: `unit="Tokens"`. The schema and
    nested JSON keep it; CloudWatch knows none but these, so EMF leaves it out.
    """

    NONE = ""
    COUNT = "Count"
    PERCENT = "Percent"
    MICROSECONDS = "Microseconds"
    MILLISECONDS = "Milliseconds"
    SECONDS = "Seconds"
    BYTES = "Bytes"
    KILOBYTES = "Kilobytes"
    MEGABYTES = "Megabytes"
    GIGABYTES = "Gigabytes"
    TERABYTES = "Terabytes"
    BITS = "Bits"
    KILOBITS = "Kilobits"
    MEGABITS = "Megabits"
    GIGABITS = "Gigabits"
    TERABITS = "Terabits"
    BYTES_PER_SECOND = "Bytes/Second"
    KILOBYTES_PER_SECOND = "Kilobytes/Second"
    MEGABYTES_PER_SECOND = "Megabytes/Second"
    GIGABYTES_PER_SECOND = "Gigabytes/Second"
    TERABYTES_PER_SECOND = "Terabytes/Second"
    BITS_PER_SECOND = "Bits/Second"
    KILOBITS_PER_SECOND = "Kilobits/Second"
    MEGABITS_PER_SECOND = "Megabits/Second"
    GIGABITS_PER_SECOND = "Gigabits/Second"
    TERABITS_PER_SECOND = "Terabits/Second"
    COUNT_PER_SECOND = "Count/Second"

    def __call__(self, value: float | Decimal) -> Quantity:
        """Return *value* in this unit."""
        return Quantity(value, self.value)

    @property
    def text(self) -> str | None:
        """The text in the schema, None for no unit."""
        return text_of(self)

    @property
    def nanoseconds(self) -> int | None:
        """How many nanoseconds one of this unit lasts, None if it is no unit of time."""
        return nanoseconds_of(self)


# Durations are kept as integer nanoseconds and divided by these once: a division of integers gives
# the shortest digits (170,000 ns is 0.17 ms), a multiplication by 1e-6 does not.
_NANOSECONDS = {"Microseconds": 1_000, "Milliseconds": 1_000_000, "Seconds": 1_000_000_000}


def text_of(unit: Unit | str) -> str | None:
    """Return the text of a unit, one's own too; None for no unit."""
    return (unit if isinstance(unit, str) else unit.value) or None


def nanoseconds_of(unit: Unit | str) -> int | None:
    """Return how many nanoseconds one of *unit* lasts, None if it is no unit of time."""
    return _NANOSECONDS.get(text_of(unit) or "")
