"""The children of a forking test server: workers, or one for each connection."""

from __future__ import annotations

import fcntl
import os
import signal
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from sockwatch.lab.calls import SystemCalls

SHUTDOWN_FD: Final = 101  # the reading end of a pipe that is closed when the supervisor exits
FIRST_PIPE_FD: Final = 200
CHILD_PROGRAM: Final = "cat"  # copies the shutdown pipe, which stays empty, and exits at its end


class Children:
    """`_pipes` has, by pid, a pipe that ends when the child has closed its connection.

    None of them was waited for, so no pid can belong to another process.
    """

    def __init__(self, calls: SystemCalls) -> None:
        self._calls = calls
        self._pipes: dict[int, int] = {}

    def fork(self, serve: Callable[[], None], *, execs: bool = False) -> None:
        """Let a child `serve`, then exit or run another program."""
        ends = os.pipe()
        reader, writer = (fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, FIRST_PIPE_FD) for fd in ends)
        for fd in ends:
            os.close(fd)
        pid = os.fork()
        if pid:
            os.close(writer)
            self._pipes[pid] = reader
            self._calls.report(call="fork()", child=pid)
            return
        try:
            signal.set_wakeup_fd(-1)
            serve()
            os.close(writer)
            if execs:
                self._calls.report(call=f"execlp({CHILD_PROGRAM!r}, {CHILD_PROGRAM!r}, NULL)")
                os.dup2(SHUTDOWN_FD, 0)
                os.execlp(CHILD_PROGRAM, CHILD_PROGRAM)  # noqa: S606 - that is what it shows
        finally:
            os._exit(0)

    def close_connections(self) -> None:
        """Have every child close its connection, and wait until it has."""
        for pid, pipe in self._pipes.items():
            os.kill(pid, signal.SIGTERM)
            os.read(pipe, 1)
        self.reap()

    def reap(self) -> None:
        """Wait for the children that have exited."""
        with suppress(ChildProcessError):
            while pid := os.waitpid(-1, os.WNOHANG)[0]:
                os.close(self._pipes.pop(pid))
