"""Attributes of other people's classes and modules with ours in their place, and back.

What stands there may be replaced again by someone else, on top of ours and calling it. Then ours
has to stay when the recorder ends; it passes on what it is given, and serves the next recorder.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

__all__ = ["put", "take_back"]

_inherited = object()  # in the place of what stood there: there was none of the owner's own


class _Standing(NamedTuple):
    owner: Any
    ours: Any
    stock: Any


_standing: dict[tuple[int, str], _Standing] = {}


def put(owner: Any, name: str, make: Callable[[Any], Any]) -> None:
    """Put what *make* returns in an attribute's place, unless ours stands there from before.

    Args:
        owner: A class or a module.
        name: Of the attribute.
        make: Is given what stood there, as it lies in the owner: of a class method, that object.
    """
    if (id(owner), name) in _standing:
        return
    stock = vars(owner).get(name, _inherited)
    ours = make(getattr(owner, name) if stock is _inherited else stock)
    setattr(owner, name, ours)
    _standing[id(owner), name] = _Standing(owner, ours, stock)


def take_back(owner: Any, name: str) -> None:
    """Put back what stood there, unless someone else's stands on top of ours."""
    standing = _standing.get((id(owner), name))
    if standing is None or vars(owner).get(name) is not standing.ours:
        return
    if standing.stock is _inherited:
        delattr(owner, name)
    else:
        setattr(owner, name, standing.stock)
    del _standing[id(owner), name]
