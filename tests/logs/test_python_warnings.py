"""Warnings as lines."""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from tachograph.logs import LogPipeline

if TYPE_CHECKING:
    from tests.logs.conftest import Lines


@pytest.fixture(autouse=True)
def every_warning() -> None:
    """Show each warning, instead of raising it as other tests do."""
    warnings.simplefilter("always")


def test_warning_is_a_line(pipeline: LogPipeline, lines: Lines) -> None:
    """A warning is a WARNING of `py.warnings` with its text, category and place."""
    warnings.warn("old call", DeprecationWarning, stacklevel=1)

    assert ("py.warnings", "WARNING", "old call", "DeprecationWarning", __file__) == tuple(
        lines.last[name] for name in ("logger", "level", "message", "category", "file")
    )
    assert isinstance(lines.last["line"], int)
    assert 1 == pipeline.statistics().lines


def test_record_has_the_place_of_the_warning(
    pipeline: LogPipeline, caplog: pytest.LogCaptureFixture
) -> None:
    """Other handlers find the place of the warning as that of the record."""
    warnings.warn_explicit("x", UserWarning, "some/file.py", 12)

    assert ("some/file.py", 12) == (caplog.records[0].pathname, caplog.records[0].lineno)
    assert 1 == pipeline.statistics().lines


def test_filter_covers_warnings(start: Callable[..., LogPipeline], lines: Lines) -> None:
    """`py.warnings=off` silences them."""
    start("info,py.warnings=off")
    warnings.warn("x", stacklevel=1)

    assert [] == lines.raw


def test_a_warning_for_a_file_goes_there(
    start: Callable[..., LogPipeline], lines: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`showwarning` with a file does what it did before `setup`."""
    before: list[Any] = []
    monkeypatch.setattr(warnings, "showwarning", lambda *args: before.append(args))
    start()
    file = io.StringIO()
    warnings.showwarning("x", UserWarning, "a.py", 1, file)

    assert [("x", UserWarning, "a.py", 1, file, None)] == before
    assert [] == lines.raw


def test_close_restores_what_was_there(start: Callable[..., LogPipeline]) -> None:
    """Closing gives `showwarning` back; one that somebody put there since stays."""
    before = warnings.showwarning
    pipeline = start()
    pipeline.close()
    restored = warnings.showwarning
    pipeline = start()
    theirs = warnings.showwarning = lambda *_: None
    pipeline.close()
    kept = warnings.showwarning
    warnings.showwarning = before

    assert before is restored
    assert theirs is kept


def test_a_user_may_capture_warnings_too(start: Callable[..., LogPipeline], lines: Lines) -> None:
    """`logging.captureWarnings` after `setup` works as always and arrives in the stream."""
    start()
    logging.captureWarnings(True)
    try:
        warnings.warn("x", stacklevel=1)
    finally:
        logging.captureWarnings(False)

    assert "py.warnings" == lines.last["logger"]
