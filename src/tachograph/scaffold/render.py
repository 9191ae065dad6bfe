"""Render the service template into a directory.

The template lies beside this file: `copier.yml` asks nothing that is not answered here, `service/`
holds the files. What is rendered is the user's own: nothing refers back to this package but the
dependency on it.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

from tachograph.errors import CommandError
from tachograph.scaffold.names import Project

__all__ = ["TEMPLATE", "render_service", "requirement"]

TEMPLATE = Path(__file__).parent
"""Where copier finds the template."""


def render_service(project: Project, destination: Path, *, template: Path = TEMPLATE) -> list[Path]:
    """Write *project* into *destination*; return its files, relative, in order.

    A run that fails leaves nothing behind.

    Raises:
        CommandError: The directory holds something, cannot be written, or copier is not installed.
    """
    _check_is_free(destination)
    try:
        # An extra, and slow to import: only here, and its absence is said here.
        from copier import run_copy  # noqa: PLC0415
        from copier.errors import CopierError  # noqa: PLC0415
    except ImportError:
        raise CommandError(
            "`tacho new` needs copier. Install it with: pip install 'tachograph[new]'"
        ) from None
    answers = {
        "project_name": project.name,
        "package": project.package,
        "description": project.description,
        "tachograph_requirement": requirement(),
    }
    with _made(destination):
        try:
            # No prompt, ever: every answer is given, so a terminal makes no difference.
            run_copy(str(template), destination, data=answers, defaults=True, quiet=True)
        except CopierError as error:
            raise CommandError(f"Cannot make {destination}: {error}") from error
    files = (path for path in destination.rglob("*") if path.is_file())
    return sorted(path.relative_to(destination) for path in files)


@contextlib.contextmanager
def _made(destination: Path) -> Iterator[None]:
    """Make *destination*; take away what is in it if the block fails."""
    was_there = destination.exists()
    try:
        destination.mkdir(parents=True, exist_ok=True)
        yield
    except BaseException as error:
        for path in list(destination.iterdir()) if was_there else [destination]:
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            elif path.exists():
                path.unlink()
        if isinstance(error, OSError):
            raise CommandError(
                f"Cannot write {destination}: {error.strerror}. Choose another place with `--dir`."
            ) from error
        raise


def requirement() -> str:
    """Return what a generated project depends on: this tachograph, where it came from.

    From an index that is the version; from a checkout or a wheel on disk its address, for there is
    no other place to get it from.
    """
    try:
        distribution = importlib.metadata.distribution("tachograph")
    except importlib.metadata.PackageNotFoundError:
        return "tachograph[service]"  # run from its sources: any version the user can get
    if origin := distribution.read_text("direct_url.json"):
        address = str(json.loads(origin)["url"])
        if address.startswith("file://"):
            return f"tachograph[service] @ {address}"
    return f"tachograph[service]>={distribution.version}"


def _check_is_free(destination: Path) -> None:
    if destination.is_dir() and any(destination.iterdir()):
        raise CommandError(
            f"{destination} is not empty, and `tacho new` never overwrites. "
            "Choose another place with `--dir`, or remove it first."
        )
    if destination.exists() and not destination.is_dir():
        raise CommandError(f"{destination} is a file. Choose another place with `--dir`.")
