"""Ours in the place of what stood there, and back."""

from __future__ import annotations

from typing import Any

from tachograph.recorder.patches import put, take_back


class Base:
    """What somebody else has written."""

    def name(self) -> str:
        return "base"


def louder(stock: Any) -> Any:
    """Return a method that says what *stock* says, louder."""
    return lambda self: stock(self) + "!"


def test_put_and_taken_back() -> None:
    """What the owner had itself stands there again; what it inherited is inherited again."""

    class Derived(Base):
        pass

    stock = Base.name
    put(Derived, "name", louder)
    put(Base, "name", louder)

    assert ("base!", "base!") == (Derived().name(), Base().name())
    take_back(Base, "name")
    take_back(Derived, "name")

    assert Base.name is stock
    assert "name" not in vars(Derived)
    assert "base" == Derived().name()


def test_twice_is_once() -> None:
    """Whoever puts it again finds it there."""

    class Own(Base):
        def name(self) -> str:
            return "own"

    put(Own, "name", louder)
    put(Own, "name", louder)

    assert "own!" == Own().name()
    take_back(Own, "name")
    take_back(Own, "name")

    assert "own" == Own().name()


def test_what_stands_on_top_keeps_ours() -> None:
    """It calls ours; when it has gone, ours can go."""

    class Own(Base):
        def name(self) -> str:
            return "own"

    put(Own, "name", louder)
    ours = Own.name
    Own.name = lambda self: ours(self) + "?"  # type: ignore[method-assign]
    take_back(Own, "name")
    assert "own!?" == Own().name()
    put(Own, "name", louder)

    assert "own!?" == Own().name()
    Own.name = ours  # type: ignore[method-assign]
    take_back(Own, "name")

    assert "own" == Own().name()
