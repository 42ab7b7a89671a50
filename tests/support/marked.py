"""Every process that a command has started, told by a variable that all of them inherit."""

from __future__ import annotations

import os
import time
import uuid
from pathlib import Path

VARIABLE = "SOCKWATCH_TEST_MARK"
DEADLINE_S = 15.0


class Mark:
    """Start the command with `environment`; then `processes` are its and its descendants'."""

    def __init__(self) -> None:
        self._value = uuid.uuid4().hex

    @property
    def environment(self) -> dict[str, str]:
        return {VARIABLE: self._value}

    def processes(self) -> dict[int, str]:
        """pid and name of those that run; a zombie does not."""
        wanted = f"{VARIABLE}={self._value}".encode()
        found = {}
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit() or int(entry.name) == os.getpid():
                continue
            try:
                if wanted in (entry / "environ").read_bytes().split(b"\0"):
                    found[int(entry.name)] = (entry / "comm").read_text().strip()
            except OSError:
                continue
        return found

    def wait_until_gone(self) -> None:
        """Raises TimeoutError with what is left."""
        deadline = time.monotonic() + DEADLINE_S
        while left := self.processes():
            if time.monotonic() > deadline:
                raise TimeoutError(f"still there: {left}")
            os.sched_yield()
