"""Starting and closing telemetry."""

from __future__ import annotations

import gc
import json
import logging
import os
import re
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import tachograph as tg
from tachograph import logs
from tachograph.formats.emf import Emf
from tachograph.formats.json import FlatJson
from tachograph.metrics import Destination, output, statistics
from tachograph.sinks import MemorySink

HEAD = """
import logging, sys, tachograph as tg
from pathlib import Path
class Job(tg.WideEvent):
    name: str = tg.metric(default="")
"""


class Job(tg.WideEvent):
    """A job."""

    name: str = tg.metric(default="")
    size: int = tg.metric(0, unit=tg.Unit.BYTES)


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Path]:
    """A telemetry directory, and no records waiting that an earlier test emitted."""
    output._pending.clear()
    yield tmp_path / "telemetry"
    gc.collect()


@pytest.fixture(autouse=True)
def _counts_of_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Counts are the process's: what other tests lost on purpose is none of these."""
    for name in ("close_errors", "emit_errors", "pending_dropped"):
        monkeypatch.setattr(statistics, name, 0)


def lines(directory: Path, pattern: str) -> list[dict[str, Any]]:
    """Return the lines of the files, in order."""
    texts = [path.read_text() for path in sorted(directory.glob(pattern))]
    return [json.loads(line) for text in texts for line in text.splitlines()]


def run(program: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run *program* after HEAD in a process of its own."""
    return subprocess.run(
        [sys.executable, "-c", HEAD + program],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        **options,
    )


def test_every_problem_of_a_configuration_is_said() -> None:
    """One error lists them all."""
    with pytest.raises(tg.ConfigError) as caught:
        tg.TelemetryConfig(service=" ", metrics_format="xml", log_filter="loud")

    for name in (
        "service:",
        "metrics_format: expected flat, nested, emf, got 'xml'",
        "log_filter:",
    ):
        assert name in str(caught.value)


def test_the_environment_is_read() -> None:
    """An empty variable is unset; settings given in code win."""
    environ = {
        "SERVICE_NAME": "orders",
        "TELEMETRY_DIR": "/t",
        "LOG_FILTER": "",
        "METRICS_FORMAT": "flat",
        "TELEMETRY_PER_PROCESS": "yes",
    }
    found = tg.TelemetryConfig.from_env(service="x", environ=environ, per_process=False)

    assert (found.service, found.telemetry_dir) == ("orders", Path("/t"))
    assert (found.log_filter, found.per_process) == ("info", False)
    assert tg.TelemetryConfig.from_env(service="x", environ={}) == tg.TelemetryConfig(service="x")
    with pytest.raises(tg.ConfigError, match="TELEMETRY_PER_PROCESS"):
        tg.TelemetryConfig.from_env(service="x", environ={"TELEMETRY_PER_PROCESS": "maybe"})


def test_a_directory_gets_records_logs_and_the_schema(directory: Path) -> None:
    """Names by UTC time, private modes, globals first on every line [TL-1]."""
    config = tg.TelemetryConfig(service="orders", telemetry_dir=directory, globals={"host": "h"})
    with tg.init_telemetry(config) as guard:
        Job(name="a").emit()
        tg.get_logger("x").info("hello", n=1)
        flushed = guard.flush()
        found = guard.statistics()
    (record,) = lines(directory, "metrics.log.*")
    hello, closed = lines(directory, "application.log.*")
    schema = json.loads((directory / "metrics.schema.json").read_text())

    assert flushed
    assert found["metrics_sink"]["written"] == 1
    assert list(record)[:4] == ["timestamp", "record", "service_name", "host"]
    assert (record["service_name"], record["host"]) == ("orders", "h")
    assert (hello["service_name"], hello["message"], hello["n"]) == ("orders", "hello", 1)
    assert closed["message"] == "telemetry closed"
    assert (closed["records_written"], closed["records_lost"]) == (1, 0)
    assert schema["records"][0]["record"] == "Job"
    assert schema["records"][0]["fields"][1]["unit"] == "Bytes"
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in directory.iterdir()} == {0o600}


def test_a_bad_directory_starts_nothing(tmp_path: Path) -> None:
    """The error says where; afterwards telemetry can be started [TL-4]."""
    (tmp_path / "file").write_text("")
    before = list(logging.getLogger().handlers)
    bad = tg.TelemetryConfig(service="s", telemetry_dir=tmp_path / "file" / "t")
    with pytest.raises(tg.ConfigError, match="Cannot write telemetry files"):
        tg.init_telemetry(bad)
    after = list(logging.getLogger().handlers)

    assert before == after
    tg.init_telemetry(tg.TelemetryConfig(service="s", telemetry_dir=tmp_path / "t")).close()


def test_there_is_one_telemetry_a_process(directory: Path) -> None:
    """A second start is refused and changes nothing; closing twice is a no-op."""
    guard = tg.init_telemetry(tg.TelemetryConfig(service="a", telemetry_dir=directory))
    before = list(logging.getLogger().handlers)
    with pytest.raises(RuntimeError, match="already running"):
        tg.init_telemetry(tg.TelemetryConfig(service="b", telemetry_dir=directory))
    during = list(logging.getLogger().handlers)

    assert before == during
    assert guard.close()
    assert guard.close()


def test_what_goes_wrong_with_records_is_still_logged(directory: Path) -> None:
    """Records close before logs."""
    with tg.init_telemetry(tg.TelemetryConfig(service="s", telemetry_dir=directory)) as guard:
        guard._telemetry.metrics_sink.close()
        Job().emit()
    found = {line["message"]: line for line in lines(directory, "application.log.*")}

    assert found["telemetry lost something"]["metrics_sink.dropped"] == 1
    assert found["telemetry closed"]["records_lost"] == 1


def test_logging_is_left_as_it_was(directory: Path) -> None:
    """Handlers and levels of the root logger."""
    root = logging.getLogger()
    before = (root.level, list(root.handlers))
    with tg.init_telemetry(
        tg.TelemetryConfig(service="s", telemetry_dir=directory, log_filter="debug")
    ):
        during = root.level

    assert during == logging.DEBUG
    assert before == (root.level, list(root.handlers))
    assert logs.current_context() == {}


@pytest.mark.slow
def test_without_a_directory_records_go_to_stdout_and_logs_to_stderr() -> None:
    """JSON where nobody watches."""
    done = run(
        "with tg.init_telemetry(tg.TelemetryConfig(service='s')):\n"
        "    Job(name='a').emit()\n"
        "    logging.getLogger('x').warning('careful')\n"
    )

    assert json.loads(done.stdout)["name"] == "a"
    assert [json.loads(line)["message"] for line in done.stderr.splitlines()] == [
        "careful",
        "telemetry closed",
    ]


@pytest.mark.slow
def test_a_person_gets_text() -> None:
    """On a terminal, or when asked for."""
    done = run(
        "with tg.init_telemetry(tg.TelemetryConfig(service='s', pretty=True)):\n"
        "    Job(name='a').emit()\n"
        "    logging.getLogger('x').warning('careful')\n"
    )

    assert "Job" in done.stdout
    assert "service_name" not in done.stdout
    assert "careful" in done.stderr
    assert not done.stderr.startswith("{")


@pytest.mark.slow
def test_a_guard_that_is_dropped_warns_and_telemetry_goes_on() -> None:
    """The warning names the service; nothing is lost until the exit."""
    done = run(
        "tg.init_telemetry(tg.TelemetryConfig(service='orders'))\nJob(name='after').emit()\n"
    )
    warning, closed = [json.loads(line) for line in done.stderr.splitlines()]

    assert "TelemetryGuard of 'orders' was dropped" in warning["message"]
    assert closed["records_written"] == 1
    assert json.loads(done.stdout)["name"] == "after"


@pytest.mark.slow
def test_a_guard_that_is_never_closed_flushes_at_exit(tmp_path: Path) -> None:
    """Every record is there [SK-4]."""
    done = run(
        f"config = tg.TelemetryConfig(service='s', telemetry_dir=Path({str(tmp_path)!r}))\n"
        "guard = tg.init_telemetry(config)\n"
        "for n in range(2_000): Job(name=str(n)).emit()\n"
    )

    assert done.returncode == 0
    assert [r["name"] for r in lines(tmp_path, "metrics.log.*")] == [str(n) for n in range(2_000)]


@pytest.mark.slow
def test_a_stdout_whose_reader_is_gone(tmp_path: Path) -> None:
    """The process goes on and ends in time, with one warning [TL-6]."""
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            HEAD + "with tg.init_telemetry(tg.TelemetryConfig(service='s')) as guard:\n"
            "    for n in range(200): Job(name=str(n)).emit()\n"
            "    guard.flush()\n"
            "    Job().emit()\n",
        ],
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
        timeout=30,
        check=False,
    )
    os.close(writer)
    messages = [json.loads(line)["message"] for line in done.stderr.splitlines()]

    assert done.returncode == 0
    assert len([m for m in messages if m.startswith("Nobody reads metrics")]) == 1
    assert messages[-1] == "telemetry closed"


def test_emf_by_the_environment(tmp_path: Path) -> None:
    """Namespace, dimension sets and log group; records of a directory are EMF lines then."""
    environ = {
        "METRICS_FORMAT": "emf",
        "METRICS_NAMESPACE": "Shop, Shop2",
        "METRICS_DIMENSIONS": "service_name,name;service_name;",
        "METRICS_LOG_GROUP": "group",
        "TELEMETRY_DIR": str(tmp_path),
    }
    with tg.init_telemetry(tg.TelemetryConfig.from_env(service="orders", environ=environ)) as guard:
        Job(name="a").emit()
        assert "dimensionless" in guard.statistics()["metrics"]
    (record,) = lines(tmp_path, "metrics.log.*")

    directives = record["_aws"]["CloudWatchMetrics"]
    assert ["Shop", "Shop2"] == [d["Namespace"] for d in directives]
    assert [["service_name", "name"], ["service_name"], []] == directives[0]["Dimensions"]
    assert "group" == record["_aws"]["LogGroupName"]


def test_nested_records(tmp_path: Path) -> None:
    """The model's own form."""
    config = tg.TelemetryConfig(service="s", metrics_format="nested", telemetry_dir=tmp_path)
    with tg.init_telemetry(config):
        Job(name="a").emit()
    (record,) = lines(tmp_path, "metrics.log.*")

    assert {"service_name": "s", "name": "a"}.items() <= record["properties"].items()


def test_a_sample_besides_the_archive(tmp_path: Path) -> None:
    """A second destination has a format, a sink and a sampler of its own; the guard closes it."""
    sink = MemorySink()
    emf = Emf(tg.EmfConfig(namespaces=["Shop"]))
    sample = Destination(emf, sink, sampler=tg.Sampling(0.5, seed=1))
    config = tg.TelemetryConfig(service="s", telemetry_dir=tmp_path, destinations=[sample])
    with tg.init_telemetry(config):
        for _ in range(50):
            Job(name="a").emit()

    assert 50 == len(lines(tmp_path, "metrics.log.*"))
    assert 10 < len(sink.lines) < 40
    sink.write(b"late")
    assert 1 == sink.statistics().late


def test_further_destinations_are_counted(directory: Path) -> None:
    """Sink and format together, by their place; their losses are told at the close."""
    lossy = MemorySink(max_bytes=1)
    sinks: list[MemorySink] = [MemorySink(), lossy]
    config = tg.TelemetryConfig(
        service="s",
        telemetry_dir=directory,
        destinations=[Destination(FlatJson(), sink) for sink in sinks],
    )
    with tg.init_telemetry(config) as guard:
        wrong: Any = Job()
        wrong.size = "large"
        wrong.emit()
        Job().emit()
        found = guard.statistics()
    told = {line["message"]: line for line in lines(directory, "application.log.*")}
    lost = told["telemetry lost something"]

    assert (2, 0, 1) == tuple(
        found["destination_1"][name] for name in ("accepted", "dropped", "encode_errors")
    )
    assert 1 == found["destination_2"]["dropped"]
    assert (1, 1) == (lost["destination_2.dropped"], lost["destination_1.encode_errors"])
    assert "destination_1.dropped" not in lost


def test_classes_that_do_not_suit_the_format_are_told_at_the_start(directory: Path) -> None:
    """Nothing is started; every format of every destination is asked [SP-10]."""
    names = [f"n{n}" for n in range(16)]
    make: Any = type(tg.WideEvent)
    body = make.__prepare__("Wide", (tg.WideEvent,))
    for name in names:
        body["__annotations__"][name] = str
        body[name] = ""
    wide = make("Wide", (tg.WideEvent,), body, dimensions=[names])
    emf = tg.EmfConfig(namespaces=["A"], dimensions=[[f"c{n}" for n in range(16)], []])
    besides = Destination(Emf(emf), MemorySink())
    main = tg.TelemetryConfig(
        service="s", telemetry_dir=directory, metrics_format="emf", emf=emf, log_filter="off"
    )
    other = tg.TelemetryConfig(service="s", telemetry_dir=directory, destinations=[besides])
    for config in (main, other):
        with pytest.raises(tg.ConfigError, match=r"^Wide: 16 configured .* make a set of 32;"):
            tg.init_telemetry(config)
    del wide

    tg.init_telemetry(tg.TelemetryConfig(service="s", telemetry_dir=directory)).close()


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        ({"METRICS_SAMPLE_RATE": "2"}, "METRICS_SAMPLE_RATE: expected a number above 0"),
        ({"METRICS_SAMPLE_RATE": "some"}, "METRICS_SAMPLE_RATE: expected a number above 0"),
        (
            {"METRICS_FORMAT": "emf", "METRICS_NAMESPACE": "AWS/x"},
            r"METRICS_NAMESPACE .*: expected",
        ),
    ],
)
def test_bad_variables_are_told(environ: dict[str, str], message: str) -> None:
    """What was expected and what came."""
    with pytest.raises(tg.ConfigError, match=message):
        tg.TelemetryConfig.from_env(service="s", environ=environ)


def test_every_bad_variable_is_told_at_once() -> None:
    """Each by its own name, none by that of the field it fills."""
    environ = {
        "LOG_FILTER": "loud",
        "METRICS_FORMAT": "emf",
        "METRICS_NAMESPACE": "AWS/x",
        "METRICS_DIMENSIONS": ":a,b;é",
        "METRICS_SAMPLE_RATE": "2",
        "TELEMETRY_PER_PROCESS": "maybe",
    }
    with pytest.raises(tg.ConfigError) as caught:
        tg.TelemetryConfig.from_env(service="s", environ=environ)
    with pytest.raises(tg.ConfigError, match=r"^METRICS_FORMAT: expected flat"):
        tg.TelemetryConfig.from_env(service="s", environ={"METRICS_FORMAT": "xml"})
    told = str(caught.value).splitlines()

    wrong = environ.keys() - {"METRICS_FORMAT"}
    assert wrong == wrong & {re.split("[: ]", line)[0] for line in told}
    assert not {"namespace", "dimensions", "log_filter"} & {line.split(":")[0] for line in told}
    assert 2 == sum(line.startswith("METRICS_DIMENSIONS: expected names") for line in told)


def test_a_setting_in_code_is_told_by_its_field() -> None:
    """Where it wins over a variable, the variable is not to blame."""
    with pytest.raises(tg.ConfigError, match=r"^metrics_format: expected"):
        tg.TelemetryConfig.from_env(
            service="s", environ={"METRICS_FORMAT": "flat"}, metrics_format="xml"
        )


def test_a_directory_may_be_a_text(directory: Path) -> None:
    """It is the path of that name."""
    config = tg.TelemetryConfig(service="s", telemetry_dir=str(directory), log_filter="off")

    assert directory == config.telemetry_dir


ANNOUNCING = """
config = tg.TelemetryConfig(service="shop", announce_schema=True, telemetry_dir={directory})
class Order(tg.WideEvent):
    size: int = tg.metric(1, unit=tg.Unit.BYTES)
with tg.init_telemetry(config):
    for _ in range(2):
        Order().emit()
        Job(name="a").emit()
"""


def test_a_stream_announces_each_class_once() -> None:
    """With `announce_schema` a line of units stands before the first record of a class (S-2)."""
    done = run(ANNOUNCING.format(directory=None))
    found = [json.loads(line) for line in done.stdout.splitlines()]

    assert [
        ("tachograph.schema", "Order", ["size=Bytes"]),
        ("Order", None, None),
        ("tachograph.schema", "Job", []),
        ("Job", None, None),
        ("Order", None, None),
        ("Job", None, None),
    ] == [(line["record"], line.get("of"), line.get("units")) for line in found]


def test_files_need_no_announcement(directory: Path) -> None:
    """Beside rolled files lies the schema document, so that their lines are records only (S-2)."""
    run(ANNOUNCING.format(directory=f"Path({str(directory)!r})"))

    assert ["Order", "Job"] * 2 == [line["record"] for line in lines(directory, "metrics.log.*")]
