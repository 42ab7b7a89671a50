"""A duplicate that has become the last fd of a socket with SO_LINGER holds nobody up."""

from __future__ import annotations

import os
import signal
import socket
import struct
import time
from contextlib import suppress
from typing import Any

import pytest

from sockwatch.kernel.proc import pidfd
from sockwatch.kernel.proc.reuse_flags import read_options
from sockwatch.model import Holder
from tests.support.child import idle_child

LINGER_S = 600


def test_a_close_that_lingers(netns: None, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 8080)) as server:
        client = socket.create_connection(("127.0.0.1", 8080))
        accepted, _ = server.accept()
    accepted.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, LINGER_S))
    accepted.setblocking(False)
    with suppress(BlockingIOError):
        while True:
            accepted.send(bytes(65536))  # the client never reads: there is something to wait for
    inode, fd = os.fstat(accepted.fileno()).st_ino, accepted.fileno()
    with client, idle_child() as pid:
        os.close(accepted.detach())  # not the last one: the child has it
        killed: list[int] = []
        statx = pidfd._libc.statx

        def kill_first(*arguments: Any) -> Any:
            os.kill(pid, signal.SIGKILL)
            os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
            killed.append(pid)
            return statx(*arguments)

        monkeypatch.setattr(pidfd, "_libc", _With(pidfd._libc, statx=kill_first))
        started = time.monotonic()
        read_options([inode], {inode: (Holder(pid, fd, None),)})
        assert killed == [pid]
        assert time.monotonic() - started < LINGER_S / 10


class _With:
    """A library with one of its functions exchanged."""

    def __init__(self, library: Any, **exchanged: Any) -> None:
        self._library = library
        self._exchanged = exchanged

    def __getattr__(self, name: str) -> Any:
        return self._exchanged.get(name) or getattr(self._library, name)
