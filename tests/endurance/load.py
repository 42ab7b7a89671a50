"""What a busy host does to itself: connections, processes and ports that come and go.

Run in the network namespace of the test: python -m tests.endurance.load MOST_TIME_WAITS. It prints
what it has done once a second, a line of JSON each. At a first line on stdin it stops and leaves
everything as it is, to be counted; it ends with its stdin, and all of its children with it.
"""

from __future__ import annotations

import json
import os
import select
import socket
import sys
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.support.due import Due
from tests.support.time_waits import CLIENTS_PER_ADDRESS, FIRST_CLIENT_PORT

CONNECTIONS_PER_S, PROCESSES_PER_S, PORTS_PER_S, REFUSALS_PER_S = 5_000, 200, 20, 2
ADDRESSES = 40  # with their ports more clients than TIME_WAITs can be there at once
SERVER_PORTS = range(10_000, 10_020)
PASSING_PORTS = range(43_000, 43_500)
ALIVE, OPEN, STAYING = 20, 50, 40  # processes, passing ports and open connections, at a time
ONE_IN_STAYS = 100
SLICE_S = 0.01
TELL_S = 1.0


@dataclass(slots=True)
class Done:
    """How often, since the start."""

    seconds: float = 0.0
    connections: int = 0
    processes: int = 0
    ports: int = 0
    refusals: int = 0


class Load:
    def __init__(self) -> None:
        self.done = Done()
        self._listeners = [_listen(port) for port in SERVER_PORTS]
        self._children: deque[int] = deque()
        self._passing: deque[socket.socket] = deque()
        self._staying: deque[tuple[socket.socket, socket.socket]] = deque()
        self._wait, self._end = os.pipe()  # the other end is ours alone: children end with us
        self._due = (
            Due(self._open_port, PORTS_PER_S),
            Due(self._start_process, PROCESSES_PER_S),
            Due(self._connect, CONNECTIONS_PER_S),
            Due(self._be_refused, REFUSALS_PER_S),
        )

    def work(self, seconds: float) -> None:
        """What is due `seconds` after the start."""
        for each in self._due:
            each.catch_up(seconds)
        self.done.seconds = seconds

    def end(self) -> None:
        os.close(self._end)
        for pid in self._children:
            os.waitpid(pid, 0)

    def _connect(self) -> None:
        """A connection that the server's side closes first and at once, or some time later."""
        done = self.done
        listener = self._listeners[done.connections % len(self._listeners)]
        block, offset = divmod(
            done.connections % (ADDRESSES * CLIENTS_PER_ADDRESS), CLIENTS_PER_ADDRESS
        )
        client = socket.socket()
        client.bind((f"127.1.0.{block}", FIRST_CLIENT_PORT + offset))
        client.connect(listener.getsockname())
        server = listener.accept()[0]
        done.connections += 1
        if done.connections % ONE_IN_STAYS == 0:
            self._staying.append((server, client))
            if len(self._staying) <= STAYING:
                return
            server, client = self._staying.popleft()
        server.close()
        client.close()

    def _start_process(self) -> None:
        """A child that holds every socket of ours, and the end of the oldest one."""
        pid = os.fork()
        if pid == 0:
            try:
                os.close(self._end)
                os.read(self._wait, 1)
            finally:
                os._exit(0)
        self._children.append(pid)
        self.done.processes += 1
        if len(self._children) > ALIVE:
            oldest = self._children.popleft()
            os.kill(oldest, 9)
            os.waitpid(oldest, 0)

    def _open_port(self) -> None:
        """A TCP listener or a UDP socket, and the end of the oldest one."""
        port = PASSING_PORTS[self.done.ports % len(PASSING_PORTS)]
        if self.done.ports % 2:
            sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            sock.bind(("127.0.0.1", port))
        else:
            sock = _listen(port)
        self._passing.append(sock)
        self.done.ports += 1
        if len(self._passing) > OPEN:
            self._passing.popleft().close()

    def _be_refused(self) -> None:
        """A bind() that fails: the port has a listener."""
        with socket.socket() as sock, suppress(OSError):
            sock.bind(self._listeners[self.done.refusals % len(self._listeners)].getsockname())
        self.done.refusals += 1


def _listen(port: int) -> socket.socket:
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(("127.0.0.1", port))
    sock.listen(512)
    return sock


@contextmanager
def _load() -> Iterator[Load]:
    load = Load()
    try:
        yield load
    finally:
        load.end()


def _said(timeout_s: float) -> bool:
    return bool(select.select([0], [], [], timeout_s)[0])


def _tell(load: Load, *, stopped: bool) -> None:
    print(json.dumps(asdict(load.done) | {"stopped": stopped}), flush=True)


def main() -> None:
    settings = Path("/proc/sys/net/ipv4")
    (settings / "tcp_max_tw_buckets").write_text(sys.argv[1])
    # Else a late acknowledgement that crosses the last one ends in a reset of the TIME_WAIT.
    (settings / "tcp_rfc1337").write_text("1")
    with _load() as load:
        started = told = time.monotonic()
        while not _said(SLICE_S):
            now = time.monotonic()
            load.work(now - started)
            if now - told >= TELL_S:
                told = now
                _tell(load, stopped=False)
        if sys.stdin.readline():
            _tell(load, stopped=True)
            sys.stdin.read()


if __name__ == "__main__":
    main()
