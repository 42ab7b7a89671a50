"""A look at a socket behind another process's fd, by pidfd_getfd(2).

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

SYS_PIDFD_GETFD: Final = 438  # the same on every architecture
AT_EMPTY_PATH: Final = 0x1000
STATX_INO: Final = 0x100
STX_INO: Final = 32  # offset of stx_ino in struct statx, the same on every architecture
# PyDLL keeps the GIL: no other thread runs, and holds us up, while we have the duplicate.
_libc = ctypes.PyDLL(None, use_errno=True)


class _TimeSlice(threading.local):
    """Nobody asks a thread for the GIL until it has had it for sys.getswitchinterval(), 5 ms.

    So a thread that has just given it away and got it back can hold a duplicate in peace.
    """

    began = -1.0

    def renew(self) -> None:
        """Give the GIL away once if a good part of this slice has gone."""
        if time.monotonic() - self.began > sys.getswitchinterval() / 4:
            time.sleep(0)
            self.began = time.monotonic()


_slice = _TimeSlice()


@contextmanager
def open_pidfd(pid: int) -> Iterator[int]:
    """A pidfd of the process. Raises OSError (ESRCH: gone, EMFILE, ENOSYS before linux 5.3)."""
    pidfd = os.pidfd_open(pid)
    try:
        yield pidfd
    finally:
        os.close(pidfd)


def reuse_options(pidfd: int, fd: int, inode: int) -> tuple[bool, bool] | None:
    """(SO_REUSEADDR, SO_REUSEPORT) of the socket with `inode` behind `fd` of the process.

    None if the fd has become something else since it was seen. Raises OSError (EPERM: needs
    PTRACE_MODE_ATTACH_REALCREDS, see pidfd_getfd(2); EBADF: closed; ESRCH: the process is gone).
    """
    reuseaddr, reuseport, size = ctypes.c_int(0), ctypes.c_int(0), ctypes.c_uint(4)
    status = ctypes.create_string_buffer(256)
    at_addr, at_port, at_size = map(ctypes.byref, (reuseaddr, reuseport, size))
    _slice.renew()
    duplicate = _libc.syscall(SYS_PIDFD_GETFD, pidfd, fd, 0)
    if duplicate < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    failed = (
        _libc.statx(duplicate, b"", AT_EMPTY_PATH, STATX_INO, status)
        or _libc.getsockopt(duplicate, socket.SOL_SOCKET, socket.SO_REUSEADDR, at_addr, at_size)
        or _libc.getsockopt(duplicate, socket.SOL_SOCKET, socket.SO_REUSEPORT, at_port, at_size)
    )
    _libc.close(duplicate)
    if failed or int.from_bytes(status.raw[STX_INO : STX_INO + 8], sys.byteorder) != inode:
        return None
    return reuseaddr.value != 0, reuseport.value != 0
