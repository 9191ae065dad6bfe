"""The namespace of a class body that remembers in which order the fields were declared.

A bare annotation (`path: str`) leaves no trace among the assigned names, yet the order of fields
is the order on the wire. Up to Python 3.13, and later with postponed annotations, the body stores
each annotation as it meets it; from 3.14 annotations are a function, whose instructions still know
the lines.
"""

from __future__ import annotations

import dis
import sys
import types
from typing import Any

__all__ = ["Body"]


class _Annotations(dict[str, Any]):
    def __init__(self, order: list[str]) -> None:
        super().__init__()
        self._order = order

    def __setitem__(self, name: str, annotation: Any) -> None:
        if name not in self._order:
            self._order.append(name)
        super().__setitem__(name, annotation)


class Body(dict[str, Any]):
    """What `__prepare__` returns: a `dict` that knows the order of assignments and annotations."""

    def __init__(self) -> None:
        super().__init__()
        self._order: list[str] = []
        self._lines: dict[str, int] = {}
        super().__setitem__("__annotations__", _Annotations(self._order))

    def __setitem__(self, name: str, value: Any) -> None:
        if name not in self._lines:
            self._lines[name] = sys._getframe(1).f_lineno  # noqa: SLF001 -- the class body's line
        if name not in self._order:
            self._order.append(name)
        super().__setitem__(name, value)

    def annotations(self) -> dict[str, Any]:
        """Return each annotated name with its annotation, a text if it was postponed."""
        stored = dict(self["__annotations__"])
        if stored or sys.version_info < (3, 14):
            return stored
        import annotationlib  # noqa: PLC0415 -- new in 3.14

        annotate = annotationlib.get_annotate_from_class_namespace(self)
        if annotate is None:
            return {}
        found: dict[str, Any] = annotationlib.call_annotate_function(
            annotate, annotationlib.Format.FORWARDREF
        )
        code = getattr(annotate, "__code__", None)
        if code is not None:
            self._place_by_line(code, found)
        return dict(found)

    def _place_by_line(self, code: types.CodeType, annotated: dict[str, Any]) -> None:
        lines = dict(self._lines)
        for instruction in dis.get_instructions(code):
            name, line = instruction.argval, instruction.line_number  # type: ignore[attr-defined,unused-ignore]
            if isinstance(name, str) and name in annotated and line:
                lines.setdefault(name, line)
        names = dict.fromkeys([*annotated, *self._order])
        self._order[:] = sorted(names, key=lambda name: lines.get(name, 0))

    def order(self) -> list[str]:
        """Return all names of the body in the order in which they first appear."""
        return list(self._order)
