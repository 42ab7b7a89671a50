"""Read a socket behind another process's fd, by pidfd_getfd(2).

The duplicate keeps the socket open, so it lives for the few system calls in between and no longer.
"""

from __future__ import annotations

import ctypes
import os
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from sockwatch.kernel import libc
from sockwatch.model import ReuseFlags, SocketOptions

SYS_PIDFD_GETFD: Final = 438  # the same on every architecture
AT_EMPTY_PATH: Final = 0x1000
STATX_INO: Final = 0x100
STX_INO: Final = 32  # offset of stx_ino in struct statx, the same on every architecture
SIOCGSKNS: Final = 0x894C  # include/uapi/linux/sockios.h
SOURCE: Final = "pidfd_getfd"
OPTIONS: Final = (
    (socket.SOL_SOCKET, socket.SO_REUSEADDR),
    (socket.SOL_SOCKET, socket.SO_REUSEPORT),
    (socket.IPPROTO_IPV6, socket.IPV6_V6ONLY),  # refused for an IPv4 socket
)
KIND: Final = (
    (socket.SOL_SOCKET, socket.SO_DOMAIN),
    (socket.SOL_SOCKET, socket.SO_TYPE),
    (socket.SOL_SOCKET, socket.SO_PROTOCOL),
)
# No other thread of ours runs, and delays us, while we have the duplicate.
_libc = libc.holding_gil


class _TimeSlice(threading.local):
    """No other thread asks for the GIL until one has held it for sys.getswitchinterval(), 5 ms.

    So a thread that has just released and retaken it can hold a duplicate undisturbed.
    """

    began = -1.0

    def renew(self) -> None:
        """Release the GIL once if a quarter of this slice is over."""
        if time.monotonic() - self.began > sys.getswitchinterval() / 4:
            time.sleep(0)
            self.began = time.monotonic()


_slice = _TimeSlice()


@contextmanager
def open_pidfd(pid: int) -> Iterator[int]:
    """A pidfd of the process. Raises OSError (ESRCH: it has exited; ENOSYS: before Linux 5.3)."""
    pidfd = os.pidfd_open(pid)
    try:
        yield pidfd
    finally:
        os.close(pidfd)


def socket_options(pidfd: int, fd: int, inode: int) -> SocketOptions | None:
    """Both reuse flags, and IPV6_V6ONLY, of the socket with `inode` behind `fd` of the process.

    None if the fd refers to something else meanwhile. Raises OSError (EPERM: needs
    PTRACE_MODE_ATTACH_REALCREDS, see pidfd_getfd(2); EBADF: closed; ESRCH: the process has exited).
    """
    values = _getsockopt(pidfd, fd, inode, OPTIONS)
    if values is None or values[0] is None or values[1] is None:
        return None
    reuseaddr, reuseport, v6only = values
    flags = ReuseFlags(reuseaddr != 0, reuseport != 0, SOURCE)
    return SocketOptions(flags, None if v6only is None else v6only != 0)


def socket_kind(pidfd: int, fd: int, inode: int) -> tuple[int, int, int] | None:
    """(domain, type, protocol) of the same socket, or None. Raises OSError."""
    values = _getsockopt(pidfd, fd, inode, KIND)
    if values is None:
        return None
    domain, kind, protocol = values
    if domain is None or kind is None or protocol is None:
        return None
    return domain, kind, protocol


def socket_netns(pidfd: int, fd: int) -> int:
    """An fd of the network namespace of the socket behind `fd` of the process: ioctl SIOCGSKNS.

    Raises OSError, besides those of socket_options() EPERM without CAP_NET_ADMIN in that namespace,
    and ENOTSOCK.
    """
    kind, size = ctypes.c_int(0), ctypes.c_uint(4)
    _slice.renew()
    duplicate = libc.checked(_libc.syscall(SYS_PIDFD_GETFD, pidfd, fd, 0))
    netns = _libc.getsockopt(duplicate, *KIND[1], ctypes.byref(kind), ctypes.byref(size))
    if netns == 0:
        netns = _libc.ioctl(duplicate, SIOCGSKNS)
    number = ctypes.get_errno()
    libc.close(duplicate)
    if netns < 0:
        raise OSError(number, os.strerror(number))
    return int(netns)


def _getsockopt(
    pidfd: int, fd: int, inode: int, options: tuple[tuple[int, int], ...]
) -> list[int | None] | None:
    """getsockopt() for each; None in place of a number where it is refused. Raises OSError."""
    values = [ctypes.c_int(0) for _ in options]
    size = ctypes.c_uint(4)
    status = ctypes.create_string_buffer(256)
    at_size = ctypes.byref(size)
    wanted = [(*names, ctypes.byref(value)) for names, value in zip(options, values, strict=True)]
    _slice.renew()
    duplicate = libc.checked(_libc.syscall(SYS_PIDFD_GETFD, pidfd, fd, 0))
    failed = _libc.statx(duplicate, b"", AT_EMPTY_PATH, STATX_INO, status)
    results = [_libc.getsockopt(duplicate, *option, at_size) for option in wanted]
    # The last fd, if the process has closed its own meanwhile: SO_LINGER then holds us up.
    libc.close(duplicate)
    actual_inode = int.from_bytes(status.raw[STX_INO : STX_INO + 8], sys.byteorder)
    if failed or actual_inode != inode:
        return None
    return [None if result else value.value for result, value in zip(results, values, strict=True)]
