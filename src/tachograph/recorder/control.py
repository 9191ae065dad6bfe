"""The one recorder of this process: started, asked, ended."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tachograph._base.forks import ForkLock
from tachograph.recorder.config import RecorderConfig, is_enabled_by
from tachograph.recorder.recording import Recorder
from tachograph.recorder.self_metrics import SelfMetrics
from tachograph.recorder.smoke import SmokeTest

__all__ = [
    "current",
    "dump",
    "is_enabled",
    "pause",
    "recorder_or_disabled",
    "resume",
    "smoke_test",
    "start",
    "start_from_env",
    "statistics",
]

_logger = logging.getLogger("tachograph")
_lock = ForkLock()
_disabled = Recorder()
_current = _disabled


def start(
    config: RecorderConfig | None = None,
    *,
    on_turn: Callable[[dict[str, Any]], None] | None = None,
    on_metrics: Callable[[SelfMetrics], None] | None = None,
) -> Recorder:
    """Begin to record; use what is returned as `with`, or close it.

    Loops that run already are recorded from their next step on.

    Args:
        config: What to do; None for the defaults.
        on_turn: Called some ten times a second, on the recorder's thread, with its statistics.
        on_metrics: Called there with records of what the recorder does: what it drained, wrote and
            compressed, how its segments stand. What either raises is counted, nothing else.

    Raises:
        OSError: The directory cannot be made or written; nothing was started.
        RuntimeError: This process has a recorder.
    """
    global _current  # noqa: PLW0603 -- one per process
    with _lock:
        if _current.directory is not None:
            msg = (
                "This process has a recorder: close it first, or use `recorder.current()` "
                "instead of starting another."
            )
            raise RuntimeError(msg)
        recorder = Recorder()
        recorder.open(config or RecorderConfig(), on_turn=on_turn, on_metrics=on_metrics)
        _current = recorder
        return recorder


def recorder_or_disabled(
    config: RecorderConfig | None = None,
    *,
    on_metrics: Callable[[SelfMetrics], None] | None = None,
) -> Recorder:
    """As `start`, but what goes wrong is logged and a disabled recorder returned. Never raises."""
    try:
        return start(config, on_metrics=on_metrics)
    except Exception as error:  # noqa: BLE001 -- the service starts, whatever is wrong here
        return _nothing(error)


def _nothing(error: Exception) -> Recorder:
    _logger.error("Nothing is recorded: %s", error)
    return _disabled


def start_from_env(environ: Mapping[str, str] | None = None, **settings: Any) -> Recorder:
    """Start if `TACHO_ENABLED` says so, configured by `TACHO_*`; else return a disabled one.

    Never raises. *settings* are fields of `RecorderConfig` for what no variable sets.
    """
    if not is_enabled_by(environ):
        return _disabled
    try:
        config = RecorderConfig.from_env(environ, **settings)
    except Exception as error:  # noqa: BLE001 -- as in `recorder_or_disabled`
        return _nothing(error)
    return recorder_or_disabled(config)


def current() -> Recorder:
    """Return this process's recorder; a disabled one if there is none."""
    return _current if _current.directory is not None else _disabled


def is_enabled() -> bool:
    """Return whether events are being recorded."""
    return current().is_enabled


def pause() -> None:
    """Record nothing until `resume`."""
    current().pause()


def resume() -> None:
    """Record again."""
    current().enable()


def smoke_test(*, deadline_s: float = 2.0, max_age_s: float = 10.0) -> SmokeTest:
    """Return whether this process is being recorded, as `Recorder.smoke_test` does; never raises.

    It may take as long as *deadline_s*: in a coroutine, use `asyncio.to_thread`.
    """
    return current().smoke_test(deadline_s=deadline_s, max_age_s=max_age_s)


def dump(reason: str = "") -> Path | None:
    """Seal everything recorded so far into a segment; return its file, None without a recorder."""
    return current().dump(reason)


def statistics() -> dict[str, Any]:
    """Return every count of the recorder."""
    return current().statistics()
