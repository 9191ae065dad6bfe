"""Whether readers of a record class's lines go on reading them right: two descriptions compared.

Judged by who stands downstream: a query, a dashboard, an alarm that was written against the old
description. What they would miss, or would read as something else, is a break; what they have not
heard of yet is none. A field that becomes certain harms nobody; one that may now be absent does.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["Break", "Comparison", "compare"]

Entry = Mapping[str, Any]
"""A record class as a schema document has it."""

_KEEP = "Keep the old one until its readers have moved, and give the new one another name."


@dataclass(frozen=True, slots=True)
class Break:
    """A change that readers would notice.

    Attributes:
        where: `Record` or `Record.Field`, by emitted names.
        what: What was and what is.
        fix: What to do.
    """

    where: str
    what: str
    fix: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """What changed from an old description to a new one; `added` and `eased` harm nobody.

    Attributes:
        breaks: What readers would notice.
        added: New records, and new fields as `Record.Field`.
        eased: Fields that may no longer be absent.
    """

    breaks: tuple[Break, ...]
    added: tuple[str, ...]
    eased: tuple[str, ...]


def compare(old: Iterable[Entry], new: Iterable[Entry]) -> Comparison:
    """Return what readers of *old* meet in *new*; of a class's versions the last counts."""
    before = {entry["record"]: entry for entry in old}
    after = {entry["record"]: entry for entry in new}
    breaks: list[Break] = []
    eased: list[str] = []
    added = [name for name in after if name not in before]
    for name, entry in before.items():
        if name not in after:
            breaks.append(_removed(name, "record", [n for n in after if n not in before]))
            continue
        fields = {field["name"]: field for field in entry["fields"]}
        current = {field["name"]: field for field in after[name]["fields"]}
        fresh = [field for field in current if field not in fields]
        added += [f"{name}.{field}" for field in fresh]
        for field, was in fields.items():
            if field not in current:
                breaks.append(_removed(f"{name}.{field}", "field", fresh))
                continue
            breaks += _changes(f"{name}.{field}", was, current[field])
            if was.get("optional") and not current[field].get("optional"):
                eased.append(f"{name}.{field}")
    return Comparison(tuple(breaks), tuple(added), tuple(eased))


def _removed(where: str, what: str, fresh: Sequence[str]) -> Break:
    name = where.rpartition(".")[2]
    by_case = [other for other in fresh if other.casefold() == name.casefold()]
    near = by_case or difflib.get_close_matches(name, fresh, n=1)
    renamed = f" Was it renamed to `{near[0]}`?" if near else ""
    return Break(
        where,
        f"the {what} is gone.{renamed}",
        f"Emit it on until nobody asks for it; a renamed {what} can keep its emitted name"
        + (" by `name=`." if what == "field" else ", which is its class's."),
    )


def _changes(where: str, was: Entry, now: Entry) -> list[Break]:
    found = []
    if was["kind"] != now["kind"]:
        fix = {
            ("metric", "property"): "Numbers that were summed are text now. " + _KEEP,
            ("property", "metric"): "Texts that were compared are numbers now. " + _KEEP,
        }.get((was["kind"], now["kind"]), _KEEP)
        found.append(Break(where, f"was a {was['kind']} and is a {now['kind']}.", fix))
    if was["type"] != now["type"]:
        what = f"the type was `{was['type']}` and is `{now['type']}`."
        found.append(Break(where, what, _KEEP))
    if was.get("unit") != now.get("unit"):
        what = f"the unit was {_unit(was)} and is {_unit(now)}."
        fix = "Numbers would be read in the wrong unit, and CloudWatch begins a second series. "
        found.append(Break(where, what, fix + _KEEP))
    if now.get("optional") and not was.get("optional"):
        found.append(
            Break(
                where,
                "was on every line and may be absent now.",
                "Readers that count on it see no value: give it a default, or let them know.",
            )
        )
    return found


def _unit(field: Entry) -> str:
    return field.get("unit") or "none"
