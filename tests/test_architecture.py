"""The directions in which the parts may see each other, and how large a part may get."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parent.parent / "src" / "tachograph"
TESTS = Path(__file__).resolve().parent

FOUNDATION = frozenset({"_base", "errors"})
STREAMS = FOUNDATION | {"sinks", "formats"}

ALLOWED: dict[str, frozenset[str]] = {
    "_version": frozenset(),
    "errors": frozenset(),
    "_base": frozenset({"errors"}),
    "sinks": FOUNDATION,
    "formats": FOUNDATION | {"sinks"},
    # A wide event is useful without logs, a log line without records: neither knows the other.
    "metrics": STREAMS,
    "logs": STREAMS,
    # Only these two see more than one stream.
    "asgi": STREAMS | {"metrics", "logs"},
    "telemetry": STREAMS | {"metrics", "logs"},
    # Readers of what was written: they know its form, never its writer.
    "fleet": FOUNDATION | {"formats"},
    # The top: nothing imports these.
    "testing": STREAMS | {"metrics", "logs", "telemetry"},
    "scaffold": FOUNDATION,
    "cli": FOUNDATION | {"_version", "fleet", "scaffold"},
    "__main__": frozenset({"cli"}),
    "__init__": frozenset({"_version", "asgi", "errors", "logs", "metrics", "telemetry"}),
}
"""Which part may import which. A change here is a design decision."""

MAX_LINES = 500

WITHOUT_MIRROR: dict[str, str] = {
    "__main__": "tests/cli/test_main.py starts `python -m tachograph`",
    "_version": "one constant, shown by `tacho --version`",
    "errors": "classes without behaviour; each message is tested where it is raised",
}
"""Modules without a test file of their own name, each with where it is tested or why not."""


def modules() -> list[Path]:
    """Return every module of the package; the service template is a project of its own."""
    template = SOURCE / "scaffold" / "service"
    return sorted(path for path in SOURCE.rglob("*.py") if template not in path.parents)


def part_of(module: Path) -> str:
    """Return the part a file belongs to: its first directory, or its name at the top."""
    relative = module.relative_to(SOURCE)
    return relative.parts[0] if len(relative.parts) > 1 else relative.stem


def imported_parts(source: str) -> Iterator[tuple[int, str]]:
    """Yield line and part for each import from the package, wherever in the file it stands."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield from _part(node.lineno, alias.name)
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                yield node.lineno, "a relative import"
            elif node.module == "tachograph":
                for alias in node.names:
                    yield from _part(node.lineno, f"tachograph.{alias.name}")
            else:
                yield from _part(node.lineno, node.module or "")


def _part(line: int, name: str) -> Iterator[tuple[int, str]]:
    first, _, rest = name.partition(".")
    if first == "tachograph":
        part = rest.partition(".")[0]
        # `import tachograph` and names that are no part reach for the public face.
        yield line, part if part in ALLOWED else "__init__"


def violations(part: str, source: str) -> list[str]:
    """Return what *source*, a file of *part*, imports against the table."""
    allowed = ALLOWED.get(part, frozenset()) | {part}
    return [f"line {line}: {p}" for line, p in imported_parts(source) if p not in allowed]


@pytest.mark.parametrize("module", modules(), ids=lambda m: str(m.relative_to(SOURCE)))
def test_imports_follow_the_directions(module: Path) -> None:
    """A module imports only the parts that the table allows to its own part."""
    part = part_of(module)

    assert part in ALLOWED, f"`{part}` is a new part: say in ALLOWED what it may import"
    assert [] == violations(part, module.read_text())


@pytest.mark.parametrize(
    "source",
    [
        "import tachograph.logs",
        "from tachograph.logs import setup",
        "from tachograph import logs",
        "def f():\n    from tachograph.logs.context import bind",
        "if TYPE_CHECKING:\n    from tachograph.logs import BoundLogger",
        "from ..logs import setup",
        "from tachograph import WideEvent",
    ],
)
def test_every_form_of_import_is_seen(source: str) -> None:
    """The check sees an import at any depth, in any spelling."""
    assert 1 == len(violations("metrics", source))


@pytest.mark.parametrize("module", modules(), ids=lambda m: str(m.relative_to(SOURCE)))
def test_files_stay_small(module: Path) -> None:
    """A source file has at most 500 lines: a longer one holds two subjects."""
    assert len(module.read_text().splitlines()) <= MAX_LINES


@pytest.mark.parametrize(
    "module",
    [m for m in modules() if m.name != "__init__.py"],
    ids=lambda m: str(m.relative_to(SOURCE)),
)
def test_every_module_has_its_tests(module: Path) -> None:
    """The tests of a module are where its name says, or the table says where else."""
    relative = module.relative_to(SOURCE)
    mirror = TESTS / relative.parent / f"test_{relative.stem.lstrip('_')}.py"
    name = relative.with_suffix("").as_posix()

    assert mirror.is_file() != (name in WITHOUT_MIRROR), f"{name}: expected {mirror}"


def test_the_table_of_exceptions_is_current() -> None:
    """Each exception names a module that exists."""
    names = {m.relative_to(SOURCE).with_suffix("").as_posix() for m in modules()}

    assert set() == set(WITHOUT_MIRROR) - names


PROBE = """
import sys, threading
opened = []
sys.addaudithook(lambda name, args: opened.append(args) if name == "open" else None)
before = set(sys.modules)
import tachograph
for module in set(sys.modules) - before:
    top = module.partition(".")[0]
    if top != "tachograph" and top not in sys.stdlib_module_names:
        print("imports", module)
for path, mode, _flags in opened:
    if not str(path).endswith((".py", ".pyc", ".so")) and ".pyc." not in str(path):
        print("opens", path)
for thread in threading.enumerate():
    if thread is not threading.main_thread():
        print("starts", thread)
import logging
if logging.getLogger().handlers:
    print("installs", logging.getLogger().handlers)
"""


def test_import_has_no_effects() -> None:
    """`import tachograph` needs the standard library only and starts, opens, installs nothing."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROBE], capture_output=True, text=True, check=False
    )

    assert (0, "", "") == (done.returncode, done.stdout, done.stderr)
