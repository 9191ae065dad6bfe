"""Which sources there are, and what each is told."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, fields
from importlib.util import find_spec
from typing import Any, Self

from tachograph._base.env import read_bool, read_text
from tachograph.errors import ConfigError

__all__ = ["VARIABLES", "SourcesConfig"]

_MOST = 10**9
_logger = logging.getLogger("tachograph")


@dataclass(frozen=True, slots=True, kw_only=True)
class SourcesConfig:
    """What is recorded beside steps.

    Attributes:
        cpu_profile: Stacks of threads that run.
        cpu_sample_hz: How often a second, at most 1,000.
        blocked_profile: Stacks of steps that do not run, at the same moments, and of whoever has
            the GIL that a loop waits for.
        watchdog: Stacks of a step that is open for too long, while it is.
        watchdog_threshold_ms: From when on it is; then again each time that has doubled.
        task_dump: Where tasks wait: before each step, and of all when a segment is sealed.
        task_dump_idle_threshold_ms: In the dial9 profile, of which waits that is told: the mean
            of the exponential distribution that decides by how long a task has waited.
        blocking_calls: Known blocking calls and imports inside steps, each with its line.
        blocking_calls_threshold_ms: From how long on a call is one; an import always is.
        gc: Collections, but for short ones of the youngest objects.
        gil: How long a thread waits for the GIL, tried out some ten times a second.
        executor: Jobs that loops give to threads and processes.
        task_hygiene: Tasks that end badly: with an exception, nobody asking for it, not at all.
        process_usage: What the process uses of the machine, and what its container allows it.
        process_usage_interval_ms: How often that is looked at.
        accept_queues: Connections that wait at this process's listening sockets; on Linux.
        accept_queues_interval_ms: How often that is looked at.
        memory_profile: A sample of what Python allocates, with stacks.
        memory_sample_rate_bytes: How many bytes lie between two samples, on average; 1 samples
            every allocation.
        memory_live_set: When sampled blocks are freed, so that what is left can be told.

    Raises:
        ConfigError: A value is invalid; the message lists every problem.
    """

    cpu_profile: bool = True
    cpu_sample_hz: int = 99
    blocked_profile: bool = True
    watchdog: bool = True
    watchdog_threshold_ms: int = 10
    task_dump: bool = True
    task_dump_idle_threshold_ms: int = 10
    blocking_calls: bool = True
    blocking_calls_threshold_ms: int = 1
    gc: bool = True
    gil: bool = True
    executor: bool = True
    task_hygiene: bool = True
    process_usage: bool = find_spec("resource") is not None
    process_usage_interval_ms: int = 100
    accept_queues: bool = False
    accept_queues_interval_ms: int = 400
    memory_profile: bool = False
    memory_sample_rate_bytes: int = 524_288
    memory_live_set: bool = False

    def __post_init__(self) -> None:
        problems = []
        for field in fields(self):
            value = getattr(self, field.name)
            if field.type == "bool":
                if not isinstance(value, bool):
                    problems.append(f"{field.name}: expected True or False, got {value!r}.")
                continue
            most = 1_000 if field.name == "cpu_sample_hz" else _MOST
            if not isinstance(value, int) or isinstance(value, bool) or not 0 < value <= most:
                expected = f"a whole number from 1 to {most:,}"
                problems.append(f"{field.name}: expected {expected}, got {value!r}.")
        if problems:
            raise ConfigError("\n".join(f"SourcesConfig.{problem}" for problem in problems))

    @classmethod
    def none(cls) -> Self:
        """Return a configuration in which every source is off."""
        return cls(**{field.name: False for field in fields(cls) if field.type == "bool"})

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None, **settings: Any) -> Self:
        """Return a configuration from `TACHO_*`, *settings* for what it leaves open.

        What is blank or invalid is as if it was not there; the latter is warned about.
        """
        found: dict[str, Any] = {}
        for field in fields(cls):
            name = VARIABLES[field.name]
            if field.type == "bool":
                value: Any = _bool(name, environ)
            else:
                value = _whole(name, environ, 1_000 if field.name == "cpu_sample_hz" else _MOST)
            if value is not None:
                found[field.name] = value
        return cls(**{**settings, **found})


VARIABLES: dict[str, str] = {
    "cpu_profile": "TACHO_CPU_PROFILE_ENABLED",
    "cpu_sample_hz": "TACHO_CPU_SAMPLE_HZ",
    "blocked_profile": "TACHO_SCHEDULE_PROFILE_ENABLED",
    "watchdog": "TACHO_WATCHDOG_ENABLED",
    "watchdog_threshold_ms": "TACHO_WATCHDOG_THRESHOLD_MS",
    "task_dump": "TACHO_TASK_DUMP_ENABLED",
    "task_dump_idle_threshold_ms": "TACHO_TASK_DUMP_IDLE_THRESHOLD_MS",
    "blocking_calls": "TACHO_BLOCKING_CALLS_ENABLED",
    "blocking_calls_threshold_ms": "TACHO_BLOCKING_CALLS_THRESHOLD_MS",
    "gc": "TACHO_GC_ENABLED",
    "gil": "TACHO_GIL_ENABLED",
    "executor": "TACHO_EXECUTOR_ENABLED",
    "task_hygiene": "TACHO_TASK_HYGIENE_ENABLED",
    "process_usage": "TACHO_PROCESS_RESOURCE_USAGE_ENABLED",
    "process_usage_interval_ms": "TACHO_PROCESS_RESOURCE_USAGE_SAMPLE_INTERVAL_MS",
    "accept_queues": "TACHO_SOCKET_ACCEPT_QUEUES_ENABLED",
    "accept_queues_interval_ms": "TACHO_SOCKET_ACCEPT_QUEUES_SAMPLE_INTERVAL_MS",
    "memory_profile": "TACHO_MEMORY_PROFILE_ENABLED",
    "memory_sample_rate_bytes": "TACHO_MEMORY_SAMPLE_RATE_BYTES",
    "memory_live_set": "TACHO_MEMORY_TRACK_LIVESET",
}
"""The variable of each setting."""


def _bool(name: str, environ: Mapping[str, str] | None) -> bool | None:
    try:
        return read_bool(name, environ)
    except ValueError:
        _warn(name, read_text(name, environ) or "", "true or false")
        return None


def _whole(name: str, environ: Mapping[str, str] | None, most: int) -> int | None:
    text = read_text(name, environ)
    if text is None:
        return None
    if text.isascii() and text.isdigit() and len(text) <= len(str(_MOST)) and 0 < int(text) <= most:
        return int(text)
    _warn(name, text, f"a whole number from 1 to {most:,}")
    return None


def _warn(name: str, value: str, expected: str) -> None:
    _logger.warning(
        "%s: expected %s, got %a; it is as if it was not set.", name, expected, value[:200]
    )
