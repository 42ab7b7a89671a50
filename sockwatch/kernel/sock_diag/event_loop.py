"""pyroute2 runs an event loop of its own, which a thread that already runs one cannot have."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Result = TypeVar("Result")


def outside_event_loop(function: Callable[[], Result]) -> Result:
    """What the function returns or raises; it runs in a thread if this one runs an event loop."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return function()
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(function).result()
