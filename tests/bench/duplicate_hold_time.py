"""How long a duplicated fd lives: from the return of pidfd_getfd() to that of close().

Run: .venv/bin/python -m tests.bench.duplicate_hold_time [TIMES]
"""

from __future__ import annotations

import os
import socket
import statistics
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from sockwatch.kernel import libc
from sockwatch.kernel.proc import pidfd
from tests.support.child import idle_child
from tests.support.netns import fresh_netns


class Stopwatch:
    """Stands before the C library and notes when a duplicate came and went."""

    def __init__(self, library: Any) -> None:
        self._library = library
        self._since_ns = 0
        self.held_ns: list[int] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._library, name)

    def syscall(self, *arguments: Any) -> int:
        duplicate: int = self._library.syscall(*arguments)
        self._since_ns = time.perf_counter_ns()
        return duplicate

    def close_by(self, close: Callable[[int], None]) -> Callable[[int], None]:
        """A close() that notes how long the duplicate was there."""

        def timed(fd: int) -> None:
            close(fd)
            self.held_ns.append(time.perf_counter_ns() - self._since_ns)

        return timed


def measure(label: str, times: int, pid: int, sock: socket.socket) -> None:
    inode = os.fstat(sock.fileno()).st_ino
    library, close = pidfd._libc, libc.close
    pidfd._libc = stopwatch = Stopwatch(library)  # type: ignore[assignment]
    libc.close = stopwatch.close_by(close)  # type: ignore[assignment]
    try:
        with pidfd.open_pidfd(pid) as target:
            for _ in range(times):
                assert pidfd.socket_options(target, sock.fileno(), inode) is not None
    finally:
        pidfd._libc, libc.close = library, close
    held = sorted(stopwatch.held_ns)
    print(
        f"{label:28} {times} times: median {statistics.median(held) / 1000:.1f} us,"
        f" 99.9 % {held[int(len(held) * 0.999)] / 1000:.1f} us, worst {held[-1] / 1000:.1f} us"
    )


def main() -> None:
    times = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    with fresh_netns(), socket.create_server(("127.0.0.1", 8080)) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
        with idle_child() as pid:
            measure("alone", times, pid, sock)
            stop = threading.Event()

            def work() -> None:
                while not stop.is_set():
                    sum(range(1000))

            busy = threading.Thread(target=work)
            busy.start()
            measure("with a busy Python thread", times, pid, sock)
            stop.set()
            busy.join()


if __name__ == "__main__":
    main()
