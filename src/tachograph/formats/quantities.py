"""A number that brings its unit along, and its conversion to the unit that a field promised."""

from __future__ import annotations

import math
import operator
from dataclasses import dataclass
from decimal import Decimal

__all__ = ["Quantity"]

_THOUSANDS = {"": 1, "Kilo": 10**3, "Mega": 10**6, "Giga": 10**9, "Tera": 10**12}
_BITS = {"bytes": 8, "bits": 1}


def _scales() -> dict[str, tuple[str, int]]:
    """Return each unit that can be converted, with its family and its size in whole parts."""
    found = {
        "Microseconds": ("time", 1),
        "Milliseconds": ("time", 1_000),
        "Seconds": ("time", 1_000_000),
    }
    for per, family in (("", "data"), ("/Second", "rate")):
        for name, bits in _BITS.items():
            for size, factor in _THOUSANDS.items():
                found[f"{size}{name}".capitalize() + per] = (family, factor * bits)
    return found


_SCALES = _scales()


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number with its unit; `Unit.KILOBYTES(2)` makes one.

    A field that is declared in another unit of the same family (time, data, data per second) gets
    the converted number, a field of another family nothing, and the record tells why. It does not
    calculate: convert first, with `into`.

    Attributes:
        value: The number.
        unit: The unit's text, which may be one of your own; empty for none.
    """

    value: int | float | Decimal
    unit: str

    def into(self, unit: str | None) -> int | float | Decimal:
        """Return the number in *unit*; a whole number stays one where it can.

        Args:
            unit: The text of a unit, None or empty for none.

        Raises:
            TypeError: The unit is of another family, or the value is no number.
        """
        value = self.value
        if not isinstance(value, int | float | Decimal) and hasattr(type(value), "__index__"):
            value = operator.index(value)  # of numpy
        if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
            msg = f"expected a number of {self.unit or 'no unit'}, got {type(value).__name__}"
            raise TypeError(msg)
        if not self.unit or self.unit == unit:
            return value
        family, size = _SCALES.get(self.unit, ("", 1))
        wanted, part = _SCALES.get(unit or "", (None, 1))
        if family != wanted:
            promised = f"`{unit}`" if unit else "no unit"
            msg = f"promised {promised}, got `{self.unit}`"
            raise TypeError(msg)
        # One of the two is 1, so a float is rounded once. Integers are divided, never multiplied
        # by a reciprocal: 170 / 1000 is 0.17, 170 * 0.001 is not.
        common = math.gcd(size, part)
        size, part = size // common, part // common
        if isinstance(value, int):
            whole, rest = divmod(value * size, part)
            return whole if not rest else value * size / part
        return value * size if part == 1 else value / part
