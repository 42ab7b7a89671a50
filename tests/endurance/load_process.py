"""The load in a process of its own, and what it says it has done."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
from types import TracebackType
from typing import TYPE_CHECKING

from tests.endurance.load import Done
from tests.tui.terminal import ROOT

if TYPE_CHECKING:
    from typing_extensions import Self


class LoadProcess:
    """Works while it is in the context, until stop(). In the namespace of the calling thread."""

    def __init__(self, most_time_waits: int) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.endurance.load", str(most_time_waits)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT,
        )  # fmt: skip
        self._rest = b""
        self.done = Done()
        self.stopped = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.communicate()

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def stop(self) -> None:
        """Have it stop soon, and leave all of its sockets and processes as they are."""
        assert self._process.stdin is not None
        os.write(self._process.stdin.fileno(), b"stop\n")

    def read(self) -> None:
        """Take what it has said so far."""
        assert self._process.stdout is not None
        fd = self._process.stdout.fileno()
        while select.select([fd], [], [], 0)[0] and (data := os.read(fd, 65536)):
            *lines, self._rest = (self._rest + data).split(b"\n")
            for line in lines:
                said = json.loads(line)
                self.stopped = said.pop("stopped")
                self.done = Done(**said)
