"""Which sources are on: by the program, by variables."""

from __future__ import annotations

import logging
from dataclasses import fields

import pytest

from tachograph.errors import ConfigError
from tachograph.recorder.config import RecorderConfig
from tachograph.recorder.sources.config import VARIABLES, SourcesConfig

DEFAULTS = SourcesConfig()


def test_every_setting_has_a_variable() -> None:
    """The names are those of the reference, and each is another."""
    assert {field.name for field in fields(SourcesConfig)} == VARIABLES.keys()
    assert len(set(VARIABLES.values())) == len(VARIABLES)
    assert all(name.startswith("TACHO_") for name in VARIABLES.values())


def test_none_is_all_off() -> None:
    """Every switch is off; numbers stay."""
    none = SourcesConfig.none()

    assert not any(getattr(none, f.name) for f in fields(none) if f.type == "bool")
    assert DEFAULTS.cpu_sample_hz == none.cpu_sample_hz


@pytest.mark.parametrize("name", VARIABLES)
def test_variables_set_each(name: str) -> None:
    """A switch the other way round, a number another."""
    before = getattr(DEFAULTS, name)
    value = not before if isinstance(before, bool) else 7
    found = SourcesConfig.from_env({VARIABLES[name]: f" {value} "})

    assert value == getattr(found, name)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("TACHO_CPU_SAMPLE_HZ", "0"),
        ("TACHO_CPU_SAMPLE_HZ", "1001"),
        ("TACHO_CPU_SAMPLE_HZ", "9.5"),
        ("TACHO_WATCHDOG_THRESHOLD_MS", "-1"),
        ("TACHO_WATCHDOG_ENABLED", "perhaps"),
    ],
)
def test_what_makes_no_sense(variable: str, value: str, caplog: pytest.LogCaptureFixture) -> None:
    """A warning with name and value, then the default: never an exception (recorder.md row 21)."""
    with caplog.at_level(logging.WARNING):
        assert DEFAULTS == SourcesConfig.from_env({variable: value})
    assert variable in caplog.text
    assert value in caplog.text


def test_a_variable_wins_over_the_program() -> None:
    """What stands in the environment holds, the program's settings fill the rest."""
    environ = {"TACHO_CPU_SAMPLE_HZ": "50"}
    found = SourcesConfig.from_env(environ, cpu_sample_hz=10, watchdog=False)

    assert (50, False) == (found.cpu_sample_hz, found.watchdog)


def test_a_programs_mistakes() -> None:
    """All of them at once."""
    with pytest.raises(ConfigError) as error:
        SourcesConfig(cpu_sample_hz=0, watchdog="yes", watchdog_threshold_ms=True)  # type: ignore[arg-type]

    assert ["cpu_sample_hz", "watchdog", "watchdog_threshold_ms"] == [
        line.partition(":")[0].removeprefix("SourcesConfig.")
        for line in str(error.value).split("\n")
    ]


def test_a_recorder_takes_them_from_the_environment() -> None:
    """`RecorderConfig.from_env` reads these variables too; what is no configuration is refused."""
    assert not RecorderConfig.from_env({"TACHO_WATCHDOG_ENABLED": "no"}).sources.watchdog
    with pytest.raises(ConfigError, match="sources: expected a SourcesConfig"):
        RecorderConfig(sources={"watchdog": False})  # type: ignore[arg-type]
