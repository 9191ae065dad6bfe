"""What the recorder is told: by the program, or by `TACHO_*` variables.

A program's mistake raises, with everything that is wrong at once. A variable's mistake never does:
it is warned about, with its name and value, and the default holds; a service must start.
"""

from __future__ import annotations

import getpass
import logging
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self, TypeGuard

from tachograph._base.env import read_bool, read_text
from tachograph.errors import ConfigError
from tachograph.recorder.sources.config import SourcesConfig

__all__ = ["RecorderConfig", "is_enabled_by", "profiles"]

profiles = ("compact", "dial9")
_MIB = 2**20
_MOST_SECONDS = 10**9  # decades: clocks count in 64 bits
_MOST_DIGITS = 9
_logger = logging.getLogger("tachograph")


def _default_directory() -> Path:
    # With the user's name: a directory that another user made cannot be written.
    try:
        who = str(os.getuid())
    except AttributeError:  # Windows has no numbers for users
        who = getpass.getuser()
    return Path(tempfile.gettempdir()) / f"tachograph-{who}" / "traces"


def _program() -> str:
    name = Path(sys.argv[0]).stem if sys.argv else ""
    return "python" if not name.strip() or name.startswith("-") else name  # `-c`, `-m`


@dataclass(frozen=True, slots=True, kw_only=True)
class RecorderConfig:
    """What the recorder does in this process.

    Attributes:
        directory: Parent of one directory for each process, in which its segments lie.
        service: Name of the service, told in each segment.
        loop_name: Name of the loops, told in each segment.
        profile: `compact`, or `dial9` for segments that dial9's own viewer opens.
        rotation_s: Seconds after which a segment is sealed and the next begun.
        max_total_bytes: Size of all of this process's segments; the oldest go first.
        max_file_bytes: Size at which a segment is sealed early; None for a quarter of the total,
            at most 100 MiB, or 4 MiB in the dial9 profile, which is written from memory.
        ring_events: Events that each loop's ring holds until they are on file, a power of two.
        drain_interval_s: Seconds between two looks at the rings.
        instrument_asyncio: Whether steps, parks and wakes are recorded; without, the program's own
            events and spans are.
        track_tasks: Whether it is recorded where tasks are made and how they end.
        sched_wait_every: Of so many parks one looks how long the thread waited for a processor.
        recover_dead: Whether a start looks after directories of dead processes: recovers what they
            left, and lets their oldest segments go beyond `max_total_bytes`.
        smoke_test_at_start: Whether a smoke test is made when it has started, for the log only.
        sources: What is recorded beside steps.
        metadata: Further facts told in each segment.

    Raises:
        ConfigError: A value is invalid; the message lists every problem.
    """

    directory: Path = field(default_factory=_default_directory)
    service: str = field(default_factory=_program)
    loop_name: str = "main"
    profile: str = "compact"
    rotation_s: float = 60.0
    max_total_bytes: int = 1024 * _MIB
    max_file_bytes: int | None = None
    ring_events: int = 32_768
    drain_interval_s: float = 0.1
    instrument_asyncio: bool = True
    track_tasks: bool = True
    sched_wait_every: int = 10
    recover_dead: bool = True
    smoke_test_at_start: bool = False
    sources: SourcesConfig = field(default_factory=SourcesConfig)
    metadata: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        problems = [*self._wrong_names(), *self._wrong_numbers()]
        if problems:
            raise ConfigError("\n".join(f"RecorderConfig.{problem}" for problem in problems))
        object.__setattr__(self, "directory", Path(self.directory))

    def _wrong_numbers(self) -> Iterator[str]:
        for name in ("rotation_s", "drain_interval_s"):
            value = getattr(self, name)
            if not _is_number(value) or not 0 < value < _MOST_SECONDS:
                yield f"{name}: expected a number of seconds above 0, got {value!r}."
        total, most = self.max_total_bytes, self.max_file_bytes
        if not _is_whole(total) or total <= 0:
            yield f"max_total_bytes: expected a whole number above 0, got {total!r}."
        elif most is not None and not (_is_whole(most) and 0 < most <= total):
            yield (
                f"max_file_bytes: expected at most max_total_bytes ({total}) and above 0, "
                f"got {most!r}."
            )
        events = self.ring_events
        if not _is_whole(events) or not 64 <= events <= 2**24 or events & (events - 1):
            yield f"ring_events: expected a power of two from 64 to {2**24}, got {events!r}."
        every = self.sched_wait_every
        if not _is_whole(every) or not 0 < every < _MOST_SECONDS:
            yield f"sched_wait_every: expected a whole number above 0, got {every!r}."

    def _wrong_names(self) -> Iterator[str]:
        if self.profile not in profiles:
            yield f"profile: expected {' or '.join(profiles)}, got {self.profile!r}."
        for name in ("instrument_asyncio", "track_tasks", "recover_dead", "smoke_test_at_start"):
            value = getattr(self, name)
            if not isinstance(value, bool):
                yield f"{name}: expected True or False, got {value!r}."
        for name in ("service", "loop_name"):
            value = getattr(self, name)
            if not isinstance(value, str) or not value.strip():
                yield f"{name}: expected a name, got {value!r}."
        if not isinstance(self.directory, str | os.PathLike):
            yield f"directory: expected a path, got {self.directory!r}."
        if not isinstance(self.sources, SourcesConfig):
            yield f"sources: expected a SourcesConfig, got {self.sources!r:.80}."
        if not isinstance(self.metadata, Mapping) or not all(
            isinstance(text, str) for pair in self.metadata.items() for text in pair
        ):
            yield f"metadata: expected texts by texts, got {self.metadata!r:.80}."

    @property
    def file_bytes(self) -> int:
        """The size at which a segment is sealed early."""
        if self.max_file_bytes is not None:
            return self.max_file_bytes
        most = 4 * _MIB if self.profile == "dial9" else 100 * _MIB
        return max(1, min(most, self.max_total_bytes // 4))

    @classmethod
    def from_env_if_enabled(
        cls, environ: Mapping[str, str] | None = None, **settings: object
    ) -> Self | None:
        """Return as `from_env` does if `TACHO_ENABLED` is true, else None. Never raises."""
        return cls.from_env(environ, **settings) if is_enabled_by(environ) else None

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None, **settings: object) -> Self:
        """Return a configuration from the environment, *settings* for what it leaves open.

        Reads the `TACHO_*` variables that docs/recorder.md lists. What is blank or invalid is as if
        it was not there; the latter is warned about.
        """
        found: dict[str, object] = {}
        for name, key in (
            ("TACHO_TRACE_DIR", "directory"),
            ("TACHO_SERVICE_NAME", "service"),
            ("TACHO_RUNTIME_NAME", "loop_name"),
        ):
            if text := _text(name, environ):
                found[key] = Path(text) if key == "directory" else text
        profile = _text("TACHO_TRACE_PROFILE", environ)
        if profile in profiles:
            found["profile"] = profile
        elif profile is not None:
            _warn("TACHO_TRACE_PROFILE", profile, " or ".join(profiles))
        for name, key, unit in (
            ("TACHO_ROTATION_SECS", "rotation_s", 1),
            ("TACHO_SCHED_WAIT_SAMPLE_RATE", "sched_wait_every", 1),
            ("TACHO_MAX_DISK_USAGE_MB", "max_total_bytes", _MIB),
            ("TACHO_MAX_FILE_SIZE_MB", "max_file_bytes", _MIB),
        ):
            number = _positive(name, environ)
            if number is not None:
                found[key] = number * unit
        for name, key in (
            ("TACHO_ASYNCIO_INSTRUMENTATION_ENABLED", "instrument_asyncio"),
            ("TACHO_TASK_TRACKING_ENABLED", "track_tasks"),
            ("TACHO_GC_DEAD_NAMESPACES", "recover_dead"),
        ):
            switch = _switch(name, environ)
            if switch is not None:
                found[key] = switch
        given: dict[str, Any] = {**settings, **found}
        total, most = given.get("max_total_bytes", 1024 * _MIB), given.get("max_file_bytes")
        if found and _is_whole(most) and _is_whole(total) and most > total:
            if "max_file_bytes" in found:
                expected = f"at most the {total // _MIB} MiB of all files"
                _warn("TACHO_MAX_FILE_SIZE_MB", str(most // _MIB), expected)
            # Also where the program asks for larger files than the variable leaves room for.
            given["max_file_bytes"] = None
        given.setdefault("sources", SourcesConfig.from_env(environ))
        return cls(**given)


def is_enabled_by(environ: Mapping[str, str] | None = None) -> bool:
    """Return whether `TACHO_ENABLED` switches the recorder on. Never raises."""
    return bool(_switch("TACHO_ENABLED", environ))


def _switch(name: str, environ: Mapping[str, str] | None) -> bool | None:
    try:
        return read_bool(name, environ)
    except ValueError:
        _warn(name, read_text(name, environ) or "", "true or false")
        return None


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_whole(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def _text(name: str, environ: Mapping[str, str] | None) -> str | None:
    text = read_text(name, environ)
    if text is None:
        return None
    try:
        text.encode()
    except UnicodeEncodeError:  # bytes that are no text in this locale
        _warn(name, text, "text")
        return None
    return text


def _positive(name: str, environ: Mapping[str, str] | None) -> int | None:
    text = _text(name, environ)
    if text is None:
        return None
    if text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS and int(text) > 0:
        return int(text)
    _warn(name, text, "a whole number above 0")
    return None


def _warn(name: str, value: str, expected: str) -> None:
    warn: Callable[..., None] = _logger.warning
    # As ASCII: what is no text cannot be written into most logs.
    warn("%s: expected %s, got %a; it is as if it was not set.", name, expected, value[:200])
