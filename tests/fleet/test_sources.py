"""Which files a question reads."""

from __future__ import annotations

from pathlib import Path

import pytest

from tachograph.errors import CommandError
from tachograph.fleet import Sources


def test_a_directory_gives_its_metric_files_at_any_depth(tmp_path: Path) -> None:
    """`metrics.log.*` below the directory is read, in order; logs and others are not."""
    (tmp_path / "b").mkdir()
    wanted = [
        tmp_path / "b" / "metrics.log.2026-01-01-00-00",
        tmp_path / "metrics.log.2026-01-01-00-00.gz",
    ]
    for path in [*wanted, tmp_path / "application.log.2026-01-01-00", tmp_path / "notes.txt"]:
        path.touch()

    assert tuple(wanted) == Sources.find([tmp_path]).files


def test_a_file_is_taken_whatever_it_is_called(tmp_path: Path) -> None:
    """A file that is named is read, and once, however often it is named."""
    path = tmp_path / "kept.ndjson"
    path.touch()

    assert (path,) == Sources.find([path, path]).files


def test_schemas_beside_the_files_are_found(tmp_path: Path) -> None:
    """The document beside a file gives its fields their units."""
    (tmp_path / "metrics.log.2026-01-01-00-00").touch()
    (tmp_path / "metrics.schema.json").write_text(
        '{"records":[{"record":"A","fields":[{"name":"D","kind":"metric","type":"float",'
        '"unit":"Seconds"}]}]}'
    )

    assert "Seconds" == Sources.find([tmp_path]).schema.of("A")["D"].unit


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda p: None, "does not exist"),
        (lambda p: p.mkdir(), "expected files `metrics.log.*` in it or below, found nothing"),
        (
            lambda p: (p.mkdir(), [(p / f"{n}.txt").touch() for n in range(5)]),
            "found `0.txt`, `1.txt`, `2.txt` and 2 more",
        ),
    ],
    ids=["missing", "empty", "other-files"],
)
def test_nothing_found_says_what_was_looked_for(tmp_path: Path, make: object, said: str) -> None:
    """A place without wide events is an error with what was expected and what is there."""
    path = tmp_path / "telemetry"
    make(path)  # type: ignore[operator]

    with pytest.raises(CommandError, match="telemetry") as caught:
        Sources.find([path])

    assert said in str(caught.value)
    assert "--telemetry-dir" in str(caught.value)
