"""Does the recorder record? A test that a readiness probe may ask as often as it likes.

A probe event is put in and has to come out on file within a deadline; the rest is read from counts.
Nothing here raises, and nothing changes what is recorded but for the probe.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from tachograph.recorder.events import EventKind

__all__ = ["PROBE", "SmokeCheck", "SmokeTest", "State", "checks_of", "say", "wait_until"]

State = Literal["ok", "degraded", "disabled", "failed"]

PROBE = EventKind("tacho:Probe", (("number", "int", False),), "Put in by a smoke test.")
_MOST_WAITING = 16
_logger = logging.getLogger("tachograph")


@dataclass(frozen=True, slots=True)
class SmokeCheck:
    """What a smoke test found of one part.

    Attributes:
        name: The part.
        state: `ok`; `degraded`, works with something missing; `disabled`, because somebody wants it
            so; or `failed`.
        detail: What is missing or wrong, or what was seen.
    """

    name: str
    state: State
    detail: str = ""


@dataclass(frozen=True, slots=True)
class SmokeTest:
    """What a smoke test found.

    Attributes:
        checks: Of each part.
    """

    checks: tuple[SmokeCheck, ...]

    @property
    def healthy(self) -> bool:
        """Whether nothing failed."""
        return all(check.state != "failed" for check in self.checks)


def checks_of(counts: Mapping[str, Any], problems: Mapping[str, str]) -> Iterator[SmokeCheck]:
    """Yield what counts and problems tell of each part but the recording itself."""
    yield _steps(counts, problems)
    yield _check(
        "last moments",
        "a killed process's are recovered",
        {"rings that lie in memory and are lost with the process": counts["rings_in_memory"]},
    )
    yield _check(
        "losses",
        "nothing was lost",
        {
            "events that found no room in a ring": counts["events_dropped"],
            "own events that found no room": counts["own_events_dropped"],
            "events that could not be written": counts["events_lost"] + counts["own_events_lost"],
            "loops without a lane": counts["lanes_refused"],
        },
    )
    stopped = counts["write_stopped_no_space"]
    if stopped:
        yield SmokeCheck("segments", "failed", "no room on the disk: nothing is written at present")
    else:
        what = {
            "errors of the system": counts["io_errors"],
            "segments that somebody took away": counts["segments_abandoned"],
        }
        yield _check("segments", f"{counts['segments_sealed']} sealed", what)
    done = counts["processed"] + counts["vanished"] + counts["failed"]
    waiting = counts["segments_sealed"] - done
    what = {
        "segments stayed as they were": counts["failed"],
        "segments wait": waiting if waiting > _MOST_WAITING else 0,
    }
    yield _check("compression", f"{counts['processed']} compressed", what)


def _steps(counts: Mapping[str, Any], problems: Mapping[str, str]) -> SmokeCheck:
    if not counts["instruments_asyncio"]:
        return SmokeCheck("steps", "disabled", "the configuration leaves asyncio alone")
    if "steps" in problems:
        return SmokeCheck("steps", "failed", problems["steps"])
    missing = [f"{part}: {reason}" for part, reason in problems.items()]
    if counts["hook_errors"]:
        missing.append(f"{counts['hook_errors']} errors in hooks")
    if missing:
        return SmokeCheck("steps", "degraded", "; ".join(missing))
    return SmokeCheck("steps", "ok", f"{counts['events_recorded']} events of loops")


def _check(name: str, fine: str, wrong: Mapping[str, int]) -> SmokeCheck:
    found = [f"{count} {what}" for what, count in wrong.items() if count]
    return SmokeCheck(name, "degraded" if found else "ok", "; ".join(found) or fine)


def wait_until(is_so: Callable[[], bool], deadline_s: float) -> bool:
    """Wait until something is so; tell whether it was in time."""
    end = time.monotonic() + deadline_s
    while not is_so():
        if time.monotonic() >= end:
            return False
        time.sleep(0.005)
    return True


def say(test: SmokeTest) -> None:
    """Log what a test at the start found: that all is well in one line, else what is not."""
    for check in test.checks:
        if check.state in ("failed", "degraded"):
            level = logging.ERROR if check.state == "failed" else logging.WARNING
            _logger.log(level, "The recorder's %s: %s, %s", check.name, check.state, check.detail)
    if test.healthy:
        _logger.info("The recorder's smoke test found nothing that failed.")
