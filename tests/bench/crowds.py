"""Sockets and processes by the thousand, in the network namespace of the calling thread."""

from __future__ import annotations

import _socket
import errno
import os
import resource
import select
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

from tests.support.child import idle_child
from tests.support.time_waits import CLIENTS_PER_ADDRESS, FIRST_CLIENT_PORT, FIRST_PORT

WORKERS = min(4, os.cpu_count() or 1)
BATCH = 64
FRESH_S = 40.0  # a TIME_WAIT lasts for 60
CROWD_PORT = 42_000
PATIENCE_S = 5.0
OWN_FILES = 100  # of a process that holds many connections
IP_BIND_ADDRESS_NO_PORT = 24


class TimeWaits:
    """`count` TIME_WAITs on `ports` ports of 127.0.0.1, made anew before they expire."""

    def __init__(self, count: int, ports: int, stack: ExitStack) -> None:
        self.count = count
        self.took_s = 0.0
        self._oldest_at = -FRESH_S
        settings = Path("/proc/sys/net/ipv4")
        (settings / "tcp_max_tw_buckets").write_text(str(2 * count + 1000))
        # Else a late acknowledgement that crosses the last one ends in a reset of the TIME_WAIT.
        (settings / "tcp_rfc1337").write_text("1")
        self._listeners = [
            stack.enter_context(listener("127.0.0.1", port))
            for port in range(FIRST_PORT, FIRST_PORT + ports)
        ]

    def refresh(self) -> None:
        """Make them if the oldest will not last; a connection anew takes over its TIME_WAIT."""
        started = time.monotonic()
        if started - self._oldest_at < FRESH_S - self.took_s:
            return
        share, rest = divmod(self.count, WORKERS)
        workers = []
        first = 0
        for number in range(WORKERS):
            amount = share + (number < rest)
            workers.append(_fork(partial(self._fill, first, amount)))
            first += amount
        _wait_for(workers)
        self.took_s = time.monotonic() - started
        self._oldest_at = started

    def _fill(self, first: int, count: int) -> None:
        targets = [(each, each.getsockname()) for each in self._listeners]
        for begin in range(first, first + count, BATCH):
            clients = []
            numbers = range(begin, min(begin + BATCH, first + count))
            for number in numbers:
                client = _socket.socket(socket.AF_INET, socket.SOCK_STREAM)
                _bind(client, _client_address(number))
                client.connect(targets[number % len(targets)][1])
                clients.append(client)
            for number in numbers:
                os.close(targets[number % len(targets)][0]._accept()[0])  # type: ignore[attr-defined]
            for client in clients:
                client.recv(1)  # the server's side closes first, whichever worker has accepted it
                client.close()


def bound_client(number: int) -> socket.socket:
    """A client that chooses its port itself, as some proxies do; `number` is its own."""
    client = socket.socket()
    client.bind(_client_address(number))
    return client


def plain_client(address: str) -> socket.socket:
    """A client at the address whose port connect() will choose."""
    client = socket.socket()
    client.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
    client.bind((address, 0))
    return client


@contextmanager
def established(
    connections: int,
    first_port: int = FIRST_PORT,
    client: Callable[[int], socket.socket] = bound_client,
) -> Iterator[None]:
    """Both ends of so many connections to listeners, held by as few processes as rlimits allow."""
    with ExitStack() as stack:
        # Listeners stay below the ephemeral ports, as those of real servers do.
        for port, numbers in enumerate(shares(connections), first_port):
            stack.enter_context(idle_child(partial(_connect, port, numbers, client)))
        yield


def _connect(port: int, numbers: Sequence[int], client: Callable[[int], socket.socket]) -> None:
    open_many_files()
    server = listener("127.0.0.1", port)
    for number in numbers:
        here = client(number)
        here.connect(server.getsockname())
        here.detach()
        server.accept()[0].detach()
    server.detach()


def shares(connections: int) -> list[range]:
    """Numbers of connections that one process can hold both ends of."""
    most = (resource.getrlimit(resource.RLIMIT_NOFILE)[1] - OWN_FILES) // 2
    firsts = range(0, connections, most)
    return [range(first, min(first + most, connections)) for first in firsts]


def open_many_files() -> None:
    """Let this process have as many fds as it may."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


@contextmanager
def processes(
    count: int, fds: int, listeners: int, prepare: Callable[[], None] = lambda: None
) -> Iterator[None]:
    """So many processes with so many fds each, and the listeners spread over them.

    Each has called `prepare` first.
    """
    ready, tell = os.pipe()

    def start() -> None:
        os.close(ready)
        wait, _ = os.pipe()  # its other end goes with this process, and with it the others
        for number in range(count):
            mine = range(number * listeners // count, (number + 1) * listeners // count)
            if os.fork() == 0:
                try:
                    prepare()
                    _hold([CROWD_PORT + each for each in mine], fds, wait, tell)
                finally:
                    os.write(tell, b"0")  # nobody reads it any more after a b"1"
                    os._exit(0)

    with open(ready, "rb", 0) as said, open(tell, "wb", 0) as ours:
        try:
            with idle_child(start):
                ours.close()
                for _ in range(count):
                    if said.read(1) != b"1":
                        raise RuntimeError("a process of the crowd could not prepare")
                yield
        finally:
            ours.close()
            while said.read(1):  # until the last one has gone
                pass


def _hold(ports: Sequence[int], fds: int, wait: int, tell: int) -> None:
    low, high = sorted((wait, tell))
    for first, last in ((3, low), (low + 1, high), (high + 1, 1 << 20)):
        os.closerange(first, last)
    kept = [listener("127.0.0.1", port) for port in ports]
    for _ in range(fds - len(kept) - 5):  # 0 to 2, and both pipes
        os.open(os.devnull, os.O_RDONLY)
    os.write(tell, b"1")
    os.read(wait, 1)


def listener(address: str, port: int) -> socket.socket:
    """A server's socket on which many may knock at once."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind((address, port))
    sock.listen(4096)
    return sock


def _client_address(number: int) -> tuple[str, int]:
    block, offset = divmod(number, CLIENTS_PER_ADDRESS)
    return f"127.1.{block >> 8}.{block & 255}", FIRST_CLIENT_PORT + offset


def _bind(client: _socket.socket, address: tuple[str, int]) -> None:
    """The connection before, on the same port, may still await its last acknowledgement."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            client.bind(address)
        except OSError as error:
            if error.errno != errno.EADDRINUSE or time.monotonic() > deadline:
                raise
        else:
            return


def _wait_for(workers: list[int]) -> None:
    """Until all have ended well. They need each other: the end of one is the end of all."""
    running = {os.pidfd_open(pid): pid for pid in workers}
    failed = False
    while running:
        for pidfd in select.select([*running], [], [])[0]:
            os.close(pidfd)
            if os.waitpid(running.pop(pidfd), 0)[1]:
                failed = True
                for other in running.values():
                    os.kill(other, signal.SIGKILL)
    if failed:
        raise RuntimeError("a worker could not make its TIME_WAITs")


def _fork(work: Callable[[], None]) -> int:
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        work()
        code = 0
    except BaseException as error:  # noqa: BLE001 - the parent is told by the code
        print(repr(error), file=sys.stderr)
    finally:
        os._exit(code)
