"""What a process in the sandbox runs: a test server and client that its channel commands.

It is made by fork() from the supervisor, so that another user's server needs no interpreter of its
own. It reports every system call on sockets with the kernel's answer.
"""

from __future__ import annotations

import os
import signal
import socket
from typing import Any, Final, NoReturn

from sockwatch.lab import wire
from sockwatch.lab.calls import SystemCalls, name_of
from sockwatch.lab.children import SHUTDOWN_FD
from sockwatch.lab.client import Client
from sockwatch.lab.namespaces import name_process
from sockwatch.lab.server import Server
from sockwatch.readable import readable

CHANNEL_FD: Final = 100  # out of the way, so that the first socket is 3 as in a textbook
WAKE_FD: Final = 102


def run(channel_fd: int, shutdown_fd: int, name: str) -> NoReturn:
    """Serve the channel until it is closed; never returns.

    `shutdown_fd` is the reading end of a pipe that is closed when the supervisor exits.
    """
    name_process(name)
    nowhere = os.open(os.devnull, os.O_RDWR)
    os.dup2(channel_fd, CHANNEL_FD, inheritable=False)
    os.dup2(shutdown_fd, SHUTDOWN_FD, inheritable=False)
    for fd in range(3):
        os.dup2(nowhere, fd)
    os.closerange(3, CHANNEL_FD)
    os.closerange(SHUTDOWN_FD + 1, os.sysconf("SC_OPEN_MAX"))
    _wake_for_children()
    calls = SystemCalls(socket.socket(fileno=CHANNEL_FD))
    try:
        _serve(calls)
    except BaseException as error:  # noqa: BLE001 - the parent's code must not run on here
        calls.report(broken=f"{type(error).__name__}: {error}")
    finally:
        os._exit(0)


def _wake_for_children() -> None:
    """Make WAKE_FD readable whenever a child exits."""
    reader, writer = os.pipe()
    os.dup2(reader, WAKE_FD, inheritable=False)
    os.dup2(writer, WAKE_FD + 1, inheritable=False)
    os.close(reader)
    os.close(writer)
    for fd in (WAKE_FD, WAKE_FD + 1):
        os.set_blocking(fd, False)
    signal.set_wakeup_fd(WAKE_FD + 1)
    signal.signal(signal.SIGCHLD, lambda *_: None)


def _serve(calls: SystemCalls) -> None:
    server, client = Server(calls), Client(calls)
    calls.report(hello=True)
    while True:
        waited: list[Any] = [WAKE_FD, calls.channel, *server.waited]
        ready = readable(waited)
        if WAKE_FD in ready:
            os.read(WAKE_FD, 4096)
            server.children.reap()
        # What has come is dealt with before a command, which may be about it.
        for sock in ready:
            if sock not in (WAKE_FD, calls.channel):
                server.handle(sock)
        if calls.channel in ready:
            command, _, _ = wire.receive(calls.channel)
            if command is None:
                return
            method = f"do_{command.pop('do')}"
            subject = server if hasattr(server, method) else client
            try:
                result = getattr(subject, method)(**command)
            except OSError as error:
                result = {"outcome": name_of(error)}
            calls.report(done=True, **(result or {"outcome": "ok"}))
