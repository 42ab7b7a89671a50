"""A test that watches the whole host runs while no other test of this checkout does."""

from __future__ import annotations

import fcntl
import os


class HostLock:
    """A lock that tests of several workers share, or that one of them holds alone."""

    def __init__(self) -> None:
        # Any two files that all workers can open.
        self._queue = os.open(__file__, os.O_RDONLY | os.O_CLOEXEC)
        self._host = os.open(os.path.dirname(__file__), os.O_RDONLY | os.O_CLOEXEC)
        self._held = False

    def acquire(self, *, alone: bool) -> None:
        """Wait until no test has the host to itself and, if `alone`, until no test runs at all.

        Does nothing if this worker has kept the lock.
        """
        if self._held:
            return
        fcntl.flock(self._queue, fcntl.LOCK_EX)  # or the shared locks of others might never end
        try:
            fcntl.flock(self._host, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        finally:
            fcntl.flock(self._queue, fcntl.LOCK_UN)
        self._held = True

    def release(self) -> None:
        """Let the other tests go on."""
        # Closing would not do: children that a test has forked have the same open file.
        fcntl.flock(self._host, fcntl.LOCK_UN)
        self._held = False
