"""Identifiers for requests."""

from __future__ import annotations

import os

__all__ = ["new_request_id"]


def new_request_id() -> str:
    """Return a new random UUID of version 4 as its 36 characters of text.

    Written out because `str(uuid.uuid4())` builds an object first and costs three times as much.
    """
    text = os.urandom(16).hex()
    variant = "89ab"[int(text[16], 16) & 3]
    return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-{variant}{text[17:20]}-{text[20:]}"
