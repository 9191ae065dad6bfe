"""Which record class a line without a name belongs to: the one whose fields explain it best.

EMF and nested JSON name no class, so a line's names are held against what schema documents declare.
Best is the class that declares the most of them and lacks the fewest of its certain fields; of
equals the smallest. Classes with the same fields cannot be told apart: the first by name is taken.
"""

from __future__ import annotations

from tachograph.fleet.schema import Schema

__all__ = ["Classes"]


class Classes:
    """The classes that *schema* describes, to be asked about the names in lines."""

    def __init__(self, schema: Schema) -> None:
        self._fields = {
            record: (frozenset(fields), frozenset(n for n, f in fields.items() if not f.optional))
            for record, fields in sorted(schema.records.items())
            if fields
        }
        self._known: dict[frozenset[str], str | None] = {}

    def __bool__(self) -> bool:
        return bool(self._fields)

    def of(self, names: frozenset[str]) -> str | None:
        """Return the class that a line with *names* belongs to, None if none declares any."""
        if names not in self._known:
            self._known[names] = self._best(names)
        return self._known[names]

    def _best(self, names: frozenset[str]) -> str | None:
        scores = {
            record: (len(declared & names) - len(certain - names), -len(declared))
            for record, (declared, certain) in self._fields.items()
            if declared & names
        }
        return max(scores, key=lambda record: scores[record]) if scores else None
