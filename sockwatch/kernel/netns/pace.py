"""How often a network namespace is looked into."""

from __future__ import annotations

from typing import Final

FIRST_S: Final = 1.0
LONGEST_S: Final = 5.0  # a snapshot that old is renewed
BOUND_EACH: Final = 30  # visits


class Pace:
    """That of one namespace: each look where something happens, else less and less often.

    Times are those of time.monotonic().
    """

    def __init__(self) -> None:
        self._visited_at: float | None = None
        self._pause_s = 0.0
        self._visits = 0

    @property
    def is_new(self) -> bool:
        """Whether it has not been visited yet."""
        return self._visited_at is None

    @property
    def asks_for_bound(self) -> bool:
        """Whether it is time for the sockets that no count of the kernel includes."""
        return self._visits % BOUND_EACH == 0

    def overdue_s(self, now: float) -> float:
        """For how long a visit has been due; less than 0 until it is."""
        if self._visited_at is None:
            return LONGEST_S
        return now - self._visited_at - self._pause_s

    def age_s(self, now: float) -> float:
        """How long ago the last visit was."""
        return LONGEST_S if self._visited_at is None else now - self._visited_at

    def visited(self, now: float, *, changed: bool) -> None:
        """Begin to wait for the next visit; `changed` by what this one has shown."""
        self._visited_at = now
        self._visits += 1
        self._pause_s = 0.0 if changed else min(max(FIRST_S, 2 * self._pause_s), LONGEST_S)
