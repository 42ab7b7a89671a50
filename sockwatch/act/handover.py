"""A port that is held bound until a program takes it over."""

from __future__ import annotations

import errno
import os
import re
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from sockwatch.kernel.proc.proc_file import read_proc_file
from sockwatch.kernel.seccomp.calls import Call
from sockwatch.kernel.seccomp.notifications import Listener, Notification
from sockwatch.units import endpoint

_BUFFERS = (socket.SO_RCVBUF, socket.SO_SNDBUF)  # the kernel doubles what it is told: socket(7)
# What a program sets on its socket before bind(), and expects of it afterwards.
_OPTIONS: Final = (
    *((socket.SOL_SOCKET, option) for option in _BUFFERS),
    (socket.SOL_SOCKET, socket.SO_REUSEADDR),
    (socket.SOL_SOCKET, socket.SO_REUSEPORT),
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE),
    (socket.SOL_SOCKET, socket.SO_BROADCAST),
    (socket.SOL_SOCKET, socket.SO_PRIORITY),
    (socket.IPPROTO_IP, socket.IP_TOS),
    (socket.IPPROTO_IPV6, socket.IPV6_TCLASS),
)
_OF_TCP: Final = (
    (socket.IPPROTO_TCP, socket.TCP_NODELAY),
    (socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT),
)


def bind_to_hold(
    sock: socket.socket, address: tuple[str, int], may_pass: Callable[[], bool]
) -> None:
    """Bind the socket so that nobody else can; it does not listen.

    `may_pass` is asked if the port is in use: whether TIME_WAITs alone are in the way. With
    SO_REUSEADDR they are not; nobody passes us, since it is cleared at once. Raises OSError.
    """
    try:
        sock.bind(address)
    except OSError as error:
        if error.errno != errno.EADDRINUSE or not may_pass():
            raise
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(address)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)


class Handover:
    """Gives the socket to the first bind() that asks for the same."""

    def __init__(self, sock: socket.socket, say: Callable[[str], object]) -> None:
        """`say` is told in a line what becomes of it."""
        self._sock: socket.socket | None = sock
        self._say = say

    def offer(self, listener: Listener, notification: Notification, call: Call) -> bool:
        """Whether the socket has taken the place of the caller's.

        One that cannot, but would be in the way, is closed: the kernel then makes the call.
        """
        held = self._sock
        if held is None or call.name != "bind" or call.port != held.getsockname()[1]:
            return False
        if call.sock.type != held.type:
            return False
        if difference := _difference(held, call):
            self.give_up(difference)
            return False
        _copy_options(call.sock, held)
        flags = _flags(call)
        os.set_blocking(held.fileno(), not flags & os.O_NONBLOCK)
        try:
            listener.replace_fd(notification.id, held.fileno(), call.fd, flags & os.O_CLOEXEC)
        except OSError as error:
            if error.errno != errno.ENOENT:  # ENOENT: a signal has ended the call
                self.give_up(f"the kernel does not replace the program's fd: {error.strerror}")
            return False
        self._say(f"{_name(held)} is handed over to the program")
        self.release()
        return True

    def give_up(self, why: str) -> None:
        """Release it for the program to bind, and say why it is not handed over."""
        if self._sock is not None:
            self._say(f"{_name(self._sock)} is released, and not handed over: {why}")
            self.release()

    def release(self) -> None:
        """Close our fd of it."""
        if self._sock is not None:
            self._sock.close()
            self._sock = None


def _name(sock: socket.socket) -> str:
    host, port, *_ = sock.getsockname()
    return endpoint(host, port)


def _difference(held: socket.socket, call: Call) -> str:
    """Why the program's socket cannot be replaced; empty if it can."""
    sock = call.sock
    if sock.family != held.family:
        return f"the program's socket is of {'IPv6' if sock.family == socket.AF_INET6 else 'IPv4'}"
    if sock.proto != held.proto:
        return "the program's socket is of MPTCP"
    start, end = (4, 8) if held.family == socket.AF_INET else (8, 24)
    host = held.getsockname()[0].partition("%")[0]
    if call.address[start:end] != socket.inet_pton(held.family, host):
        return "the program binds another address"
    if (
        held.family == socket.AF_INET6
        and len({each.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY) for each in (held, sock)})
        != 1
    ):
        return "the program's socket has another IPV6_V6ONLY"
    if call.is_bound:
        return "the program's socket is bound already"
    return ""


def _copy_options(source: socket.socket, target: socket.socket) -> None:
    options = _OPTIONS + (_OF_TCP if source.type == socket.SOCK_STREAM else ())
    for level, option in options:
        with suppress(OSError):
            value = source.getsockopt(level, option)
            if value == target.getsockopt(level, option):
                continue
            is_buffer = level == socket.SOL_SOCKET and option in _BUFFERS
            target.setsockopt(level, option, value // 2 if is_buffer else value)


def _flags(call: Call) -> int:
    """Of the program's fd: O_NONBLOCK, O_CLOEXEC; proc_pid_fdinfo(5)."""
    text = read_proc_file(f"/proc/{call.task.tid}/fdinfo/{call.fd}", 4096)
    found = re.search(rb"^flags:\s*([0-7]+)$", text, re.MULTILINE)
    return int(found[1], 8) if found else 0
