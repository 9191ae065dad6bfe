"""Values that nest too deeply become text."""

from __future__ import annotations

import json

import pytest

from tachograph.fleet.depth import MAX_DEPTH, shallow


def nested(depth: int, *, mapping: bool = False) -> str:
    """Return JSON of *depth* lists or objects inside each other."""
    return ('{"[":' if mapping else "[") * depth + "1" + ("}" if mapping else "]") * depth


@pytest.mark.parametrize("mapping", [False, True])
def test_what_fits_stays_as_it_is(mapping: bool) -> None:
    """Up to the limit, the line's own object included, nothing is changed."""
    line = f'{{"a":{nested(MAX_DEPTH - 1, mapping=mapping)},"b":[{"[],[1]," * 50}0]}}'

    assert line == shallow(line)


@pytest.mark.parametrize("depth", [MAX_DEPTH, 100_000])
@pytest.mark.parametrize("mapping", [False, True])
def test_what_is_too_deep_becomes_its_text(depth: int, mapping: bool) -> None:
    """Only the member that is too deep changes, and none of its characters is lost."""
    deep = nested(depth, mapping=mapping)
    line = f'{{"a":1,"x":{deep},"b":["]}}",{{"c":"\\"["}}],"y":{deep}}}'
    found = json.loads(shallow(line))

    assert {"a": 1, "x": deep, "b": ["]}", {"c": '"['}], "y": deep} == found
