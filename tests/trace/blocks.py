"""Rows of the model as blocks, and blocks as rows: what tests write and read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import NamedTuple

from tachograph.trace import Decoder, Encoder, Event
from tachograph.trace.compact import (
    CALLBACK_NAME,
    NAME,
    SPAWN_NAME,
    Spawn,
    put_living,
    raw_checkpoint,
    raw_park,
    raw_spawn,
    raw_step,
    write_raw,
)
from tachograph.trace.delta import columns
from tachograph.trace.model import Checkpoint, Park, Step, StepFlag


class Born(NamedTuple):
    """A task's beginning with the text of its location; a group of callbacks has the flag."""

    lane: int
    time_ns: int
    task: int
    waker: int
    location: str | None
    flags: int = 0


def read(encoder: Encoder) -> list[Event]:
    """Return the events of the batch."""
    return Decoder(strict=True).read(encoder.take())


def write_steps(encoder: Encoder, steps: Iterable[Step], *, shift: int = 0) -> None:
    """Write a block for each run of steps of one lane."""
    for lane, rows in groupby(steps, key=lambda step: step.lane):
        write_raw(encoder, lane, map(raw_step, rows), shift=shift)


def write_parks(
    encoder: Encoder, parks: Iterable[Park], *, shift: int = 0, unknown: Sequence[str] = ()
) -> None:
    """Write a block for each run of parks of one lane."""
    for lane, rows in groupby(parks, key=lambda park: park.lane):
        write_raw(encoder, lane, map(raw_park, rows), shift=shift, unknown=unknown)


def write_checkpoints(encoder: Encoder, points: Iterable[Checkpoint], *, shift: int = 0) -> None:
    """Write a block for each run of checkpoints of one lane."""
    for lane, rows in groupby(points, key=lambda point: point.lane):
        write_raw(encoder, lane, map(raw_checkpoint, rows), shift=shift)


def write_names(encoder: Encoder, born: Iterable[Born]) -> dict[str, int]:
    """Write the names of *born*; return the numbers of their places."""
    numbers: dict[str, int] = {}
    for each in born:
        if each.location is None:
            continue
        if each.flags & StepFlag.CALLBACK:
            encoder.event(NAME, 0, CALLBACK_NAME, each.task, each.location)
        elif each.location not in numbers:
            numbers[each.location] = len(numbers) + 1
            encoder.event(NAME, 0, SPAWN_NAME, numbers[each.location], each.location)
    return numbers


def write_born(encoder: Encoder, born: Sequence[Born], *, shift: int = 0) -> None:
    """Write names, and a block for each run of spawns of one lane."""
    for lane, raw in _raw_spawns(encoder, born):
        write_raw(encoder, lane, raw, shift=shift)


def write_living(encoder: Encoder, born: Sequence[Born], *, shift: int = 0) -> None:
    """Write names, and a block of tasks that began before for each run of one lane."""
    for lane, raw in _raw_spawns(encoder, born):
        put_living(encoder, lane, shift, columns(b"".join(raw), shift)[2])


def _raw_spawns(encoder: Encoder, born: Sequence[Born]) -> Iterator[tuple[int, list[bytes]]]:
    numbers = write_names(encoder, born)
    tasks = [each for each in born if not each.flags & StepFlag.CALLBACK]
    for lane, rows in groupby(tasks, key=lambda each: each.lane):
        yield (
            lane,
            [
                raw_spawn(
                    Spawn(e.time_ns, e.task, e.waker, numbers.get(e.location or "", 0), e.flags)
                )
                for e in rows
            ],
        )
