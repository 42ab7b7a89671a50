"""Every process that a command has started, told by a variable that all of them inherit."""

from __future__ import annotations

import os
import uuid
from pathlib import Path

from tests.support.waiting import wait_until

VARIABLE = "SOCKWATCH_TEST_MARK"


class Mark:
    """Start the command with `environment`; then `processes` are its and its descendants'."""

    def __init__(self) -> None:
        self._value = uuid.uuid4().hex

    @property
    def environment(self) -> dict[str, str]:
        """What the command has to be started with."""
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
        """Wait until the command and its descendants have exited."""
        wait_until(lambda: not self.processes(), lambda: f"still there: {self.processes()}")
