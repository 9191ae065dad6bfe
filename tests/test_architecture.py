"""The directions in which the parts may see each other, and how large a part may get."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
SOURCE = REPOSITORY / "src" / "tachograph"
TESTS = Path(__file__).resolve().parent

FOUNDATION = frozenset({"_base", "_core", "errors"})
STREAMS = FOUNDATION | {"sinks", "formats"}

ALLOWED: dict[str, frozenset[str]] = {
    "_version": frozenset(),
    "errors": frozenset(),
    "_base": frozenset({"errors", "_core"}),  # time is read natively too
    "_core": frozenset(),
    "sinks": FOUNDATION,
    "formats": FOUNDATION | {"sinks"},
    # A wide event is useful without logs, a log line without records: neither knows the other.
    "metrics": STREAMS,
    "logs": STREAMS,
    # The wire format is for those who write it and those who read it: it knows none of them, and
    # runs where no core is; where one is, that does the work.
    "trace": FOUNDATION,
    # The third stream. It knows neither records nor logs, and a trace is read without it.
    "recorder": FOUNDATION | {"trace", "_version"},
    # Only these see more than one stream.
    "asgi": STREAMS | {"metrics", "logs", "recorder"},
    "telemetry": STREAMS | {"metrics", "logs", "recorder", "recorder_metrics", "telemetry_config"},
    "recorder_metrics": FOUNDATION | {"metrics", "recorder"},
    "telemetry_config": STREAMS | {"metrics", "logs", "recorder"},
    # Readers of what was written: they know its form, never its writer.
    "fleet": FOUNDATION | {"formats"},
    # The top: nothing imports these.
    "testing": STREAMS | {"metrics", "logs", "telemetry"},
    "scaffold": FOUNDATION,
    # `tacho schema` reads what record classes declare.
    "cli": FOUNDATION
    | {"_version", "fleet", "formats", "metrics", "recorder", "scaffold", "trace"},
    "__main__": frozenset({"cli"}),
    "__init__": frozenset(
        {"_version", "asgi", "errors", "formats", "logs", "metrics", "telemetry"}
    ),
}
"""Which part may import which. A change here is a design decision."""

MAX_LINES = 500

TESTED_BY: dict[str, str] = {
    # What the hooks record is tested by programs that run under them, natively and not.
    "_core/loop_pure/hooks": "recorder/test_steps.py",
    "_core/loop_pure/jobs": "recorder/sources/test_executors.py",
    "_core/loop_pure/lane": "recorder/test_steps.py",
    "_core/loop_pure/tasks": "recorder/test_steps.py",
    "_core/loop_pure/living": "recorder/test_living.py",
    "_core/loop_pure/pauses": "recorder/sources/test_collector.py",
    "recorder/sources/unavailable": "recorder/sources/test_calls.py",
    "recorder/core": "recorder/test_steps.py",
    "recorder/measure": "recorder/test_self_metrics.py",
    "recorder/sources/turns": "recorder/sources/test_process.py",
    "recorder/requests": "asgi/test_trace.py",
    "telemetry_config": "test_telemetry.py",
    "__main__": "cli/test_main.py",
    "_version": "cli/test_main.py",
    "errors": "metrics/test_declaration.py",
    # Encoders are one subject: a record in, a line out, whichever path it takes.
    "formats/careful": "formats/test_json.py",
    "formats/cloudwatch": "formats/test_emf.py",
    "formats/emf_split": "formats/test_emf.py",
    "formats/observations": "formats/test_flat_many.py",
    "formats/plan": "formats/test_schema.py",
    "formats/values": "formats/test_json.py",
    # So is a record class: what is declared, what its life is, what `current()` finds.
    "metrics/compiler": "metrics/test_declaration.py",
    "metrics/descriptors": "metrics/test_declaration.py",
    "metrics/direct": "metrics/test_twins.py",
    "metrics/fields": "metrics/test_declaration.py",
    "metrics/generate": "metrics/test_lifecycle.py",
    "metrics/inert": "metrics/test_current.py",
    "metrics/kinds": "metrics/test_declaration.py",
    "metrics/life": "metrics/test_current.py",
    "metrics/own_records": "metrics/test_runtime.py",
    "metrics/plan": "metrics/test_names.py",
    "metrics/problems": "metrics/test_names.py",
    "metrics/record": "metrics/test_lifecycle.py",
    "metrics/select_probe": "metrics/test_loop_probe.py",
    "metrics/scope": "metrics/test_lifecycle.py",
    "metrics/statistics": "metrics/test_current.py",
    "trace/fit": "trace/test_assemble.py",
    "trace/schema": "trace/test_decode.py",
    "trace/values": "trace/test_decode.py",
    "trace/plain": "trace/test_dial9.py",
    "trace/intervals": "trace/test_dial9.py",
    "_base/gil": "sinks/test_queue.py",
    "sinks/block": "sinks/test_queue.py",
    "sinks/writer": "sinks/test_queue.py",
    "sinks/protocols": "sinks/test_queue.py",
    "sinks/statistics": "sinks/test_queue.py",
    "cli/targets": "cli/test_schema.py",
    # A record in another format in, its flat line out.
    "fleet/classes": "fleet/test_translate.py",
    "fleet/emf": "fleet/test_translate.py",
    "fleet/joining": "fleet/test_translate.py",
    "fleet/nested": "fleet/test_translate.py",
    "fleet/rows": "fleet/test_translate.py",
    # The layers are tested by what a client and the record see of them.
    "asgi/early_disconnect": "asgi/test_layers.py",
    "asgi/catch_errors": "asgi/test_layers.py",
    "asgi/timeouts": "asgi/test_layers.py",
    "asgi/body_limit": "asgi/test_layers.py",
    "asgi/rate_limit": "asgi/test_layers.py",
    "asgi/health": "asgi/test_stack.py",
    "asgi/options": "asgi/test_stack.py",
    "asgi/types": "asgi/test_stack.py",
    "asgi/facts": "asgi/test_record.py",
    "asgi/state": "asgi/test_record.py",
    "asgi/log_context": "asgi/test_request_id.py",
}
"""Modules without a test file of their own name, each with the file that tests it."""


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


def code_files() -> list[Path]:
    """Return every file of code: sources, native ones too, tests, scripts, measurements."""
    directories = [REPOSITORY / name for name in ("src", "tests", "scripts", "bench", "fuzz")]
    return sorted(
        path
        for directory in directories
        for path in directory.rglob("*")
        if path.suffix in {".py", ".pyi", ".c", ".h", ".sh", ".jinja"} and path.is_file()
    )


def test_files_stay_small() -> None:
    """A file of code has at most 500 lines: a longer one holds two subjects."""
    sizes = {path: len(path.read_text().splitlines()) for path in code_files()}

    assert SOURCE / "_core" / "record.c" in sizes
    assert {} == {path: size for path, size in sizes.items() if size > MAX_LINES}


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

    assert mirror.is_file() or name in TESTED_BY, f"{name}: expected {mirror}"


def test_the_table_of_mirrors_is_current() -> None:
    """Each entry names a module that exists, has no file of its own name, and is tested there."""
    names = {m.relative_to(SOURCE).with_suffix("").as_posix() for m in modules()}
    mirrored = {n for n in TESTED_BY if (TESTS / n).with_name(f"test_{Path(n).name}.py").is_file()}

    assert set() == set(TESTED_BY) - names
    assert set() == mirrored
    assert [] == [test for test in TESTED_BY.values() if not (TESTS / test).is_file()]


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
