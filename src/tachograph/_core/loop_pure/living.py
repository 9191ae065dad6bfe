"""Which tasks live, as far as the events tell that were read from the rings."""

from __future__ import annotations

import struct

from tachograph._core.loop_pure.lane import CANCELLED, EVENT, SPAWN, STEP

__all__ = ["Living"]

_ID = struct.Struct("=Q")


class Living:
    """Tasks that began and did not end.

    Args:
        most: How many are known at a time; those that find no room are counted in `untold`.
    """

    def __init__(self, most: int) -> None:
        if most < 0:
            msg = f"Living: expected a number of tasks, got {most}"
            raise ValueError(msg)
        self.untold = 0
        self._most = most
        self._spawns: dict[int, tuple[int, bytes]] = {}  # lane and event by id
        self._missed: set[int] = set()

    def __len__(self) -> int:
        """How many are known."""
        return len(self._spawns)

    def add(self, lane: int, raw: bytes) -> None:
        """Take note of the next events of a lane."""
        for at in range(0, len(raw) - EVENT.size + 1, EVENT.size):
            event = raw[at : at + EVENT.size]
            _, task, _, _, _, _, kind, flags, _ = EVENT.unpack(event)
            if kind == SPAWN and task:
                if len(self._spawns) < self._most:
                    self._spawns[task] = lane, event
                    self._missed.discard(task)
                else:
                    self.untold += 1
            elif kind == STEP and flags & CANCELLED:
                self._spawns.pop(task, None)

    def forget(self, ids: bytes) -> None:
        """Forget these tasks, as bytes of 64-bit numbers: they ended without a last step."""
        for (task,) in _ID.iter_unpack(ids):
            self._spawns.pop(task, None)

    def forget_lane(self, lane: int) -> None:
        """Forget the tasks of a lane."""
        self._spawns = {task: each for task, each in self._spawns.items() if each[0] != lane}

    def keep(self, ids: bytes) -> None:
        """Forget what is not among these ids, as bytes of 64-bit numbers, for the second time."""
        missed = self._spawns.keys() - {task for (task,) in _ID.iter_unpack(ids)}
        for task in missed & self._missed:
            del self._spawns[task]
        self._missed = missed - self._missed

    def spawns(self) -> dict[int, bytes]:
        """Return the spawns of all that live as raw events by lane, in the order of their ids."""
        found: dict[int, list[bytes]] = {}
        for lane, _, event in sorted(
            (each[0], task, each[1]) for task, each in self._spawns.items()
        ):
            found.setdefault(lane, []).append(event)
        return {lane: b"".join(events) for lane, events in found.items()}
