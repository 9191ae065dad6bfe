"""Rendering a template into a directory."""

from __future__ import annotations

import importlib.metadata
import sys
from pathlib import Path

import pytest

from tachograph.errors import CommandError
from tachograph.scaffold import Project, render_service
from tachograph.scaffold.render import requirement

PROJECT = Project("order-history", 'Says "who ordered what".')


@pytest.fixture
def template(tmp_path: Path) -> Path:
    """A template of three files, with the variables of the real one."""
    root = tmp_path / "template"
    package = root / "service" / "src" / "{{ package }}"
    package.mkdir(parents=True)
    (root / "copier.yml").write_text(
        "_subdirectory: service\n"
        "project_name: {type: str}\n"
        "package: {type: str}\n"
        "description: {type: str}\n"
        "tachograph_requirement: {type: str}\n"
    )
    (root / "service" / ".gitignore").write_text("{{ not rendered }}\n")
    (root / "service" / "README.md.jinja").write_text("# {{ project_name }}: {{ description }}\n")
    (package / "__init__.py.jinja").write_text("needs = '{{ tachograph_requirement }}'\n")
    return root


def test_names_and_texts_are_rendered(template: Path, tmp_path: Path) -> None:
    """Paths and `.jinja` files get the project's answers; other files are copied as they are."""
    destination = tmp_path / "made" / "here"
    files = render_service(PROJECT, destination, template=template)

    assert [Path(".gitignore"), Path("README.md"), Path("src/order_history/__init__.py")] == files
    assert '# order-history: Says "who ordered what".\n' == (destination / "README.md").read_text()
    assert "{{ not rendered }}\n" == (destination / ".gitignore").read_text()
    assert f"needs = '{requirement()}'\n" == (destination / files[2]).read_text()


def test_an_empty_directory_is_taken(template: Path, tmp_path: Path) -> None:
    """A directory that was made before, and is empty, is used."""
    destination = tmp_path / "made"
    destination.mkdir()

    assert 3 == len(render_service(PROJECT, destination, template=template))


def test_nothing_is_overwritten(template: Path, tmp_path: Path) -> None:
    """A directory that holds anything is refused, and stays as it is."""
    destination = tmp_path / "made"
    destination.mkdir()
    (destination / "README.md").write_text("mine")

    with pytest.raises(CommandError, match="is not empty, and `tacho new` never overwrites"):
        render_service(PROJECT, destination, template=template)

    assert ["README.md"] == [p.name for p in destination.iterdir()]
    assert "mine" == (destination / "README.md").read_text()


def test_a_file_is_no_place(template: Path, tmp_path: Path) -> None:
    """A destination that is a file is refused."""
    destination = tmp_path / "made"
    destination.touch()

    with pytest.raises(CommandError, match=r"is a file\. Choose another place"):
        render_service(PROJECT, destination, template=template)


def test_a_place_that_cannot_be_written_is_named(template: Path, tmp_path: Path) -> None:
    """A destination below a file is an error with its path."""
    (tmp_path / "file").touch()

    with pytest.raises(CommandError, match=r"Cannot write .*made: Not a directory"):
        render_service(PROJECT, tmp_path / "file" / "made", template=template)


# copier leaves its directory iterator open when a template is wrong; its own affair.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("was_there", [True, False])
def test_a_failure_leaves_nothing(template: Path, tmp_path: Path, was_there: bool) -> None:
    """What was rendered before a mistake in the template is taken away again."""
    (template / "service" / "z.txt.jinja").write_text("{{ 1 / 0 }}")
    destination = tmp_path / "made"
    if was_there:
        destination.mkdir()

    with pytest.raises(ZeroDivisionError):
        render_service(PROJECT, destination, template=template)

    assert was_there == destination.exists()
    assert not was_there or [] == list(destination.iterdir())


def test_a_missing_extra_says_how_to_get_it(
    template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without copier the message is the command that installs it, and nothing is made."""
    monkeypatch.setitem(sys.modules, "copier", None)
    destination = tmp_path / "made"

    with pytest.raises(CommandError, match=r"pip install 'tachograph\[new\]'"):
        render_service(PROJECT, destination, template=template)

    assert not destination.exists()


class Installed:
    """A distribution that was installed from *origin*."""

    version = "1.2.3"

    def __init__(self, origin: str | None) -> None:
        self._origin = origin

    def read_text(self, name: str) -> str | None:
        """Return the record of where it came from."""
        return self._origin


@pytest.mark.parametrize(
    ("origin", "expected"),
    [
        (None, "tachograph[service]>=1.2.3"),
        ('{"url":"https://h/t.whl"}', "tachograph[service]>=1.2.3"),
        ('{"url":"file:///src/t","dir_info":{}}', "tachograph[service] @ file:///src/t"),
    ],
    ids=["index", "other", "checkout"],
)
def test_the_service_needs_this_tachograph(
    monkeypatch: pytest.MonkeyPatch, origin: str | None, expected: str
) -> None:
    """From an index the version is required, from a disk the place: there is no other."""
    monkeypatch.setattr(importlib.metadata, "distribution", lambda name: Installed(origin))

    assert expected == requirement()
