"""Integers as bytes: LEB128 and zigzag, and columns, in which one number follows another."""

from __future__ import annotations

from tachograph.errors import TraceFormatError

__all__ = ["LEB_BYTES", "differences", "numbers", "put_leb", "signed", "zigzag"]

LEB_BYTES = 10
"""The longest LEB: ten times seven bits hold 64."""


def put_leb(out: bytearray, value: int) -> None:
    """Append *value*, which must not be negative, to *out*: seven bits a byte, low group first."""
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)


def numbers(data: bytes, what: str) -> list[int]:
    """Return the numbers of a column; *what* names it in an error.

    Raises:
        TraceFormatError: The last one is cut, or one has more than 64 bits.
    """
    if data.isascii():  # each number is one byte
        return list(data)
    values: list[int] = []
    append = values.append
    value = shift = 0
    for byte in data:
        if byte > 0x7F:
            value |= (byte & 0x7F) << shift
            shift += 7
            if shift == 7 * LEB_BYTES:
                raise TraceFormatError(f"Expected numbers of at most ten bytes in {what}.")
        elif shift:
            value |= byte << shift
            if value >> 64:
                raise TraceFormatError(f"Expected numbers below 2^64 in {what}, got {value}.")
            append(value)
            value = shift = 0
        else:
            append(byte)
    if shift:
        raise TraceFormatError(f"Expected whole numbers in {what}, got one that is cut.")
    return values


def differences(data: bytes, what: str) -> list[int]:
    """Return the numbers of a column of differences, which zigzag codes with their sign."""
    return list(map(signed, numbers(data, what)))


def signed(code: int) -> int:
    """Return the number that zigzag wrote so."""
    return code >> 1 ^ -(code & 1)


def zigzag(number: int) -> int:
    """Return a number without its sign, small where it is: 0, -1, 1, -2 become 0, 1, 2, 3."""
    return number << 1 if number >= 0 else ~(number << 1)
