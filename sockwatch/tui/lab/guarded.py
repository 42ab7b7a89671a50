"""A stage that the poller may look at until the very moment it is closed."""

from __future__ import annotations

import threading

from sockwatch.lab.model import LabError
from sockwatch.lab.stage import Stage
from sockwatch.model import Snapshot


class GuardedStage:
    """Looks and the close never overlap: the one would read from what the other takes away."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self._lock = threading.Lock()
        self._closed = False

    def look(self, port: int | None) -> Snapshot:
        """Raises LabError, KernelError."""
        with self._lock:
            if self._closed:
                raise LabError("this stage is gone")
            return self.stage.look(port)

    def close(self) -> None:
        with self._lock:
            self._closed = True
            self.stage.close()
