"""How often the host is polled, whether the view is paused, and how the header says so."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from sockwatch.tui.poller import Poller
from sockwatch.tui.watched import FarHost

INTERVALS_S = (0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
_SLOW = 1.5  # the header says so where polls are further apart than this many intervals


class Pace:
    """The pace of the polls, or of `far`. `clock` returns seconds since any fixed time."""

    def __init__(
        self, poller: Poller, clock: Callable[[], float], far: FarHost | None = None
    ) -> None:
        self._far = far
        self._poller = poller
        self._clock = clock
        self._paused_at: float | None = None

    @property
    def paused(self) -> bool:
        """Whether the view is frozen; polling goes on."""
        return self._paused_at is not None

    def toggle_pause(self) -> None:
        """Freeze the view, or let it go on."""
        self._paused_at = self._clock() if self._paused_at is None else None

    def step(self, by: int) -> None:
        """Poll at the next longer (1) or shorter (-1) interval, if there is one."""
        here = self._poller.interval_s
        steps = [s for s in INTERVALS_S if (s > here if by > 0 else s < here)]
        if steps:
            self._poller.interval_s = min(steps) if by > 0 else max(steps)
            self._poller.poll_now()

    def text(self) -> tuple[str, str]:
        """The text for the header, and its style."""
        if self._paused_at is not None:
            return f"PAUSED {int(self._clock() - self._paused_at)}s ago", "-warn"
        if self._far is not None:
            return self._far.pace()
        late_s = self._poller.late_s(time.monotonic())
        if late_s >= 1:
            return f"late by {int(late_s)}s", "-bad"
        interval_s, period_s = self._poller.interval_s, self._poller.period_s
        if period_s > interval_s * _SLOW:
            return f"slow, every {math.ceil(period_s)}s", "-warn"
        return f"every {interval_s:g}s", "-dim"
