"""What the documents show works: every python, bash and console block of them runs."""

from __future__ import annotations

import re
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
RUNNER = REPOSITORY / "scripts" / "run_docs.py"
SKILLS = REPOSITORY / "src" / "tachograph" / "skills"
DOCUMENTS = sorted(
    [
        REPOSITORY / "README.md",
        REPOSITORY / "CONTRIBUTING.md",
        REPOSITORY / "AGENTS.md",
        *(REPOSITORY / "docs").rglob("*.md"),
        *(REPOSITORY / "examples").rglob("*.md"),
        *SKILLS.rglob("*.md"),
    ]
)


@pytest.fixture(scope="module")
def runner() -> dict[str, Any]:
    """The names of scripts/run_docs.py."""
    return runpy.run_path(str(RUNNER))


def run(*documents: Path) -> subprocess.CompletedProcess[str]:
    """Run *documents* as `python scripts/run_docs.py` does."""
    return subprocess.run(
        [sys.executable, RUNNER, *documents], capture_output=True, text=True, check=False
    )


@pytest.mark.slow
@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda p: str(p.relative_to(REPOSITORY)))
def test_every_block_does_what_the_document_says(path: Path) -> None:
    """Each block runs in a scratch directory and prints what stands below it."""
    done = run(path)

    assert (0, "") == (done.returncode, done.stderr)


def prose(path: Path) -> str:
    """The text of a document without its blocks of code."""
    return re.sub(r"^ *```.*?^ *```", "", path.read_text(), flags=re.MULTILINE | re.DOTALL)


def anchors(path: Path) -> set[str]:
    """The anchors of a document's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", prose(path), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title).strip().lower().replace(" ", "-") for title in headings}


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda p: str(p.relative_to(REPOSITORY)))
def test_every_link_leads_somewhere(path: Path) -> None:
    """A relative link names a file that is there, and an anchor a heading in it."""
    for link in re.findall(r"\]\(([^)\s]+)\)", prose(path)):
        if "://" in link:
            continue
        file, _, anchor = link.partition("#")
        target = path.parent / file if file else path

        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_what_is_not_run_is_covered_by_a_test(runner: dict[str, Any]) -> None:
    """A line that a document does not run names an existing test that covers it."""
    for line, test in runner["COVERED"].items():
        file, _, name = test.partition("::")

        assert f"def {name}(" in (REPOSITORY / file).read_text(), f"{line}: there is no {test}"


PASSING = """
```python
x = 41
```
text
```python
import os
os.write(1, b"through the descriptor\\n")
print(x + 1)
```
```text output
through ...
42
```
```json file=data/one.json
{"a": 1}
```
```bash
cat data/one.json
tacho --version
```
```text output
{"a": 1}
tachograph ...
```
- in a list
  ```console
  $ echo one; echo two
  one
  ...
  $ make demo
  anything at all
  ```
"""


def test_blocks_share_a_namespace_and_a_directory(tmp_path: Path) -> None:
    """Blocks of one file run in order, see each other's names and files, and show their output."""
    document = tmp_path / "passing.md"
    document.write_text(PASSING)

    done = run(document)

    assert ("", 0) == (done.stderr, done.returncode)
    assert f"{document}: blocks that ran: 5\n" == done.stdout


def test_runs_at_once_do_not_meet(tmp_path: Path) -> None:
    """A document's port is a free one in each run, in what it prints too."""
    document = tmp_path / "serving.md"
    document.write_text(
        f"```bash\necho 3056 | tee -a {tmp_path}/ports\n```\n```text output\n3056\n```\n"
    )
    done = run(document)
    (port,) = (tmp_path / "ports").read_text().split()

    assert ("", 0) == (done.stderr, done.returncode)
    assert "3056" != port
    assert port.isdigit()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("```python\nraise OSError('no')\n```", "OSError: no"),
        ("```python\nprint(1)\n```\n```text output\n2\n```", "expected:\n2"),
        ("```bash\nfalse\n```", "exit code 1"),
        ("```console\n$ echo one\ntwo\n```", "expected:\ntwo"),
        ("```python\nprint(1)\n", "never closed"),
    ],
    ids=["raises", "prints-other", "fails", "console", "open-fence"],
)
def test_a_block_that_does_otherwise_fails(tmp_path: Path, text: str, said: str) -> None:
    """A failing block is reported with its file and line, and the exit code is 1."""
    document = tmp_path / "failing.md"
    document.write_text(text)

    done = run(document)

    assert 1 == done.returncode
    assert said in done.stderr
