"""The settings of the bridge, and how it is reached."""

from __future__ import annotations

import asyncio

import pytest

import tachograph as tg
from tachograph.metrics.bridge import runtime_from_env, watch_running_loop


def test_everything_that_is_wrong_is_said_at_once() -> None:
    """Each sentence names its setting."""
    with pytest.raises(tg.ConfigError) as raised:
        tg.RuntimeConfig(interval=0, rename="Title Case", max_tasks=-1)
    lines = str(raised.value).splitlines()

    assert ["interval", "rename", "max_tasks"] == [line.partition(":")[0] for line in lines]


@pytest.mark.parametrize("interval", [float("nan"), -1.0, 0.05])
def test_an_interval_is_long_enough(interval: float) -> None:
    """A thread that samples all the time would be the load that it measures."""
    with pytest.raises(tg.ConfigError, match="interval: expected"):
        tg.RuntimeConfig(interval=interval)


def test_the_environment_turns_it_on() -> None:
    """Off unless asked for; interval and style alone start nothing."""
    on = {
        "RUNTIME_METRICS": "on",
        "RUNTIME_METRICS_INTERVAL": "5",
        "RUNTIME_METRICS_RENAME": "PascalCase",
    }

    assert runtime_from_env({}) is None
    assert runtime_from_env({**on, "RUNTIME_METRICS": ""}) is None
    assert runtime_from_env({**on, "RUNTIME_METRICS": "no"}) is None
    assert tg.RuntimeConfig() == runtime_from_env({"RUNTIME_METRICS": "1"})
    assert tg.RuntimeConfig(interval=5, rename="PascalCase") == runtime_from_env(on)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("RUNTIME_METRICS", "perhaps"),
        ("RUNTIME_METRICS_INTERVAL", "often"),
        ("RUNTIME_METRICS_INTERVAL", "0"),
        ("RUNTIME_METRICS_RENAME", "TitleCase"),
    ],
)
def test_a_bad_variable_is_named(name: str, value: str) -> None:
    """On or off: a mistake must not wait for the day it is turned on."""
    with pytest.raises(tg.ConfigError, match=f"{name}: expected"):
        tg.TelemetryConfig.from_env(service="x", environ={name: value})


def test_code_wins_over_the_environment() -> None:
    """As with every other setting."""
    chosen = tg.RuntimeConfig(interval=9)
    found = tg.TelemetryConfig.from_env(
        service="x", environ={"RUNTIME_METRICS": "on"}, runtime=chosen
    )
    off = tg.TelemetryConfig.from_env(service="x", environ={"RUNTIME_METRICS": "on"}, runtime=None)

    assert chosen == found.runtime
    assert off.runtime is None


def test_without_a_bridge_nothing_is_touched() -> None:
    """Asking for the running loop to be watched leaves its selector alone."""

    async def main() -> bool:
        watch_running_loop()
        return "select" in vars(asyncio.get_running_loop()._selector)  # type: ignore[attr-defined]

    assert not asyncio.run(main())
