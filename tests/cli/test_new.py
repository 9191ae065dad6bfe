"""`tacho new`: what it makes, refuses and prints."""

from __future__ import annotations

from pathlib import Path

import pytest

from tachograph.cli.main import main
from tachograph.scaffold import Project


@pytest.fixture
def rendered(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Project, Path]]:
    """What the renderer was called with, instead of rendering."""
    calls: list[tuple[Project, Path]] = []

    def render(project: Project, destination: Path) -> list[Path]:
        calls.append((project, destination))
        return [Path("README.md"), Path("pyproject.toml")]

    monkeypatch.setattr("tachograph.scaffold.render.render_service", render)
    return calls


def test_the_directory_is_named_like_the_service(
    rendered: list[tuple[Project, Path]], capsys: pytest.CaptureFixture[str]
) -> None:
    """`tacho new orders` makes ./orders and says what to type next."""
    code = main(["new", "order-history"])
    printed = capsys.readouterr().out

    assert 0 == code
    assert [(Project("order-history"), Path("order-history"))] == rendered
    assert "order-history is in order-history: 2 files" in printed
    assert "  cd order-history\n" in printed
    assert "  TELEMETRY_DIR=telemetry make run " in printed
    assert "  tacho query --dir telemetry\n" in printed


def test_directory_and_description_can_be_given(rendered: list[tuple[Project, Path]]) -> None:
    """`--dir` and `--description` reach the renderer."""
    code = main(["new", "orders", "--dir", "a b/c", "--description", "Sells."])

    assert 0 == code
    assert [(Project("orders", "Sells."), Path("a b/c"))] == rendered


def test_a_directory_with_a_space_is_quoted(
    rendered: list[tuple[Project, Path]], capsys: pytest.CaptureFixture[str]
) -> None:
    """The commands that are printed can be pasted."""
    main(["new", "orders", "--dir", "a b"])

    assert "  cd 'a b'\n" in capsys.readouterr().out


def test_a_bad_name_makes_nothing(
    rendered: list[tuple[Project, Path]], capsys: pytest.CaptureFixture[str]
) -> None:
    """A name that cannot be used is wrong usage, with the reason and a name that can."""
    code = main(["new", "Orders"])

    assert (2, []) == (code, rendered)
    assert "Try `tacho new orders`." in capsys.readouterr().err
