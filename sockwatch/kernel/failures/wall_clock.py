"""The kernel's monotonic times as times of day, in the same order."""

from __future__ import annotations

import time
from typing import Final

# Smaller changes are our own delay between two clocks; a clock that was set makes larger ones.
STEP_S: Final = 0.01


class WallClock:
    """Keeps the distance between the two clocks until somebody sets one."""

    def __init__(self) -> None:
        self._distance_s = _distance_s()

    def at(self, monotonic_ns: int) -> float:
        """Seconds since the epoch."""
        return monotonic_ns / 1e9 + self._distance_s

    def follow(self) -> None:
        """Take over a clock that was set."""
        distance_s = _distance_s()
        if abs(distance_s - self._distance_s) > STEP_S:
            self._distance_s = distance_s


def _distance_s() -> float:
    """From the attempt in which the least time passed between the clocks."""
    attempts = []
    for _ in range(3):
        before = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
        now = time.time_ns()
        after = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
        attempts.append((after - before, now - (before + after) // 2))
    return min(attempts)[1] / 1e9
