"""What a record turns into when nothing can be recorded in it: before a scope, and after emission.

Both are subclasses without slots of their own, so a record changes into one by assigning its class;
the plain path pays nothing for the check.
"""

from __future__ import annotations

from typing import Any, NoReturn

from tachograph.metrics.statistics import statistics

__all__ = ["done_class", "inert_class"]


def done_class(cls: type) -> type:
    """Return the class of emitted records of *cls*: assignments are counted and have no effect."""
    name = cls.__name__

    def __setattr__(self: object, attribute: str, value: object) -> None:  # noqa: N807
        statistics.late(f"{name}.{attribute} was assigned")

    return _variant(cls, {"__setattr__": __setattr__})


def inert_class(cls: type) -> type:
    """Return the class of the shared record outside any scope: it takes everything, keeps nothing.

    Attributes that are no fields vanish too: this record never raises.
    """
    name = cls.__name__

    def __setattr__(self: object, attribute: str, value: object) -> None:  # noqa: N807
        statistics.orphan(name, attribute)

    def nothing(self: Any, *_: object) -> Any:
        return self

    def leave(self: object, *_: object) -> None:
        return None

    def __bool__(self: object) -> bool:  # noqa: N807
        return False

    return _variant(
        cls,
        {"__setattr__": __setattr__, "__enter__": nothing, "__exit__": leave, "__bool__": __bool__},
    )


def _variant(cls: type, methods: dict[str, Any]) -> type:
    def __reduce__(self: object) -> NoReturn:  # noqa: N807
        msg = f"A {cls.__name__} cannot be pickled."
        raise TypeError(msg)

    namespace = {
        "__slots__": (),
        "__module__": cls.__module__,
        "__qualname__": cls.__qualname__,
        "__doc__": cls.__doc__,
        "__reduce__": __reduce__,
        **methods,
    }
    # Past the record metaclass, which would take it for another record class.
    return type.__new__(type(cls), cls.__name__, (cls,), namespace)
