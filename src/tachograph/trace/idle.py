"""Which waits of a task are told, where not all of them can be: long ones nearly always.

Each task counts its idle time down from an exponentially distributed number and is told each time
that runs out. The distribution has no memory, so a wait of length t is told with the probability
1 - exp(-t / mean), whatever was before it (dial9's policy for task dumps).
"""

from __future__ import annotations

import math

__all__ = ["IdleSampler"]

_MASK = 2**64 - 1


class IdleSampler:
    """Decides for each wait; equal seeds decide equally.

    Args:
        mean_ns: Mean of the distribution; 0 to take every wait.
        seed: Of the random numbers.
    """

    def __init__(self, mean_ns: int, seed: int = 0) -> None:
        self._mean_ns = mean_ns
        self._state = seed
        self._left: dict[int, float] = {}

    def takes(self, task: int, idle_ns: int) -> bool:
        """Return whether a wait of *task* is told."""
        if not self._mean_ns:
            return True
        left = self._left.get(task)
        if left is None:
            left = self._draw()
        left -= idle_ns
        taken = left <= 0
        self._left[task] = self._draw() if taken else left
        return taken

    def _draw(self) -> float:
        return -math.log(((self._next() >> 11) + 1) / 2**53) * self._mean_ns

    def _next(self) -> int:
        """Return the next number of SplitMix64."""
        self._state = z = self._state + 0x9E3779B97F4A7C15 & _MASK
        z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 & _MASK
        z = (z ^ z >> 27) * 0x94D049BB133111EB & _MASK
        return z ^ z >> 31
