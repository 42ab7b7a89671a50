"""Waiting for a state of the kernel, a process or a screen: none tells that it has come."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

PATIENCE_S = 30.0
T = TypeVar("T")


def wait_until(
    ask: Callable[[], T | None],
    otherwise: Callable[[], object] = lambda: "the state did not come",
    pause_s: float = 0.0,
) -> T:
    """Ask until the answer is true, and return it; after 30 s `otherwise` says what is wrong."""
    end = time.monotonic() + PATIENCE_S
    while not (answer := ask()):
        if time.monotonic() > end:
            raise AssertionError(otherwise())
        time.sleep(pause_s)
    return answer
