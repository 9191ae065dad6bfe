from collections.abc import Callable, Sequence
from typing import Any

class FlatEncoder:
    # head: UTF-8 that stands after the timestamp, from its closing quote to the last global.
    # fields: for each field (key, kind, optional, labels, writer, unit_ns): `,"Name":` in UTF-8;
    #   one of the kinds below; whether it may be None; for enums ((member, text), ...), else None;
    #   the function from a value to its text, for what is not written natively; for durations the
    #   nanoseconds in their unit, else 1.
    # careful: takes over when anything is unusual.
    # limit: the longest line that certainly holds nothing that is too long.
    def __init__(
        self,
        head: bytes,
        fields: Sequence[
            tuple[bytes, int, bool, tuple[tuple[Any, bytes], ...] | None, Callable[[Any], str], int]
        ],
        careful: Callable[..., bytes],
        limit: int,
    ) -> None: ...
    def __call__(self, time_ns: int, values: tuple[Any, ...], notes: object, /) -> bytes: ...

OTHER: int
STR: int
BOOL: int
INT: int
INT_TEXT: int
FLOAT: int
DURATION: int
ENUM: int
