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
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self, TypeGuard

from tachograph._base.env import read_bool, read_text
from tachograph.errors import ConfigError

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
    metadata: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        problems = []
        if self.profile not in profiles:
            problems.append(f"profile: expected {' or '.join(profiles)}, got {self.profile!r}.")
        for name in ("rotation_s", "drain_interval_s"):
            value = getattr(self, name)
            if not _is_number(value) or not 0 < value < _MOST_SECONDS:
                problems.append(f"{name}: expected a number of seconds above 0, got {value!r}.")
        total, most = self.max_total_bytes, self.max_file_bytes
        if not _is_whole(total) or total <= 0:
            problems.append(f"max_total_bytes: expected a whole number above 0, got {total!r}.")
        elif most is not None and not (_is_whole(most) and 0 < most <= total):
            problems.append(
                f"max_file_bytes: expected at most max_total_bytes ({total}) and above 0, "
                f"got {most!r}."
            )
        events = self.ring_events
        if not _is_whole(events) or not 64 <= events <= 2**24 or events & (events - 1):
            problems.append(
                f"ring_events: expected a power of two from 64 to {2**24}, got {events!r}."
            )
        for name in ("service", "loop_name"):
            value = getattr(self, name)
            if not isinstance(value, str) or not value.strip():
                problems.append(f"{name}: expected a name, got {value!r}.")
        if not isinstance(self.directory, str | os.PathLike):
            problems.append(f"directory: expected a path, got {self.directory!r}.")
        if not isinstance(self.metadata, Mapping) or not all(
            isinstance(text, str) for pair in self.metadata.items() for text in pair
        ):
            problems.append(f"metadata: expected texts by texts, got {self.metadata!r:.80}.")
        if problems:
            raise ConfigError("\n".join(f"RecorderConfig.{problem}" for problem in problems))
        object.__setattr__(self, "directory", Path(self.directory))

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

        Reads `TACHO_TRACE_DIR`, `TACHO_SERVICE_NAME`, `TACHO_RUNTIME_NAME`, `TACHO_TRACE_PROFILE`,
        `TACHO_ROTATION_SECS`, `TACHO_MAX_DISK_USAGE_MB` and `TACHO_MAX_FILE_SIZE_MB`. What is blank
        or invalid is as if it was not there; the latter is warned about.
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
            ("TACHO_MAX_DISK_USAGE_MB", "max_total_bytes", _MIB),
            ("TACHO_MAX_FILE_SIZE_MB", "max_file_bytes", _MIB),
        ):
            number = _positive(name, environ)
            if number is not None:
                found[key] = number * unit
        given: dict[str, Any] = {**settings, **found}
        total, most = given.get("max_total_bytes", 1024 * _MIB), given.get("max_file_bytes")
        if found and _is_whole(most) and _is_whole(total) and most > total:
            if "max_file_bytes" in found:
                expected = f"at most the {total // _MIB} MiB of all files"
                _warn("TACHO_MAX_FILE_SIZE_MB", str(most // _MIB), expected)
            # Also where the program asks for larger files than the variable leaves room for.
            given["max_file_bytes"] = None
        return cls(**given)


def is_enabled_by(environ: Mapping[str, str] | None = None) -> bool:
    """Return whether `TACHO_ENABLED` switches the recorder on. Never raises."""
    try:
        return bool(read_bool("TACHO_ENABLED", environ))
    except ValueError:
        _warn("TACHO_ENABLED", read_text("TACHO_ENABLED", environ) or "", "true or false")
        return False


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
