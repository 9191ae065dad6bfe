"""Records for a terminal."""

from __future__ import annotations

import tachograph as tg
from tachograph.formats.plan import Notes
from tachograph.formats.pretty import Pretty, mark_dropped


class Request(tg.WideEvent, rename="PascalCase"):
    request_id: str
    size: int = tg.metric(0, unit=tg.Unit.BYTES)
    found: bool | None = None
    took: float = tg.metric(0.0, unit=tg.Unit.MILLISECONDS)


PLAN = Request.__wide_event__.plan
START = 1_705_312_800_123_000_000


def test_one_line_with_units_and_without_absent_fields() -> None:
    """Time of day, class, fields with short units, floats rounded."""
    encode = Pretty().encoder(PLAN)

    assert (
        encode(START, ("6f1c", 5, None, 3.21234), None)
        == b"10:00:00.123 Request RequestId=6f1c Size=5B Took=3.212ms\n"
    )


def test_text_with_blanks_is_quoted_and_long_text_cut() -> None:
    """A reader can tell where a value ends."""
    encode = Pretty().encoder(PLAN)
    text = encode(START, ("a b", 0, None, 0.0), None).decode()
    long = encode(START, ("x" * 500, 0, None, 0.0), None).decode()

    assert 'RequestId="a b"' in text
    assert "x" * 120 + "…" in long
    assert "x" * 121 not in long


def test_a_bad_value_and_notes_are_shown() -> None:
    """What went wrong stands in the line."""
    encode = Pretty().encoder(PLAN)
    text = encode(START, ("a", "5", None, float("nan")), Notes(incomplete=("scope",))).decode()

    assert "Size: expected int, got str" in text
    assert "incomplete: scope" in text


def test_colours_only_when_asked() -> None:
    """ANSI sequences are for terminals."""
    values = ("a", 1, None, 1.0)

    assert b"\033[" in Pretty(colour=True).encoder(PLAN)(START, values, None)
    assert b"\033[" not in Pretty().encoder(PLAN)(START, values, None)


def test_a_loss_is_said_at_the_end() -> None:
    """In band, as in every format."""
    assert mark_dropped(b"a\n", 2) == b"a  (2 lines before this one were lost)\n"
