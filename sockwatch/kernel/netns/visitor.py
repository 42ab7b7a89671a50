"""A thread that enters network namespaces one after the other, and comes home from each."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

from sockwatch.kernel import libc
from sockwatch.kernel.netns.opening import OWN_NETNS
from sockwatch.model import KernelError

Answer = TypeVar("Answer")


class LostError(KernelError):
    """The thread could not come home, so that what it looks at next would be another namespace."""


class Visitor:
    """Runs functions in its thread; within them, visit() moves it. close() it.

    A thread that was lost ends, and another one takes its place.
    """

    def __init__(self) -> None:
        self._home = os.open(OWN_NETNS, os.O_RDONLY | os.O_CLOEXEC)
        self.home_inode = os.fstat(self._home).st_ino
        self._thread: ThreadPoolExecutor | None = None

    def run(self, function: Callable[[], Answer]) -> Answer:
        """What the function returns. Raises what it does, and KernelError for want of a thread."""
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, "netns")
        try:
            future = self._thread.submit(function)
        except RuntimeError as error:  # RLIMIT_NPROC, or pids.max of the cgroup
            raise KernelError(str(error), errno.EAGAIN) from error
        try:
            return future.result()
        except LostError:
            self._thread.shutdown()
            self._thread = None
            raise

    @contextmanager
    def visit(self, netns_fd: int) -> Iterator[None]:
        """Be in that namespace; call it in the thread. Raises OSError, and LostError at the end."""
        libc.setns(netns_fd, libc.CLONE_NEWNET)
        try:
            yield
        finally:
            try:
                libc.setns(self._home, libc.CLONE_NEWNET)
            except OSError as error:
                text = f"no way back: our network namespace cannot be entered: {error.strerror}"
                raise LostError(text, error.errno or 0) from error

    def close(self) -> None:
        """End the thread."""
        if self._thread is not None:
            self._thread.shutdown()
            self._thread = None
        os.close(self._home)
