"""An end for what must not hang."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager


class Late(BaseException):
    """Nobody catches it by the way, as they would a TimeoutError, which is an OSError."""


@contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """Raise Late in the main thread when the time is over."""

    def late(*_: object) -> None:
        raise Late(f"still at it after {seconds} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
