"""pyroute2 runs an event loop of its own, which a thread that already runs one cannot have."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import TypeVar

Result = TypeVar("Result")


def outside_event_loop(function: Callable[[], Result]) -> Result:
    """What the function returns or raises; it runs in a thread if this one runs an event loop."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return function()
    results: list[Result] = []
    failures: list[BaseException] = []

    def work() -> None:
        try:
            results.append(function())
        except BaseException as error:  # noqa: BLE001 - raised again in the caller's thread
            failures.append(error)

    thread = threading.Thread(target=work, name="netlink")
    thread.start()
    thread.join()
    for failure in failures:
        raise failure
    return results[0]
