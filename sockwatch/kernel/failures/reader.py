"""Every bind() and listen() of the host that fails, as it happens."""

from __future__ import annotations

import os
import select
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from sockwatch.kernel.failures.decoder import FailureDecoder
from sockwatch.kernel.failures.tracepoint import RING_BYTES, FailureTracepoint

if TYPE_CHECKING:
    from typing_extensions import Self

    from sockwatch.failure import Failure
    from sockwatch.kernel.bpf.layout import Layout

BATCH: Final = 1000  # failures handed out at once
REPEATS_EVERY_S: Final = 1.0


class FailureReader:
    """Watches from its creation until close(), or until this process exits.

    `descendants_of` is as in FailureTracepoint. Use it from one thread, except for wake(). Raises
    BpfUnavailable where watching is refused.
    """

    def __init__(
        self,
        layout: Layout | None = None,
        ring_bytes: int = RING_BYTES,
        *,
        descendants_of: int | None = None,
    ) -> None:
        self._decoder = FailureDecoder()
        self._tracepoint = FailureTracepoint(layout, ring_bytes, descendants_of=descendants_of)
        self._took_repeats_at = 0.0
        self._wake_fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._epoll = select.epoll()
        self._epoll.register(self._tracepoint.fd, select.EPOLLIN)
        self._epoll.register(self._wake_fd, select.EPOLLIN)

    @property
    def lost(self) -> int:
        """How many failures did not fit into the kernel's ring, or had an invalid record."""
        return self._tracepoint.lost + self._tracepoint.odd_records

    def wait(self, timeout_s: float | None = None) -> tuple[Failure, ...]:
        """The next failures, oldest first; empty after the timeout or a wake().

        None means no timeout.
        """
        until = None if timeout_s is None else time.monotonic() + timeout_s
        while True:
            remaining_s = None if until is None else max(0.0, until - time.monotonic())
            ready = self._epoll.poll(self._poll_s(remaining_s))
            if any(fd == self._wake_fd for fd, _ in ready):
                with suppress(BlockingIOError):
                    os.eventfd_read(self._wake_fd)
                return self.take()
            failures = self.take()
            if failures or (until is not None and time.monotonic() >= until):
                return failures

    def _poll_s(self, remaining_s: float | None) -> float:
        """How long to poll: counted repeats do not make the ring readable."""
        if not self._tracepoint.has_bursts:
            return -1 if remaining_s is None else remaining_s
        return REPEATS_EVERY_S if remaining_s is None else min(remaining_s, REPEATS_EVERY_S)

    def take(self) -> tuple[Failure, ...]:
        """The failures so far, without waiting; counted repeats come once a second."""
        rows = self._tracepoint.take(BATCH)
        if time.monotonic() - self._took_repeats_at >= REPEATS_EVERY_S:
            # Such a row is one of the repeats itself.
            rows += [
                row._replace(repeats=row.repeats - 1) for row in self._tracepoint.take_repeats()
            ]
            self._took_repeats_at = time.monotonic()
        if not rows:
            return ()
        return self._decoder.failures(rows)

    def wake(self) -> None:
        """Make wait() return; may be called from any thread."""
        os.eventfd_write(self._wake_fd, 1)

    def close(self) -> None:
        """Detach; nothing stays in the kernel."""
        self._epoll.close()
        self._tracepoint.close()
        os.close(self._wake_fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
