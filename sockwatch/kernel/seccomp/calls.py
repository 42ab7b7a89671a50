"""A bind() or listen() of another process, made by us on a duplicate of its fd.

The duplicate is the same socket, so the kernel's answer to us is its answer to the program, with
the exact errno. What could be judged otherwise raises Doubt, and is left to the kernel.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, Literal, NamedTuple

from sockwatch.kernel import libc
from sockwatch.kernel.proc.pidfd import SYS_PIDFD_GETFD, open_pidfd
from sockwatch.kernel.seccomp.filter import call_numbers
from sockwatch.kernel.seccomp.notifications import Listener, Notification, c_int
from sockwatch.kernel.seccomp.tasks import (
    GONE,
    UNREADABLE,
    Doubt,
    Task,
    check_low_port,
    check_place,
    read_memory,
    read_task,
)

MPTCP: Final = 262
FAMILIES: Final = (socket.AF_INET, socket.AF_INET6)
PROTOCOLS: Final = (socket.IPPROTO_TCP, MPTCP, socket.IPPROTO_UDP)
NOT_OURS: Final = ""  # the reason for calls that nobody expects to be seen
_MOST_ADDRESS = 128  # sizeof(struct sockaddr_storage): the kernel refuses more
_SOCKET = "socket:["


class Call(NamedTuple):
    """The call, with a duplicate of its socket. `address` is the raw sockaddr of bind().

    `backlog` is what listen() was told.
    """

    name: Literal["bind", "listen"]
    task: Task
    fd: int
    sock: socket.socket
    inode: int
    address: bytes
    backlog: int

    @property
    def port(self) -> int:
        """The port that bind() asks for; 0 if it leaves the choice to the kernel."""
        return int.from_bytes(self.address[2:4], "big")

    @property
    def is_bound(self) -> bool:
        """Whether the socket has a port."""
        return bool(self.sock.getsockname()[1])

    def make(self) -> int:
        """Make the call; the errno, 0 for success."""
        fd = self.sock.fileno()
        try:
            if self.name == "bind":
                libc.bind(fd, self.address)
            else:
                libc.listen(fd, self.backlog)
        except OSError as error:
            return error.errno or 0
        return 0


@contextmanager
def opened(listener: Listener, notification: Notification) -> Iterator[Call]:
    """The call of a TCP or UDP socket, while its thread waits.

    Raises Doubt for what is to be left to the kernel: another kind of socket, a thread that cannot
    be read, one whose rights are not ours.
    """
    if not notification.tid:
        raise Doubt(UNREADABLE)
    task = read_task(notification.tid)
    fd, second, third = notification.arguments[:3]
    inode = _socket_inode(task.tid, c_int(fd))
    is_bind = notification.number == call_numbers().bind
    address = _address(task.tid, second, c_int(third)) if is_bind else b""
    try:
        check_place(task)
    except Doubt:
        if is_bind and int.from_bytes(address[:2], sys.byteorder) not in FAMILIES:
            raise Doubt(NOT_OURS) from None
        raise
    with _duplicate(task.pid, c_int(fd), inode) as sock:
        # Only now are all of these known to be the caller's, and not those of a later thread.
        if not listener.is_valid(notification.id):
            raise Doubt(GONE)
        if sock.family not in FAMILIES or sock.proto not in PROTOCOLS:
            raise Doubt(NOT_OURS)
        name: Literal["bind", "listen"] = "bind" if is_bind else "listen"
        call = Call(name, task, c_int(fd), sock, inode, address, c_int(second))
        if is_bind:
            check_low_port(task, call.port)
        yield call


def _address(tid: int, pointer: int, length: int) -> bytes:
    if not 2 <= length <= _MOST_ADDRESS:
        raise Doubt(NOT_OURS)
    return read_memory(tid, pointer, length)


@contextmanager
def _duplicate(pid: int, fd: int, inode: int) -> Iterator[socket.socket]:
    """The socket behind the fd. A thread may have fds that are not those of its process."""
    try:
        with open_pidfd(pid) as pidfd:
            duplicate = libc.syscall(SYS_PIDFD_GETFD, pidfd, fd, 0)
    except OSError:
        raise Doubt(UNREADABLE) from None
    try:
        if os.fstat(duplicate).st_ino != inode:
            raise Doubt(UNREADABLE)
        sock = socket.socket(fileno=duplicate)
        try:
            yield sock
        finally:
            sock.detach()
    finally:
        libc.close(duplicate)


def _socket_inode(tid: int, fd: int) -> int:
    try:
        link = os.readlink(f"/proc/{tid}/fd/{fd}")
    except PermissionError:
        raise Doubt(UNREADABLE) from None
    except OSError:
        raise Doubt(NOT_OURS) from None  # no such fd: the kernel says EBADF
    if not link.startswith(_SOCKET):
        raise Doubt(NOT_OURS)
    return int(link[len(_SOCKET) : -1])
