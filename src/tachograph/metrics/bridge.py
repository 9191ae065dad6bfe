"""The runtime bridge as the rest sees it: its settings, which one runs, and asking it to watch.

Cheap to import: what measures is loaded when telemetry starts with it (`runtime`).
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar

from tachograph._base.env import read_bool, read_text
from tachograph.errors import ConfigError
from tachograph.metrics.names import STYLES

__all__ = [
    "LoopWatch",
    "RuntimeConfig",
    "own_from_env",
    "problems_of",
    "runs",
    "runtime_from_env",
    "watch_running_loop",
]

_MIN_INTERVAL_S = 0.1
_Config = TypeVar("_Config")


@dataclass(frozen=True, slots=True, kw_only=True)
class RuntimeConfig:
    """What is measured of event loops and of the process, as `TelemetryConfig.runtime`.

    Attributes:
        interval: Seconds between two records.
        rename: The style of the records' names: `preserve`, `PascalCase` and so on.
        max_tasks: Tasks are not counted where there were more than this: counting takes the loop
            some milliseconds for ten thousand.

    Raises:
        ConfigError: A value is invalid; the message lists every problem.
    """

    interval: float = 30.0
    rename: str = "preserve"
    max_tasks: int = 2_000

    def __post_init__(self) -> None:
        problems = problems_of(self.interval, self.rename)
        if self.max_tasks < 0:
            problems.append(f"max_tasks: expected 0 or more, got {self.max_tasks!r}.")
        if problems:
            raise ConfigError("\n".join(problems))


def runtime_from_env(environ: Mapping[str, str] | None) -> RuntimeConfig | None:
    """Return what `RUNTIME_METRICS`, `RUNTIME_METRICS_INTERVAL` and `RUNTIME_METRICS_RENAME` say.

    Raises:
        ConfigError: One of them has an invalid value, the bridge on or off.
    """
    return own_from_env("RUNTIME_METRICS", RuntimeConfig, environ)


def own_from_env(
    variable: str, config: Callable[..., _Config], environ: Mapping[str, str] | None
) -> _Config | None:
    """Return the settings of records that telemetry makes of its own accord; None for off.

    Args:
        variable: Turns them on; with `_INTERVAL` and `_RENAME` behind it has the settings.
        config: Makes the settings.
        environ: Read instead of the process's environment.

    Raises:
        ConfigError: A variable has an invalid value, on or off.
    """
    try:
        enabled = read_bool(variable, environ)
    except ValueError as error:
        raise ConfigError(str(error)) from None
    settings: dict[str, Any] = {}
    if interval := read_text(f"{variable}_INTERVAL", environ):
        try:
            settings["interval"] = float(interval)
        except ValueError:
            msg = f"{variable}_INTERVAL: expected seconds, got {interval!r}."
            raise ConfigError(msg) from None
    if rename := read_text(f"{variable}_RENAME", environ):
        settings["rename"] = rename
    try:
        found = config(**settings)
    except ConfigError as error:
        lines = str(error).splitlines()
        raise ConfigError("\n".join(f"{variable}_{_upper(line)}" for line in lines)) from None
    return found if enabled else None


def problems_of(interval: float, rename: str) -> list[str]:
    """Return what is wrong with how often such records come, and with the style of their names."""
    problems = []
    if not interval >= _MIN_INTERVAL_S:
        problems.append(f"interval: expected {_MIN_INTERVAL_S} seconds or more, got {interval!r}.")
    if rename not in STYLES:
        problems.append(f"rename: expected one of {', '.join(STYLES)}, got {rename!r}.")
    return problems


def _upper(line: str) -> str:
    name, _, rest = line.partition(":")
    return f"{name.upper()}:{rest}"


class LoopWatch:
    """Watches a loop until it is closed, as a `with` block or by `close()`.

    Made by `TelemetryGuard.watch_loop`. Closing takes a last sample, so that no time is missing,
    and leaves the loop as it was.
    """

    def __init__(self, bridge: _Bridge | None, loop: Any) -> None:
        self._bridge = bridge
        self._loop = loop

    def close(self) -> None:
        """Emit the loop's last record and let go of it. Once; then a no-op."""
        bridge, self._bridge = self._bridge, None
        if bridge is not None:
            bridge.unwatch(self._loop)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class _Bridge(Protocol):
    def watch(self, loop: Any, name: str | None) -> LoopWatch: ...

    def unwatch(self, loop: Any) -> None: ...


_running: _Bridge | None = None


def runs(bridge: _Bridge | None) -> None:
    """Note which bridge runs in this process; None for none."""
    global _running  # noqa: PLW0603 -- one telemetry per process
    _running = bridge


def watch_running_loop() -> None:
    """Have the loop that runs on this thread watched, if a bridge runs. Never raises."""
    bridge = _running
    asyncio = sys.modules.get("asyncio")
    if bridge is None or asyncio is None:
        return
    try:
        bridge.watch(asyncio.get_running_loop(), None)
    except RuntimeError:  # no loop of asyncio's: another framework drives this thread
        return
