"""Masters and workers that keep a socket, and what is left of them once the master is killed."""

from __future__ import annotations

import os
import signal
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from tests.bind.asking import PORT
from tests.support.libc import check, libc

PR_SET_CHILD_SUBREAPER = 36
REPORT = struct.Struct("?i")
Act = Callable[["Family"], None]
_kept: list[Any] = []


class Family:
    """Processes that the test started; each reports once it has done its part."""

    def __init__(self) -> None:
        self._reports, self._reporter = os.pipe()

    def process(self, act: Act, *, is_master: bool = False) -> int:
        """The pid of a new child that does this, reports, and then idles."""
        pid = os.fork()
        if pid == 0:
            try:
                act(self)
                os.write(self._reporter, REPORT.pack(not is_master, os.getpid()))
                while True:
                    signal.pause()
            finally:
                os._exit(1)
        return pid

    def pids(self, count: int) -> list[int]:
        """Of so many reports, the master's first."""
        reports = [REPORT.unpack(os.read(self._reports, REPORT.size)) for _ in range(count)]
        return [pid for _, pid in sorted(reports)]


def listen(kind: socket.SocketKind = socket.SOCK_STREAM, *options: int) -> None:
    """Keep a server socket for good."""
    sock = socket.socket(socket.AF_INET, kind)
    for option in options:
        sock.setsockopt(socket.SOL_SOCKET, option, 1)
    sock.bind(("127.0.0.1", PORT))
    if kind == socket.SOCK_STREAM:
        sock.listen()
    _kept.append(sock)


def idle(_: Family) -> None:
    """What a worker does that has its socket already."""


def begins_a_session(_: Family) -> None:
    """As a service manager starts a master."""
    os.setsid()


def is_a_job(_: Family) -> None:
    """As a shell starts a master: in a group of its own, within the shell's session."""
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT):
        signal.signal(number, signal.SIG_DFL)
    os.setsid()
    if os.fork():
        os._exit(0)  # the terminal has been closed since
    os.setpgid(0, 0)


def ignores_hangups(family: Family) -> None:
    """As nohup(1) has it."""
    is_a_job(family)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)


def is_a_daemon(_: Family) -> None:
    """As daemon(7) says of those of old."""
    os.setsid()
    if os.fork():
        os._exit(0)


@contextmanager
def family(
    starts: Act, *workers: Act, opens: Callable[[], None] = listen, below: int = 0
) -> Iterator[list[int]]:
    """The pids of a master, its workers and so many `below` these; we reap what it leaves."""
    check(libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0))
    members = Family()

    def master(_: Family) -> None:
        starts(members)
        opens()
        for worker in workers:
            members.process(worker)

    started = members.process(master, is_master=True)
    pids = members.pids(1 + len(workers) + below)
    if started not in pids:  # it has only launched the master
        os.waitpid(started, 0)
    try:
        yield pids
    finally:
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for pid in pids:
            with suppress(ChildProcessError):
                os.waitpid(pid, 0)
        check(libc.prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0))


def kill(pid: int) -> None:
    """End it, and return once its children are ours."""
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
