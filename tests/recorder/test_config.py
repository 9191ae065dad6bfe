"""What the recorder is told, and what it makes of what makes no sense."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from tachograph.errors import ConfigError
from tachograph.recorder.config import RecorderConfig, is_enabled_by

MIB = 2**20


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    """The warnings of the logger `tachograph`."""
    return [
        record.getMessage()
        for record in caplog.records
        if (record.name, record.levelno) == ("tachograph", logging.WARNING)
    ]


@pytest.mark.parametrize("text", ["t", "true", "1", "y", "yes", "on", "TRUE", "  On  "])
def test_switches_on(text: str, caplog: pytest.LogCaptureFixture) -> None:
    """`t true 1 y yes on` are true in any case, blanks around them aside."""
    assert is_enabled_by({"TACHO_ENABLED": text})
    assert [] == warnings(caplog)


@pytest.mark.parametrize("text", ["f", "false", "0", "n", "no", "off", "False", "", "   "])
def test_switches_off(text: str, caplog: pytest.LogCaptureFixture) -> None:
    """`f false 0 n no off` are false; a blank variable is one that is not set."""
    assert not is_enabled_by({"TACHO_ENABLED": text})
    assert not is_enabled_by({})
    assert [] == warnings(caplog)


@pytest.mark.parametrize("text", ["maybe", "2", "tru e", "on\udcff"])
def test_a_switch_of_no_sense_is_off_and_warned_about(
    text: str, caplog: pytest.LogCaptureFixture
) -> None:
    """An invalid variable is a warning with its name and value, and the default.

    (recorder.md row 21)
    """
    assert not is_enabled_by({"TACHO_ENABLED": text})
    (warning,) = warnings(caplog)
    assert warning.startswith("TACHO_ENABLED: expected true or false, got ")
    assert ascii(text) in warning
    assert warning.isascii()


def test_variables_set_what_the_program_leaves_open() -> None:
    """A variable goes before a setting of the program, a setting before the default."""
    config = RecorderConfig.from_env(
        {
            "TACHO_TRACE_DIR": " /tmp/somewhere ",
            "TACHO_SERVICE_NAME": "orders",
            "TACHO_TRACE_PROFILE": "dial9",
            "TACHO_ROTATION_SECS": "5",
            "TACHO_MAX_DISK_USAGE_MB": "8",
            "TACHO_MAX_FILE_SIZE_MB": "2",
            "TACHO_ASYNCIO_INSTRUMENTATION_ENABLED": "no",
            "TACHO_TASK_TRACKING_ENABLED": "off",
            "TACHO_SCHED_WAIT_SAMPLE_RATE": "3",
            "TACHO_GC_DEAD_NAMESPACES": "0",
        },
        service="of the program",
        loop_name="io",
    )

    assert Path("/tmp/somewhere") == config.directory
    assert ("orders", "io", "dial9") == (config.service, config.loop_name, config.profile)
    assert (False, False) == (config.instrument_asyncio, config.track_tasks)
    assert (3, False) == (config.sched_wait_every, config.recover_dead)
    assert (5, 8 * MIB, 2 * MIB) == (config.rotation_s, config.max_total_bytes, config.file_bytes)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("TACHO_ROTATION_SECS", "0"),
        ("TACHO_ROTATION_SECS", "-1"),
        ("TACHO_ROTATION_SECS", "1.5"),
        ("TACHO_ROTATION_SECS", "٣"),
        ("TACHO_ROTATION_SECS", "9" * 5000),
        ("TACHO_MAX_DISK_USAGE_MB", "1e3"),
        ("TACHO_MAX_FILE_SIZE_MB", "many"),
        ("TACHO_MAX_FILE_SIZE_MB", "2000"),
        ("TACHO_TRACE_PROFILE", "Compact"),
        ("TACHO_SCHED_WAIT_SAMPLE_RATE", "0"),
        ("TACHO_ASYNCIO_INSTRUMENTATION_ENABLED", "some"),
        ("TACHO_TASK_TRACKING_ENABLED", "2"),
        ("TACHO_GC_DEAD_NAMESPACES", "never"),
        ("TACHO_TRACE_DIR", "/tmp/\udcff"),
        ("TACHO_SERVICE_NAME", "\udcff"),
        ("TACHO_RUNTIME_NAME", "\udcff"),
    ],
)
def test_an_invalid_variable_is_as_if_it_was_not_there(
    name: str, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Invalid and undecodable variables are warned about once and missing then.

    (recorder.md row 21)
    """
    assert RecorderConfig() == RecorderConfig.from_env({name: text})
    (warning,) = warnings(caplog)
    assert warning.startswith(f"{name}: expected ")
    assert warning.isascii()


@pytest.mark.parametrize("name", ["DIR", "ROTATION_SECS", "MAX_DISK_USAGE_MB", "PROFILE"])
def test_a_blank_variable_is_missing(name: str, caplog: pytest.LogCaptureFixture) -> None:
    """Blanks say nothing, so nothing is said about them."""
    environ = {f"TACHO_TRACE_{name}": "  ", f"TACHO_{name}": ""}

    assert RecorderConfig() == RecorderConfig.from_env(environ)
    assert [] == warnings(caplog)


def test_a_setting_gives_way_where_a_variable_leaves_no_room() -> None:
    """An operator's smaller budget never makes the program's file size an error."""
    config = RecorderConfig.from_env({"TACHO_MAX_DISK_USAGE_MB": "4"}, max_file_bytes=8 * MIB)

    assert (4 * MIB, MIB) == (config.max_total_bytes, config.file_bytes)


def test_a_files_size_is_a_quarter_of_the_budget() -> None:
    """At most 100 MiB, at least something."""
    sizes = [RecorderConfig(max_total_bytes=n).file_bytes for n in (1, 4 * MIB, 1024 * MIB)]

    assert [1, MIB, 100 * MIB] == sizes


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("rotation_s", 0),
        ("rotation_s", float("nan")),
        ("rotation_s", float("inf")),
        ("rotation_s", "60"),
        ("rotation_s", True),
        ("drain_interval_s", -0.1),
        ("max_total_bytes", 0),
        ("max_total_bytes", 1.5),
        ("max_file_bytes", 0),
        ("max_file_bytes", 2**31),
        ("ring_events", 1000),
        ("ring_events", 32),
        ("ring_events", 2**25),
        ("ring_events", None),
        ("profile", "other"),
        ("sched_wait_every", 0),
        ("sched_wait_every", True),
        ("track_tasks", "yes"),
        ("instrument_asyncio", None),
        ("recover_dead", 1),
        ("service", " "),
        ("service", None),
        ("loop_name", ""),
        ("directory", 5),
        ("metadata", {"a": 1}),
        ("metadata", ["a"]),
    ],
)
def test_a_programs_mistake_raises(field: str, value: object) -> None:
    """The message names the field, what was expected and what came."""
    wrong: dict[str, Any] = {field: value}
    with pytest.raises(ConfigError) as caught:
        RecorderConfig(**wrong)
    assert str(caught.value).startswith(f"RecorderConfig.{field}: expected ")


def test_every_mistake_is_told_at_once() -> None:
    """A strict construction lists all offending fields."""
    with pytest.raises(ConfigError) as caught:
        RecorderConfig(rotation_s=0, max_total_bytes=0, profile="x", service="")
    lines = str(caught.value).splitlines()

    assert ["profile", "service", "rotation_s", "max_total_bytes"] == [
        line.removeprefix("RecorderConfig.").partition(":")[0] for line in lines
    ]


@pytest.mark.parametrize(
    ("argument", "service"), [("-c", "python"), ("", "python"), ("/a/b.py", "b")]
)
def test_a_service_has_the_programs_name(
    argument: str, service: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the program is no file, it is Python."""
    monkeypatch.setattr("sys.argv", [argument])

    assert service == RecorderConfig().service
