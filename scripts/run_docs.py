"""Run the code blocks of Markdown files, in order, each file in a scratch directory of its own.

    python scripts/run_docs.py README.md docs/records.md

What a fence says after its language decides:

    ```python            runs; the blocks of a file share one namespace
    ```python file=app.py    is written to that file, for a later block to use
    ```bash              runs under `bash -e`, with `tacho` on the PATH
    ```console           `$ ` lines run, the lines below each are the output it must have
    ```json output       (any language) the output of the block above

In expected output a `...` stands for anything. A line that cannot run here stands in COVERED with
the test that covers it. Blocks in other languages are only text. Documents serve on port 3056; a
free one takes its place here, so that several runs at once do not meet.
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent

COVERED: dict[str, str] = {
    "make demo": "tests/test_make.py::test_demo",
    "make check": "tests/test_make.py::test_every_target_is_there",
    "make test": "tests/test_make.py::test_every_target_is_there",
    "make bench": "tests/test_make.py::test_every_target_is_there",
    "make load": "tests/test_make.py::test_every_target_is_there",
    "make format": "tests/test_make.py::test_every_target_is_there",
    "make clean": "tests/test_make.py::test_every_target_is_there",
    "python orders.py --orders 1000 --telemetry-dir telemetry": (
        "tests/test_cloudwatch_example.py::test_all_to_files_and_a_sample_to_cloudwatch"
    ),
}
"""Lines of shell that are not run from a document, with the test that covers each."""

PORT = "3056"
LANGUAGES = ("python", "bash", "console")
TIMEOUT = 120  # seconds; a document that takes longer keeps nobody reading


@dataclass(frozen=True)
class Block:
    """One fenced block: where its text begins, its language, its words and its text."""

    line: int
    language: str
    words: tuple[str, ...]
    text: str

    @property
    def file(self) -> str | None:
        """The name after `file=`, if there is one."""
        return next((word[5:] for word in self.words if word.startswith("file=")), None)

    @property
    def is_output(self) -> bool:
        """Whether this is what the block above prints."""
        return "output" in self.words

    @property
    def runs(self) -> bool:
        """Whether this block does something."""
        return not self.is_output and (self.language in LANGUAGES or self.file is not None)


class Mismatch(Exception):  # noqa: N818 -- what is wrong is the document
    """A block failed or printed something else than the document says."""


def blocks(markdown: str) -> list[Block]:
    """Return the fenced blocks of *markdown*; a block inside a list item is dedented."""
    found: list[Block] = []
    opening: re.Match[str] | None = None
    start, lines = 0, list[str]()
    for number, line in enumerate(markdown.splitlines(), 1):
        if opening is None:
            if opening := re.match(r"^( *)(`{3,})\s*(\S*)\s*(.*)$", line):
                start, lines = number + 1, []
        elif line.strip() == opening[2]:
            text = "".join(f"{kept}\n" for kept in lines)
            found.append(Block(start, opening[3], tuple(opening[4].split()), text))
            opening = None
        else:
            lines.append(line.removeprefix(opening[1]))
    if opening is not None:
        raise Mismatch(f"line {start - 1}: this fence is never closed")
    return found


def matches(expected: str, printed: str) -> bool:
    """Tell whether *printed* is *expected*, in which `...` stands for anything."""
    pattern = ".*".join(re.escape(part) for part in _trimmed(expected).split("..."))
    return re.fullmatch(pattern, _trimmed(printed), re.DOTALL) is not None


def _trimmed(text: str) -> str:
    return "\n".join(line.rstrip() for line in text.strip().splitlines())


def free_port() -> str:
    """Return the number of a port that nobody listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return str(found.getsockname()[1])


def uncovered(script: str) -> str:
    """Return *script* without the lines that another test covers."""
    return "".join(f"{line}\n" for line in script.splitlines() if line.strip() not in COVERED)


def run(path: Path) -> int:
    """Run the blocks of *path* in a scratch directory; return how many ran."""
    ran = 0
    printed = ""
    namespace: dict[str, object] = {"__name__": "__main__"}
    markdown = path.read_text(encoding="utf-8").replace(PORT, free_port())
    with tempfile.TemporaryDirectory(prefix="tachograph-docs-") as scratch, _inside(Path(scratch)):
        for block in blocks(markdown):
            try:
                if block.is_output:
                    if not matches(block.text, printed):
                        raise Mismatch(f"expected:\n{block.text}\nprinted:\n{printed}")
                elif block.runs:
                    printed = _run(block, path, namespace)
                    ran += 1
            except Mismatch as error:
                raise Mismatch(f"{path}:{block.line}: {error}") from None
    return ran


def _run(block: Block, path: Path, namespace: dict[str, object]) -> str:
    if block.file is not None:
        Path(block.file).parent.mkdir(parents=True, exist_ok=True)
        Path(block.file).write_text(block.text, encoding="utf-8")
        return ""
    if block.language == "python":
        return _python(block, path, namespace)
    if block.language == "bash":
        return _bash(uncovered(block.text))
    for command, expected in transcript(block.text):
        printed = _bash(uncovered(command))
        if uncovered(command).strip() and not matches(expected, printed):
            raise Mismatch(f"$ {command}\nexpected:\n{expected}\nprinted:\n{printed}")
    return ""


def transcript(text: str) -> Iterator[tuple[str, str]]:
    """Yield each command of a console block with the output that follows it."""
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        lines = part.splitlines()
        command = [lines.pop(0)]
        while command[-1].endswith("\\") and lines:
            command.append(lines.pop(0))
        yield "\n".join(command), "\n".join(lines)


def _python(block: Block, path: Path, namespace: dict[str, object]) -> str:
    # Lines keep the numbers they have in the document, so that a traceback points there.
    source = "\n" * (block.line - 1) + block.text
    with _printed() as output:
        try:
            exec(compile(source, str(path), "exec"), namespace)
        except Exception:  # noqa: BLE001 -- whatever a document does wrong, it is reported
            raise Mismatch(traceback.format_exc()) from None
    return output[0]


def _bash(script: str) -> str:
    if not script.strip():
        return ""
    try:
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=TIMEOUT,
        )
    except subprocess.TimeoutExpired as error:
        raise Mismatch(f"took longer than {TIMEOUT} s and printed:\n{error.output}") from None
    if done.returncode:
        raise Mismatch(f"exit code {done.returncode}:\n{script}\nprinted:\n{done.stdout}")
    return done.stdout


@contextlib.contextmanager
def _printed() -> Iterator[list[str]]:
    """Catch what is written to file descriptor 1, also by sinks that know no `sys.stdout`."""
    result = [""]
    sys.stdout.flush()
    saved = os.dup(1)
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), 1)
        try:
            yield result
        finally:
            sys.stdout.flush()
            os.dup2(saved, 1)
            os.close(saved)
            file.seek(0)
            result[0] = file.read().decode(errors="replace")


@contextlib.contextmanager
def _inside(directory: Path) -> Iterator[None]:
    # Only what a shell needs: a document must not depend on who reads it.
    kept = {k: v for k, v in os.environ.items() if k in ("LANG", "LC_ALL", "TMPDIR")}
    before = dict(os.environ)
    path = f"{Path(sys.executable).parent}{os.pathsep}{before.get('PATH', os.defpath)}"
    os.environ.clear()
    os.environ.update({**kept, "PATH": path, "HOME": str(directory)})
    try:
        with contextlib.chdir(directory):
            sys.path.insert(0, str(directory))
            yield
    finally:
        sys.path.remove(str(directory))
        os.environ.clear()
        os.environ.update(before)


def main(paths: list[str]) -> int:
    """Run each file in *paths*; return 0 when all do what they say."""
    failed = 0
    for path in map(Path, paths):
        try:
            count = run(path.resolve())
        except Mismatch as error:
            print(error, file=sys.stderr)
            failed += 1
        else:
            print(f"{path}: blocks that ran: {count}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
