"""How often to look, so that looking takes no more than its share of the time."""

from __future__ import annotations

from typing import Final

LONGEST_S: Final = 5.0


class Pace:
    """Knows what the last look took; the first one does not count, since it imports too."""

    def __init__(self) -> None:
        self._took_s: float | None = None

    def note(self, took_s: float) -> None:
        """A look has taken so long."""
        self._took_s = 0.0 if self._took_s is None else took_s

    def pause_s(self, least_s: float, times: int) -> float:
        """How long to pause: `times` what a look takes, at least `least_s` and at most 5 s."""
        return max(least_s, min(times * (self._took_s or 0.0), LONGEST_S))
