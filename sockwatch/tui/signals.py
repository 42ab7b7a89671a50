"""Signals that end the app, after the terminal is restored."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable

EXIT_SIGNALS = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)


def exit_on_signals(leave: Callable[[int], None]) -> None:
    """Call `leave` with 128+n for signal n, from the running event loop."""
    loop = asyncio.get_running_loop()
    for number in EXIT_SIGNALS:
        loop.add_signal_handler(number, leave, 128 + number)
