"""A program that is started as a shell would start it, once we are ready for it."""

from __future__ import annotations

import array
import errno
import os
import signal
import socket
import struct
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Final

GO: Final = b"go"
_ERRNO = struct.Struct("@i")
# systemd names by its pid the process for which sockets, and its watchdog, are meant.
_NAMED_BY_PID: Final = ("LISTEN_PID", "WATCHDOG_PID", "SYSTEMD_EXEC_PID")
# Python ignores these; a program that is started by it should not.
_IGNORED_BY_PYTHON: Final = (signal.SIGPIPE, signal.SIGXFSZ)


class Program:
    """Forked at once, it waits for release(). It keeps our terminal, process group and fds."""

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        prepare: Callable[[], int | None] = lambda: None,
        signals: frozenset[signal.Signals] = frozenset(),
    ) -> None:
        """`prepare` runs in it, and may return an fd for us, or raise OSError. `signals` are those
        that we block and it does not.
        """
        self._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        own_pid = os.getpid()
        self.pid = os.fork()
        if self.pid == 0:
            try:
                self._channel.close()
                _become(command, environment, prepare, theirs, signals, own_pid)
            finally:
                os._exit(127)
        theirs.close()
        # While it waits: once it runs, nothing of ours may fail.
        self.pidfd = os.pidfd_open(self.pid)

    def prepared(self) -> int | None:
        """The fd that `prepare` has returned. Raises the OSError that it has raised."""
        data, ancillary, _, _ = self._channel.recvmsg(
            _ERRNO.size, socket.CMSG_SPACE(array.array("i").itemsize), socket.MSG_CMSG_CLOEXEC
        )
        if not data:
            raise OSError(errno.ECHILD, os.strerror(errno.ECHILD))
        _raise_if_failed(data)
        fds = array.array("i")
        for _, _, raw in ancillary:
            fds.frombytes(raw)
        return fds[0] if fds else None

    def release(self) -> None:
        """Let it start. Raises OSError if it cannot be started; wait for it then too."""
        with suppress(BrokenPipeError):  # it was killed
            self._channel.send(GO)
        data = self._channel.recv(_ERRNO.size)
        self._channel.close()
        if data:
            _raise_if_failed(data)


def _raise_if_failed(data: bytes) -> None:
    (number,) = _ERRNO.unpack(data)
    if number:
        raise OSError(number, os.strerror(number))


def _become(
    command: Sequence[str],
    environment: Mapping[str, str],
    prepare: Callable[[], int | None],
    channel: socket.socket,
    signals: frozenset[signal.Signals],
    parent_pid: int,
) -> None:
    for number in _IGNORED_BY_PYTHON:
        signal.signal(number, signal.SIG_DFL)
    try:
        fd = prepare()
    except OSError as error:
        channel.send(_ERRNO.pack(error.errno or errno.EIO))
    else:
        fds = [] if fd is None else [fd]
        socket.send_fds(channel, [_ERRNO.pack(0)], fds)
        if fd is not None:
            os.close(fd)
    if channel.recv(len(GO)) != GO:
        return
    environment = dict(environment)
    for name in _NAMED_BY_PID:
        if environment.get(name) == str(parent_pid):
            environment[name] = str(os.getpid())
    signal.pthread_sigmask(signal.SIG_UNBLOCK, signals)
    try:
        os.execvpe(command[0], list(command), environment)  # noqa: S606 - what it is for
    except OSError as error:
        channel.send(_ERRNO.pack(error.errno or errno.EIO))
    except ValueError:  # a NUL in an argument
        channel.send(_ERRNO.pack(errno.EINVAL))
