"""The CloudWatch example runs, and what it writes is what CloudWatch takes."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import defaultdict
from fnmatch import fnmatch
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest

EXAMPLE = Path(__file__).resolve().parent.parent / "examples" / "cloudwatch"
SCHEMA = json.loads((files("tachograph") / "formats" / "emf.schema.json").read_text())

ORDERS = 1_000
CALL = """
import types
import lambda_handler

for number in range(3):
    context = types.SimpleNamespace(aws_request_id=f"r-{number}")
    lambda_handler.handler({"body": "x" * number, "items": number}, context)
    print("returned")  # what was written before stands before
"""


def run(*arguments: str) -> str:
    """Run a Python program of the example; return what it prints."""
    done = subprocess.run(
        [sys.executable, "-u", *arguments],
        cwd=EXAMPLE,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert (0, "") == (done.returncode, done.stderr)
    return done.stdout


def documents(text: str) -> list[dict[str, Any]]:
    """Parse EMF lines, each valid."""
    found = [json.loads(line) for line in text.splitlines()]
    for document in found:
        jsonschema.validate(document, SCHEMA)
    return found


@pytest.mark.slow
def test_all_to_files_and_a_sample_to_cloudwatch(tmp_path: Path) -> None:
    """The files have every order, the sample each one that failed; its weights stand for all."""
    sample = documents(
        run("orders.py", "--orders", str(ORDERS), "--telemetry-dir", str(tmp_path / "telemetry"))
    )
    lines = "".join(p.read_text() for p in (tmp_path / "telemetry").glob("metrics.log.*"))
    orders = [json.loads(line) for line in lines.splitlines()]
    base = [d for d in sample if "Dependency" not in d]

    assert [f"o-{n}" for n in range(ORDERS)] == sorted(
        (order["OrderId"] for order in orders), key=lambda name: int(name[2:])
    )
    assert not any("_weight" in order for order in orders)
    failed = {order["OrderId"] for order in orders if order["Status"] == "failed"}
    assert 20 == len(failed)
    assert failed <= {d["OrderId"] for d in base}
    # A failed order stands for itself, a sampled one for ten.
    assert all((d["_weight"] == 1) == (d["OrderId"] in failed) for d in base)
    assert {1, 10} == {d["_weight"] for d in base}
    assert 50 < len(base) - len(failed) < 150
    assert 2 * len(base) == len(sample)  # a line for the dimension of its own, each


@pytest.mark.slow
def test_what_the_lines_say(tmp_path: Path) -> None:
    """Namespaces, dimension sets, high resolution, units, values that are no metrics."""
    sample = documents(
        run("orders.py", "--orders", "20", "--rate", "1", "--telemetry-dir", str(tmp_path))
    )
    first = next(d for d in sample if "Dependency" not in d)
    own = next(d for d in sample if "Dependency" in d)
    directives = first["_aws"]["CloudWatchMetrics"]
    metrics = {metric["Name"]: metric for metric in directives[0]["Metrics"]}

    assert ["Shop", "Shop/Orders"] == [d["Namespace"] for d in directives]
    assert [
        ["Region", "Operation", "Status"],
        ["Region", "Operation"],
        ["Region"],
        ["Operation", "Status"],
        ["Operation"],
        [],
    ] == directives[0]["Dimensions"]
    assert {"Name": "Duration", "Unit": "Milliseconds", "StorageResolution": 1} == (
        metrics["Duration"]
    )
    assert {"Values": [1_000], "Counts": [1]} == first["BodySize"]
    assert "Tokens" not in metrics
    assert "Tokens" in first
    assert 2 == sum(first["Calls"]["Counts"])
    assert ("stock", ["StockErrors"]) == (
        own["Dependency"],
        [m["Name"] for m in own["_aws"]["CloudWatchMetrics"][0]["Metrics"]],
    )


@pytest.mark.slow
def test_the_agent_finds_its_files(tmp_path: Path) -> None:
    """With `--emf-dir` nothing is on stdout, and the files have the names that the agent reads."""
    telemetry, emf = str(tmp_path / "telemetry"), tmp_path / "emf"
    printed = run(
        "orders.py", "--orders", "50", "--telemetry-dir", telemetry, "--emf-dir", str(emf)
    )
    agent = json.loads((EXAMPLE / "amazon-cloudwatch-agent.json").read_text())
    patterns = [
        Path(entry["file_path"]).name
        for entry in agent["logs"]["logs_collected"]["files"]["collect_list"]
    ]
    written = [path for path in emf.iterdir() if fnmatch(path.name, patterns[0])]
    logs = [path for path in Path(telemetry).iterdir() if fnmatch(path.name, patterns[1])]

    assert "" == printed
    assert documents("".join(path.read_text() for path in written))
    assert logs


@pytest.mark.slow
def test_a_lambda_writes_before_it_returns() -> None:
    """Each invocation's lines stand before the next one's."""
    lines = run("-c", CALL).splitlines()
    by_call: dict[int, list[dict[str, Any]]] = defaultdict(list)
    call = 0
    for line in lines:
        if line == "returned":
            call += 1
        else:
            by_call[call] += documents(line)

    assert 3 == call
    assert [["r-0"] * 2, ["r-1"] * 2, ["r-2"] * 2] == [
        [document["OrderId"] for document in by_call[n]] for n in range(3)
    ]
    assert [0, 1, 2] == [by_call[n][1]["Items"] for n in range(3)]


def test_the_task_does_not_wait_for_its_log() -> None:
    """The container's driver drops what it cannot send, rather than hold the worker."""
    task = json.loads((EXAMPLE / "fargate-task.json").read_text())
    (container,) = task["containerDefinitions"]
    log = container["logConfiguration"]

    assert ("awslogs", "non-blocking") == (log["logDriver"], log["options"]["mode"])
    assert "orders.py" in container["command"]
    assert (EXAMPLE / container["command"][1]).is_file()
