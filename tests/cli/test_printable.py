"""What does not print is shown, in text and in JSON."""

from __future__ import annotations

import json

import pytest

from tachograph.cli.printable import columns, json_text, printable

HOSTILE = "a\x1b]0;owned\x07\x9b31m\x7f\u202e\u2028ü\n"


def test_what_steers_a_terminal_is_shown_as_its_escape() -> None:
    """Controls of either kind, bidirectional overrides and line breaks are made visible."""
    assert "a\\x1b]0;owned\\x07\\x9b31m\\x7f\\u202e\\u2028ü\\n" == printable(HOSTILE)
    assert "a\\x1b\n" == printable("a\x1b\n", keep="\n")


def test_in_json_nothing_is_lost() -> None:
    """The escapes of JSON are read back as what they stand for; letters stay letters."""
    text = json_text({HOSTILE: [HOSTILE]})

    assert text.isprintable()
    assert "ü" in text
    assert {HOSTILE: [HOSTILE]} == json.loads(text)
    assert '{"a":[1,2]}' == json_text({"a": [1, 2]}, compact=True)


@pytest.mark.parametrize(("text", "width"), [("abc", 3), ("üé", 2), ("宽", 2), ("e\u0301", 1)])
def test_wide_characters_take_two_columns(text: str, width: int) -> None:
    """A table stays straight with East Asian and combining characters."""
    assert width == columns(text)
