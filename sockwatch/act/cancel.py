"""A way to stop what waits, from another thread or from a signal handler."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING

from sockwatch.readable import HasFd, readable

if TYPE_CHECKING:
    from typing_extensions import Self


class Cancellation:
    """Use it as a context manager; cancel() may be called from anywhere, more than once."""

    def __init__(self) -> None:
        self._fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._is_set = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def is_set(self) -> bool:
        """Whether somebody has cancelled."""
        return self._is_set

    def cancel(self) -> None:
        """Wake up who waits; does nothing once it is closed."""
        self._is_set = True
        if self._fd >= 0:
            os.eventfd_write(self._fd, 1)

    def fileno(self) -> int:
        """An fd that is readable once cancelled."""
        return self._fd

    def wait(self, timeout_s: float | None, *others: int | HasFd) -> bool:
        """Wait for one of the others to be readable; False after `timeout_s`, or if cancelled."""
        files: Iterable[int | HasFd] = (self._fd, *others)
        ready = readable(files, timeout_s)
        return bool(ready) and self._fd not in ready

    def close(self) -> None:
        """Close the fd."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
