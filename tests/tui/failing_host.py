"""Failures that a test decides, in place of those of the host."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable

from sockwatch.bind.failure import ExplainedFailure
from sockwatch.kernel.bpf.errors import BpfUnavailable


class PlayedWatch:
    """Calls the app's threads as the real one does; `fail` makes calls fail."""

    def __init__(self, refused: str = "") -> None:
        self.refused = refused
        self.opened = self.closed = 0
        self.lost = 0
        self._waiting: deque[ExplainedFailure] = deque()
        self._event = threading.Event()

    def open(self) -> PlayedWatch:
        if self.refused:
            raise BpfUnavailable("not-permitted", self.refused)
        self.opened += 1
        return self

    def fail(self, failures: Iterable[ExplainedFailure], lost: int = 0) -> None:
        self.lost += lost
        self._waiting.extend(failures)
        self._event.set()

    def wait(self, timeout_s: float | None = None) -> tuple[ExplainedFailure, ...]:
        self._event.wait(timeout_s)
        self._event.clear()
        found = []
        while self._waiting:
            found.append(self._waiting.popleft())
        return tuple(found)

    def wake(self) -> None:
        self._event.set()

    def close(self) -> None:
        self.closed += 1


def quiet() -> PlayedWatch:
    """Nothing fails."""
    return PlayedWatch()


Open = Callable[[], PlayedWatch]
