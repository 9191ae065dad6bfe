"""Numbers that bring their unit along."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tachograph.formats.quantities import Quantity

TIME = {"Microseconds": 1, "Milliseconds": 1_000, "Seconds": 1_000_000}
SIZES = {"": 1, "Kilo": 10**3, "Mega": 10**6, "Giga": 10**9, "Tera": 10**12}
DATA = {
    f"{size}{name}".capitalize(): factor * bits
    for size, factor in SIZES.items()
    for name, bits in (("bytes", 8), ("bits", 1))
}
RATE = {f"{name}/Second": bits for name, bits in DATA.items()}
FAMILIES = [TIME, DATA, RATE]


@pytest.mark.parametrize(
    ("value", "unit", "wanted", "expected"),
    [
        pytest.param(42, "Milliseconds", "Seconds", 0.042, id="UN-3"),
        pytest.param(2, "Kilobytes", "Bits", 16_000, id="UN-4"),
        pytest.param(12_345_678, "Microseconds", "Milliseconds", 12_345.678, id="UN-1"),
        pytest.param(10, "Microseconds", "Milliseconds", 0.01, id="UN-2 10"),
        pytest.param(170, "Microseconds", "Milliseconds", 0.17, id="UN-2 170"),
        pytest.param(1_200, "Microseconds", "Milliseconds", 1.2, id="UN-2 1200"),
        pytest.param(Decimal("1.5"), "Seconds", "Milliseconds", Decimal(1_500), id="decimal"),
        pytest.param(3, "Megabits/Second", "Kilobytes/Second", 375, id="rate"),
        pytest.param(5, "", "Bytes", 5, id="none into anything"),
        pytest.param(3, "Tokens", "Tokens", 3, id="one's own"),
    ],
)
def test_numbers_are_converted_inside_their_family(
    value: Any, unit: str, wanted: str, expected: Any
) -> None:
    """Exact where it can be: integers are divided, whole numbers stay whole [UN-1 to UN-4]."""
    found = Quantity(value, unit).into(wanted)

    assert (expected, type(expected)) == (found, type(found))


@pytest.mark.parametrize("value", [5, 0.1, Decimal("0.10"), 2**80])
def test_the_same_unit_changes_nothing(value: Any) -> None:
    """The very object: no detour through a float when the ratio is 1 [UN-7]."""
    assert Quantity(value, "Bytes").into("Bytes") is value


@pytest.mark.parametrize(
    ("unit", "wanted", "message"),
    [
        ("Seconds", "Bytes", "promised `Bytes`, got `Seconds`"),
        ("Bytes", "Bytes/Second", "promised `Bytes/Second`, got `Bytes`"),
        ("Count", "Percent", "promised `Percent`, got `Count`"),
        ("Tokens", "Bytes", "promised `Bytes`, got `Tokens`"),
        ("Seconds", None, "promised no unit, got `Seconds`"),
    ],
)
def test_another_family_is_refused(unit: str, wanted: str | None, message: str) -> None:
    """The error says what was promised and what came [UN-6]."""
    with pytest.raises(TypeError, match=message):
        Quantity(5, unit).into(wanted)


@pytest.mark.parametrize("value", ["5", None, True, [1]])
def test_what_is_no_number_is_refused(value: Any) -> None:
    """Also where the unit fits."""
    with pytest.raises(TypeError, match="expected a number of Seconds"):
        Quantity(value, "Seconds").into("Seconds")


class Index:
    """An integer of another library."""

    def __index__(self) -> int:
        return 7


def test_integers_of_other_libraries_are_numbers() -> None:
    """Through `__index__`, as numpy's have it."""
    value: Any = Index()

    assert 7_000 == Quantity(value, "Seconds").into("Milliseconds")


@st.composite
def conversions(draw: st.DrawFn) -> tuple[str, str, Fraction]:
    """Two units of one family, and the exact ratio of their sizes."""
    family = draw(st.sampled_from(FAMILIES))
    unit, wanted = draw(st.sampled_from(list(family))), draw(st.sampled_from(list(family)))
    return unit, wanted, Fraction(family[unit], family[wanted])


@given(conversions(), st.integers(-(10**15), 10**15), st.floats(-1e15, 1e15))
def test_every_conversion_is_the_nearest_number(
    units: tuple[str, str, Fraction], whole: int, real: float
) -> None:
    """Between any two units of a family, with one rounding at most."""
    unit, wanted, ratio = units

    assert float(whole * ratio) == float(Quantity(whole, unit).into(wanted))
    assert float(Fraction(real) * ratio) == Quantity(real, unit).into(wanted)
