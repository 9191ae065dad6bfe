"""Where suites run: the Pythons, the project built for each, and what the tests import.

A Python is looked for on PATH and among pyenv's, else in Debian's root, which
scripts/test_pythons.sh unpacks and in which the repository has the path that it has here. What was
fetched is kept in scratch/peers.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from peers.suites import Suite

__all__ = ["CACHE", "REPOSITORY", "CannotRunError", "Place", "find_place", "site_of", "source_of"]

REPOSITORY = Path(__file__).resolve().parent.parent.parent
CACHE = REPOSITORY / "scratch" / "peers"
_DEBIAN = REPOSITORY / "scripts" / "test_pythons.sh"
_SUITABLE = """\
import sysconfig, pathlib, test.test_asyncio
raise SystemExit(not pathlib.Path(sysconfig.get_path("include"), "Python.h").is_file())"""


class CannotRunError(Exception):
    """A suite cannot be run on a Python here; the message says what is missing."""


@dataclass(frozen=True, slots=True)
class Place:
    """A Python with the project built for it.

    Attributes:
        version: As 3.12.
        python: The interpreter's path, in Debian's root if it is there.
        enter: What stands before a command that is to run where the interpreter is.
        path: Programs are looked for there.
    """

    version: str
    python: str
    enter: tuple[str, ...]
    path: str

    @property
    def tree(self) -> Path:
        """The project's sources, with its core built."""
        return CACHE / f"tree-{self.version}"

    @property
    def venv(self) -> Path:
        """An environment that hides what is installed beside the interpreter."""
        return CACHE / f"venv-{self.version}"

    def command(
        self,
        arguments: Sequence[str],
        *,
        cwd: Path,
        environment: Mapping[str, str],
        bare: bool = False,
    ) -> list[str]:
        """Return what runs the interpreter with an environment of its own, and nothing of ours.

        Args:
            arguments: The interpreter's.
            cwd: The directory to run in.
            environment: Variables beside those that every run has.
            bare: Run it itself, not the venv's.
        """
        python = self.python if bare else str(self.venv / "bin" / "python")
        variables = {"PATH": self.path, "LC_ALL": "C.UTF-8", "HOME": str(cwd), **environment}
        settings = [f"{name}={value}" for name, value in variables.items()]
        return [*self.enter, "env", "-i", "-C", str(cwd), *settings, python, *arguments]


def find_place(version: str) -> Place:
    """Find a Python and build the project for it.

    Raises:
        CannotRunError: There is none, or the core is not to be built, or another process of this
            script uses the place.
    """
    _lock(version)
    python = _find_here(version)
    if python is None:
        done = subprocess.run(
            ["sh", str(_DEBIAN), "--install", version, f"libpython{version}-testsuite"],
            check=False,
        )
        if done.returncode:
            msg = f"no Python {version} with its tests on PATH, among pyenv's or in Debian's root"
            raise CannotRunError(msg)
        inside = ("sh", str(_DEBIAN), "--inside")
        place = Place(version, f"/usr/bin/python{version}", inside, "/usr/bin:/bin")
    else:
        place = Place(version, python, (), os.environ.get("PATH", os.defpath))
    _build(place)
    return place


def _lock(version: str) -> None:
    """Have the trees of a Python for this process alone, until it ends."""
    CACHE.mkdir(parents=True, exist_ok=True)
    file = os.open(CACHE / f"lock-{version}", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        msg = f"another test_peers.py runs on Python {version}: wait for it"
        raise CannotRunError(msg) from error


def _find_here(version: str) -> str | None:
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    found = [shutil.which(f"python{version}")]
    found += map(str, sorted(pyenv.glob(f"{version}.*/bin/python{version}")))
    for candidate in filter(None, found):
        done = subprocess.run(
            [candidate, "-c", _SUITABLE + "\n"], capture_output=True, check=False, timeout=60
        )
        if done.returncode == 0:
            return candidate
    return None


def _build(place: Place) -> None:
    """Build the native core in a tree of the place's own."""
    shutil.rmtree(place.tree, ignore_errors=True)
    place.tree.mkdir(parents=True)
    arguments = ["-m", "venv", "--clear", "--without-pip", str(place.venv)]
    command = place.command(arguments, cwd=place.tree, environment={}, bare=True)
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    if done.returncode:
        msg = f"no venv of Python {place.version}:\n{done.stdout}{done.stderr}"
        raise CannotRunError(msg)
    ignore = shutil.ignore_patterns("*.so", "__pycache__", "*.egg-info")
    shutil.copytree(REPOSITORY / "src", place.tree / "src", ignore=ignore)
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(REPOSITORY / name, place.tree)
    tools = _fetch(CACHE / f"site-{place.version}-build", place, ["setuptools>=80"])
    environment = {"PYTHONPATH": f"{tools}:{place.tree / 'src'}"}
    for arguments in (
        ["setup.py", "--quiet", "build_ext", "--inplace"],
        ["-c", "from tachograph.recorder.core import is_native; raise SystemExit(not is_native)"],
    ):
        command = place.command(arguments, cwd=place.tree, environment=environment)
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
        if done.returncode:
            msg = f"the native core was not built for Python {place.version}:\n{done.stderr}"
            raise CannotRunError(msg)


def site_of(suite: Suite, place: Place) -> Path:
    """Return a directory with the peer and what its tests need, fetched for a place.

    Raises:
        CannotRunError: Something is not to be had for that Python.
    """
    site = CACHE / f"site-{place.version}-{suite.name}"
    return _fetch(site, place, [suite.requirement, *suite.needs])


def _fetch(site: Path, place: Place, requirements: Sequence[str]) -> Path:
    ready, wanted = site / ".ready", "\n".join(requirements)
    if ready.is_file() and ready.read_text() == wanted:
        return site
    shutil.rmtree(site, ignore_errors=True)
    options = ["--target", str(site)]
    own = []
    if place.enter:  # its interpreter does not run here: only what is built already
        options += ["--only-binary", ":all:", "--python-version", place.version]
        for abi in ("cp" + place.version.replace(".", ""), "abi3", "none"):
            options += ["--abi", abi]
    else:
        own = ["--python", place.python]
    what = f"{requirements[0]} for Python {place.version}"
    _pip(*own, "install", *options, *requirements, what=what)
    ready.write_text(wanted)
    return site


def source_of(suite: Suite) -> Path:
    """Return the peer's sdist, unpacked.

    Raises:
        CannotRunError: It is not to be had.
    """
    name, _, number = suite.requirement.partition("==")
    unpacked = CACHE / "sources" / f"{name}-{number}"
    if not unpacked.is_dir():
        fetched = CACHE / "sdists"
        options = ["--no-binary", name, "--no-deps", "--dest", str(fetched)]
        _pip("download", *options, suite.requirement, what=f"the sources of {name}")
        (archive,) = fetched.glob(f"{name}-{number}.tar.gz")
        with tarfile.open(archive) as packed:
            packed.extractall(unpacked.parent, filter="data")
    return unpacked


def _pip(*arguments: str, what: str) -> None:
    command = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=900)
    if done.returncode:
        msg = f"cannot fetch {what}:\n{done.stderr[-2000:]}"
        raise CannotRunError(msg)
