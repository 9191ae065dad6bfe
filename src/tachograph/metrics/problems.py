"""What is wrong with the emitted names of a class and with the dimensions it asks for."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence

from tachograph.formats.json import RESERVED
from tachograph.formats.plan import FieldPlan

__all__ = ["problems_of_dimensions", "problems_of_names"]

_MAX_NAME = 255
_MAX_DIMENSIONS = 30
_MAX_DIMENSION_NAME = 250


def problems_of_names(class_name: str, plans: Sequence[FieldPlan]) -> list[str]:
    """Return a sentence for each emitted name that is empty, reserved or taken."""
    problems = []
    seen: dict[str, str] = {}
    for plan in plans:
        where = f"{class_name}.{plan.attribute}"
        if not plan.emitted:
            problems.append(f"{where}: the emitted name is empty.")
        elif plan.emitted.startswith("_"):
            problems.append(
                f"{where}: emitted names starting with `_` are reserved, got {plan.emitted!r}."
            )
        elif plan.emitted in RESERVED:
            problems.append(f"{where}: {plan.emitted!r} is the name of a head key. Use another.")
        elif len(plan.emitted) > _MAX_NAME:
            problems.append(
                f"{where}: an emitted name has at most {_MAX_NAME} characters, got "
                f"{len(plan.emitted)}. Use a shorter one, or `name=`."
            )
        elif plan.emitted in seen:
            problems.append(
                f"{where}: emits {plan.emitted!r} like `{seen[plan.emitted]}`. Rename one of them."
            )
        seen.setdefault(plan.emitted, f"{class_name}.{plan.attribute}")
    return problems


def problems_of_dimensions(
    class_name: str, plans: Sequence[FieldPlan], sets: Sequence[Sequence[str]] | None
) -> list[str]:
    """Return a sentence for each dimension that CloudWatch could not group by."""
    problems = []
    kinds = {plan.emitted: plan.kind for plan in plans}
    for plan in plans:
        problems += [
            f"{class_name}.{plan.attribute}: {problem}"
            for name, value in plan.dimensions
            if (problem := _problem_of_own_dimension(name, value, kinds))
        ]
    if sets is None:
        return problems
    if not sets:
        problems.append(
            f"{class_name}: dimensions is empty. Give at least one set; `[[]]` is no dimensions."
        )
    properties = [name for name, kind in kinds.items() if kind == "property"]
    for names in sets:
        if len(names) > _MAX_DIMENSIONS:
            problems.append(
                f"{class_name}: a dimension set has at most {_MAX_DIMENSIONS} names, "
                f"got {len(names)}."
            )
        if len(set(names)) < len(names):
            problems.append(f"{class_name}: dimension set {list(names)} names something twice.")
        for name in names:
            if name not in kinds:
                near = difflib.get_close_matches(name, properties, 1)
                hint = f" Did you mean {near[0]!r}?" if near else ""
                problems.append(
                    f"{class_name}: dimension {name!r} is no emitted name of a field.{hint}"
                )
            elif kinds[name] != "property":
                problems.append(
                    f"{class_name}: dimension {name!r} is a {kinds[name]}; only a property can be "
                    "one. For a number that is an identity use `as_property=True`."
                )
            elif problem := _problem_of_dimension(name, "-"):
                problems.append(f"{class_name}: {problem}")
    return problems


def _problem_of_own_dimension(name: str, value: object, kinds: Mapping[str, str]) -> str | None:
    # On the metric's line the dimension takes the place of a property; a number has no other.
    if kinds.get(name) == "metric":
        return f"dimension {name!r} is the name of a metric. Use another for one of them."
    return _problem_of_dimension(name, value)


def _problem_of_dimension(name: object, value: object) -> str | None:
    if not isinstance(name, str) or not isinstance(value, str):
        return f"expected a dimension's name and value as text, got {name!r}: {value!r}."
    good = name.isascii() and name.strip() and not name.startswith((":", "_"))
    if not good or len(name) > _MAX_DIMENSION_NAME:
        return (
            f"a dimension's name has 1 to {_MAX_DIMENSION_NAME} ASCII characters and does not "
            f"start with a colon or `_`, got {name!r}."
        )
    if not value.strip():
        return f"dimension {name!r} has no value."
    return None
