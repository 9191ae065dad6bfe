"""What a source raises that cannot work where it is."""

from __future__ import annotations

__all__ = ["Unavailable"]


class Unavailable(Exception):  # noqa: N818 -- a state, told in `problems`
    """A source cannot work here; the text says why and what to do."""
