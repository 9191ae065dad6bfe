"""`tacho schema`: record classes described and compared."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tachograph.cli.main import main

RECORDS = '''
import enum
import tachograph as tg

print("imported")


class Operation(enum.Enum):
    GetItem = "GetItem"


class Handler(tg.WideEvent, rename="PascalCase"):
    found: bool | None = tg.metric(None, doc="Reads only | otherwise absent.")


class Order(tg.WideEvent, rename="PascalCase"):
    """One order.

    With details.
    """

    duration = tg.timer(unit=tg.Unit.MILLISECONDS)
    operation: Operation
    wait = tg.mean(doc="For the pool.")
    handler: Handler = tg.slot()


class Empty(tg.WideEvent):
    pass
'''


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    """The name of a module in the current directory that no other test has imported."""
    name = f"records_{abs(hash(request.node.name))}"
    (tmp_path / f"{name}.py").write_text(RECORDS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    return name


def show(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> str:
    """Run `tacho schema` and return what it prints; it must end with *code*."""
    found = main(["schema", *arguments])
    captured = capsys.readouterr()

    assert code == found, captured.err
    return captured.out


def test_a_module_is_described(module: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A table a class, children in their place, without empty columns and without running it."""
    expected = (
        "Order: One order.\n"
        "\n"
        "name       kind      type     unit          optional  meaning\n"
        "─────────  ────────  ───────  ────────────  ────────  "
        "───────────────────────────────────────────────────────────────────\n"
        "Duration   metric    float    Milliseconds\n"
        "Operation  property  enum\n"
        "Wait       metric    summary                yes       "
        "For the pool. Flat lines have WaitCount, WaitSum, WaitMin, WaitMax.\n"
        "Found      metric    bool                   yes       Reads only | otherwise absent.\n"
    )

    assert expected == show(capsys, module)


def test_the_document_is_what_a_service_writes(
    module: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """`--json` is the compact document of the schema file, of the classes alone."""
    printed = show(capsys, module, "--json", "--service", "shop")
    program = f"""
import tachograph as tg
from pathlib import Path
from {module} import *
with tg.init_telemetry(tg.TelemetryConfig(service="shop", telemetry_dir=Path("telemetry"))):
    Order(operation=Operation.GetItem).emit()
"""
    subprocess.run([sys.executable, "-c", program], check=True, stdout=subprocess.DEVNULL)

    assert (tmp_path / "telemetry" / "metrics.schema.json").read_text() == printed
    assert show(capsys, module) == show(capsys, "telemetry")
    assert show(capsys, "telemetry/metrics.schema.json", "--json") == show(capsys, module, "--json")


def test_markdown_is_a_table_a_class(module: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Name, kind, type, unit, optional and meaning, with bars escaped."""
    printed = show(capsys, f"{module}:Order", "--markdown")

    assert printed.startswith("## Order\n\nOne order.\n\n| Name | Kind | Type | Unit |")
    assert "| `Duration` | metric | float | Milliseconds | | |\n" in printed
    assert "| `Found` | metric | bool | | yes | Reads only \\| otherwise absent. |\n" in printed


def test_a_child_can_be_named(module: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A class that is only a part of others is described when it is asked for."""
    assert show(capsys, f"{module}:Handler").startswith("Handler\n\nname ")


def test_a_compatible_change_is_told(
    module: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """What is new is named and the exit code is 0."""
    document = json.loads(show(capsys, module, "--json"))
    del document["records"][0]["fields"][0]
    Path("old.json").write_text(json.dumps(document))
    printed = show(capsys, module, "--check", "old.json")

    assert "Compatible with old.json: 1 record, 4 fields.\nAdded: Order.Duration\n" == printed
    assert {
        "compatible": True,
        "breaks": [],
        "added": ["Order.Duration"],
        "no_longer_optional": [],
    } == json.loads(show(capsys, module, "--check", "old.json", "--json"))


def test_a_break_is_told_with_where_and_what_to_do(
    module: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each finding has its place, what changed and a way out; the exit code is 3."""
    document = json.loads(show(capsys, module, "--json"))
    document["records"][0]["fields"][0]["unit"] = "Seconds"
    document["records"].append({"record": "Gone", "digest": "", "doc": "", "fields": []})
    Path("old.json").write_text(json.dumps(document))
    printed = show(capsys, module, "--check", "old.json", code=3)
    data = json.loads(show(capsys, module, "--check", "old.json", "--json", code=3))

    assert printed.startswith(
        "2 changes break readers of old.json:\n\n"
        "Order.Duration: the unit was Seconds and is Milliseconds.\n    Numbers would be read"
    )
    assert ["Order.Duration", "Gone"] == [found["where"] for found in data["breaks"]]
    assert data["compatible"] is False


def test_a_named_class_is_checked_alone(module: str, capsys: pytest.CaptureFixture[str]) -> None:
    """With `module:Class` other records of the old description are not missed."""
    document = json.loads(show(capsys, module, "--json"))
    document["records"].append({"record": "Gone", "digest": "", "doc": "", "fields": []})
    Path("old.json").write_text(json.dumps(document))

    assert show(capsys, f"{module}:Order", "--check", "old.json").startswith("Compatible")
    assert show(capsys, module, "--check", "old.json", code=3).startswith("One change breaks")


def test_a_child_that_was_a_record_is_not_missed(
    module: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A class that is also emitted by itself is compared when the old description has it."""
    Path("old.json").write_text(show(capsys, module, f"{module}:Handler", "--json"))

    assert "2 records" in show(capsys, module, "--check", "old.json")


def test_older_versions_are_counted(module: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A document with two versions of a class shows the last and says that there is another."""
    document = json.loads(show(capsys, module, "--json"))
    older = {**document["records"][0], "digest": "0", "fields": []}
    document["records"].insert(0, older)
    Path("old.json").write_text(json.dumps(document))
    printed = show(capsys, "old.json")

    assert 1 == printed.count("Order: One order.")
    assert printed.endswith("1 older version of a class is not shown; --json has them all.\n")


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["nowhere_at_all"], 1, "There is no module `nowhere_at_all`"),
        (["json"], 1, "`json` has no record class. Name the module"),
        (["{module}:Ordr"], 1, "There is no `Ordr` in `{module}`. Did you mean `Order`?"),
        (["{module}:Operation"], 1, "is no record class: expected a subclass of `WideEvent`, got"),
        (["{module}.py"], 1, "got the file {module}.py. Write it as `{module}`."),
        (["what is this"], 2, "which is none of them and does not exist"),
        (["{module}:a b"], 2, "Expected `module:Class`"),
        (["missing.json"], 1, "Cannot read the schema missing.json"),
        (["garbage.json"], 1, "garbage.json is not a schema document"),
        (["."], 1, "holds no schema: expected a `metrics.schema.json` in it or below"),
        (["{module}", "--check", "missing.json"], 1, "Cannot read the schema missing.json"),
        (["needy"], 1, "it needs the module `not_installed_at_all`"),
        (["broken"], 1, "Importing `broken` failed: ZeroDivisionError"),
        (["quitter"], 1, "Importing `quitter` failed: SystemExit"),
        (["sourced"], 1, "It lies in `src`: PYTHONPATH=src tacho schema sourced"),
        (["holder"], 1, "`holder` has no record class. There are in `holder.inner`."),
        ([], 2, "required: TARGET"),
    ],
)
def test_mistakes_are_explained(
    module: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    arguments: list[str],
    code: int,
    said: str,
) -> None:
    """A mistake is one message on stderr that says what was expected and the way out."""
    (tmp_path / "garbage.json").write_text('{"records":[{"record":"A","fields":[{"name":1}]}]}')
    (tmp_path / "needy.py").write_text("import not_installed_at_all\n")
    (tmp_path / "broken.py").write_text("1 / 0\n")
    (tmp_path / "quitter.py").write_text("raise SystemExit(5)\n")
    (tmp_path / "src" / "sourced").mkdir(parents=True)
    (tmp_path / "holder").mkdir()
    (tmp_path / "holder" / "__init__.py").write_text("from holder import inner\n")
    (tmp_path / "holder" / "inner.py").write_text(RECORDS)

    found = main(["schema", *(a.format(module=module) for a in arguments)])
    captured = capsys.readouterr()

    assert (code, "") == (found, captured.out)
    assert said.format(module=module) in captured.err


def test_the_current_directory_is_searched(module: str, tmp_path: Path) -> None:
    """As with uvicorn no PYTHONPATH is needed; what the module prints goes to stderr."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    command = [str(Path(sys.executable).with_name("tacho")), "schema", module, "--json"]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env=environment, cwd=tmp_path
    )

    assert (0, "imported\n") == (done.returncode, done.stderr)
    assert ["Order"] == [entry["record"] for entry in json.loads(done.stdout)["records"]]
