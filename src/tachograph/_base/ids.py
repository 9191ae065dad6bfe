"""Identifiers for requests: UUIDs of version 4, out of a series.

A series is 16 random bytes, two numbers of 64 bits, little end first; its n-th id is what the
finalizer of SplitMix64 (Steele, Lea and Flood, 2014) makes of both numbers plus n times the golden
ratio, with the version and the variant over it. Nobody can tell one from a random UUID, but whoever
knows the series can write the number in place of 16 bytes that nothing makes smaller: that is what
a trace does.

Not for secrets: who knows the series knows every id.
"""

from __future__ import annotations

import itertools
import os
import re
import struct

from tachograph._core import native

__all__ = [
    "SERIES_BYTES",
    "id_of",
    "new_request_id",
    "number_of",
    "series",
    "uuid_bytes",
    "uuid_text",
]

SERIES_BYTES = 16
_SERIES, _BIG = struct.Struct("<QQ"), struct.Struct(">QQ")
_MASK = 2**64 - 1
_STEP = 0x9E3779B97F4A7C15
_FIRST, _SECOND = 0xBF58476D1CE4E5B9, 0x94D049BB133111EB
_OF_STEP, _OF_FIRST, _OF_SECOND = (pow(each, -1, 2**64) for each in (_STEP, _FIRST, _SECOND))
_VERSION, _VERSION_MASK = 4 << 12, 0xF << 12
_VARIANT, _VARIANT_MASK = 2 << 62, 3 << 62
_MOST = 2**48
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


def uuid_bytes(text: str) -> bytes | None:
    """Return the 16 bytes of a UUID that is written in lower case; None for another text."""
    return bytes.fromhex(text.replace("-", "")) if _UUID.fullmatch(text) else None


def uuid_text(raw: bytes) -> str:
    """Return 16 bytes as a UUID is written."""
    text = raw.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def _mix(value: int) -> int:
    value = (value ^ value >> 30) * _FIRST & _MASK
    value = (value ^ value >> 27) * _SECOND & _MASK
    return value ^ value >> 31


def _unmix(value: int) -> int:
    value = (value ^ value >> 31 ^ value >> 62) * _OF_SECOND & _MASK
    value = (value ^ value >> 27 ^ value >> 54) * _OF_FIRST & _MASK
    return value ^ value >> 30 ^ value >> 60


def _seeds(series: bytes) -> tuple[int, int]:
    if len(series) != SERIES_BYTES:
        msg = f"expected a series of {SERIES_BYTES} bytes, got {series!r}"
        raise ValueError(msg)
    first, second = _SERIES.unpack(series)
    return first, second


def _halves(series: bytes, number: int) -> tuple[int, int]:
    high, low = (_mix(seed + number * _STEP & _MASK) for seed in _seeds(series))
    return high & ~_VERSION_MASK | _VERSION, low & ~_VARIANT_MASK | _VARIANT


def _id_of(series: bytes, number: int) -> str:
    return uuid_text(_BIG.pack(*_halves(series, number)))


def _number_of(series: bytes, text: str) -> int | None:
    seed = _seeds(series)[1]
    raw = uuid_bytes(text)
    if raw is None:
        return None
    found = _BIG.unpack(raw)
    for hidden in range(4):  # the two bits that the variant stands over
        mixed = found[1] & ~_VARIANT_MASK | hidden << 62
        number = (_unmix(mixed) - seed) * _OF_STEP & _MASK
        if number < _MOST and _halves(series, number) == found:
            return number
    return None


id_of = _id_of if native is None else native.id_of
"""Return the id with a number from 0 in a series, as its 36 characters of text.

Raises `ValueError` for a series that has not 16 bytes.
"""

number_of = _number_of if native is None else native.number_of
"""Return the number that an id has in a series, below 2^48; None if it is not of the series."""

_series = os.urandom(SERIES_BYTES)
_numbers = itertools.count()


def series() -> bytes:
    """Return this process's series."""
    return _series


def new_request_id() -> str:
    """Return a new UUID of version 4 as its 36 characters of text."""
    return id_of(_series, next(_numbers))


def _renew() -> None:
    """Give a forked child a series of its own."""
    global _series, _numbers
    _series, _numbers = os.urandom(SERIES_BYTES), itertools.count()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew)
