"""Something that is to be done so many times a second."""

from __future__ import annotations

from collections.abc import Callable

AT_ONCE_S = 0.1  # what is made up for at once; what is more behind is given up as not reached


class Due:
    """Calls `act` as often as the time that has passed demands."""

    def __init__(self, act: Callable[[], None], per_s: int) -> None:
        self._act = act
        self._per_s = per_s
        self._begun = 0  # done, or given up

    def catch_up(self, seconds: float) -> None:
        """Do what is due `seconds` after the start."""
        missing = int(seconds * self._per_s) - self._begun
        self._begun += missing
        for _ in range(min(missing, int(self._per_s * AT_ONCE_S) + 1)):
            self._act()
