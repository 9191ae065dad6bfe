"""What readers of a record class notice when it changes."""

from __future__ import annotations

from typing import Any

import pytest

from tachograph.fleet.compatibility import compare


def field(name: str = "Duration", **changes: Any) -> dict[str, Any]:
    """Return a field of a schema document."""
    base = {"name": name, "kind": "metric", "type": "float", "unit": "Milliseconds"}
    return {**base, "optional": False, "doc": "", **changes}


def entry(*fields: dict[str, Any], record: str = "Order") -> dict[str, Any]:
    """Return a class of a schema document."""
    return {"record": record, "digest": "", "doc": "", "fields": list(fields)}


def test_equal_descriptions_are_compatible() -> None:
    """Other documentation, another order of fields and another digest change nothing."""
    old = entry(field("A"), field("B"))
    new = {**entry(field("B", doc="New."), field("A")), "digest": "1", "doc": "New."}

    assert ((), (), ()) == (
        (found := compare([old], [new])).breaks,
        found.added,
        found.eased,
    )


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"type": "int"}, "the type was `float` and is `int`."),
        ({"unit": "Seconds"}, "the unit was Milliseconds and is Seconds."),
        ({"unit": None}, "the unit was Milliseconds and is none."),
        ({"kind": "property"}, "was a metric and is a property."),
        ({"optional": True}, "was on every line and may be absent now."),
    ],
)
def test_a_changed_field_breaks(change: dict[str, Any], said: str) -> None:
    """Another type, unit or kind, or a value that may now be absent, is told with a way out."""
    (found,) = compare([entry(field())], [entry(field(**change))]).breaks

    assert ("Order.Duration", said) == (found.where, found.what)
    assert found.fix.endswith(".")


def test_what_is_gone_breaks() -> None:
    """A record or field that is not there any more is told, with what it may have become."""
    old = [entry(field("Duration"), field("Host")), entry(record="Gone")]
    found = compare(old, [entry(field("duration"), field("Other"))])

    assert [
        ("Order.Duration", "the field is gone. Was it renamed to `duration`?"),
        ("Order.Host", "the field is gone."),
        ("Gone", "the record is gone."),
    ] == [(b.where, b.what) for b in found.breaks]
    assert ("Order.duration", "Order.Other") == found.added


def test_what_is_new_or_certain_harms_nobody() -> None:
    """New records and fields are told, and so is a value that can no longer be absent."""
    old = entry(field(optional=True))
    found = compare([old], [entry(field(), field("More", optional=True)), entry(record="Fresh")])

    assert () == found.breaks
    assert ("Fresh", "Order.More") == found.added
    assert ("Order.Duration",) == found.eased


def test_the_last_version_of_a_class_counts() -> None:
    """A document keeps older versions of a class; readers are those of the last."""
    versions = [entry(field(unit="Seconds")), entry(field())]

    assert () == compare(versions, [entry(field())]).breaks
    assert 1 == len(compare(versions[::-1], [entry(field())]).breaks)
