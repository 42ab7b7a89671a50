"""The kernel's tick, in which its timers count."""

from __future__ import annotations

import functools
import time

_CLOCK_MONOTONIC_COARSE = 6  # include/uapi/linux/time.h


@functools.cache
def ticks_per_second() -> int:
    """CONFIG_HZ: the coarse clock moves once a tick, so its resolution is one; clock_getres(2)."""
    return round(1 / time.clock_getres(_CLOCK_MONOTONIC_COARSE))
