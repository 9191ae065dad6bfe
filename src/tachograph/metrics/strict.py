"""What strict mode raises for: whatever production would leave out of a record and tell in it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, cast

from tachograph.formats.json import FlatJson
from tachograph.formats.plan import Notes, RecordPlan

__all__ = ["complain"]


def complain(
    plan: RecordPlan, values: tuple[Any, ...], notes: Notes | None, globals: Iterable[str]
) -> None:
    """Raise for everything that is wrong with a closed record, all of it at once.

    Args:
        plan: Its class.
        values: Its values.
        notes: What it says of itself.
        globals: Names that some destination writes on every record.

    Raises:
        RuntimeError: The record would reach production with something left out.
    """
    line = FlatJson(native=False).encoder(plan)(0, values, notes or Notes())
    problems = cast("list[str]", json.loads(line).get("_errors", []))
    problems += [
        f"{name}: a global has this name, so it is left out"
        for name in globals
        if name in plan.written_names
    ]
    grouped = {name for names in plan.dimensions for name in names}
    for field, value in zip(plan.fields, values, strict=True):
        if field.emitted in grouped and isinstance(value, str) and not value.strip():
            problems.append(
                f"{field.emitted}: a dimension is blank here. Annotate it `| None` if it may be "
                "absent"
            )
    if problems:
        msg = f"{plan.name} was emitted with something left out: {'; '.join(problems)}."
        raise RuntimeError(msg)
