"""System calls that Python's os module lacks, each named after its page in section 2 of the manual.

They raise OSError with the kernel's errno.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
import sys
from collections.abc import Iterable
from typing import Any, Final

CLONE_NEWUSER: Final = 0x10000000
CLONE_NEWPID: Final = 0x20000000
CLONE_NEWNET: Final = 0x40000000
KCMP_FILES: Final = 2
_AT_EMPTY_PATH = 0x1000
_AT_STATX_DONT_SYNC = 0x4000
_STATX_INO = 0x100
_SIGSET_BYTES = 128  # sigset_t of the C library
# struct statx: stx_ino, stx_dev_major, stx_dev_minor
_STATX = struct.Struct("=32xQ96xII112x")
_SYS_KCMP: Final = {"x86_64": 312, "aarch64": 272}.get(os.uname().machine)

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long
# The same functions, called without giving the GIL away: no other Python thread runs meanwhile.
holding_gil: Final = ctypes.PyDLL(None, use_errno=True)


def setns(fd: int, kinds: int) -> None:
    """Move this thread into the namespace behind `fd`. 0 allows any kind."""
    checked(_libc.setns(fd, kinds))


def unshare(kinds: int) -> None:
    """Give this thread new namespaces, of the kinds in these CLONE_ bits."""
    checked(_libc.unshare(kinds))


def prctl(option: int, value: int) -> None:
    """Set an attribute of this process or thread."""
    checked(_libc.prctl(option, value, 0, 0, 0))


def kcmp(first_tid: int, second_tid: int, kind: int) -> int:
    """0 where both threads share the resource, such as KCMP_FILES; else 1 or 2, by their order."""
    if _SYS_KCMP is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    return syscall(_SYS_KCMP, first_tid, second_tid, kind, 0, 0)


def file_identity(fd: int) -> tuple[int, int]:
    """The device and inode number of what the fd is, by statx(2): without asking a server."""
    status = ctypes.create_string_buffer(_STATX.size)
    flags = _AT_EMPTY_PATH | _AT_STATX_DONT_SYNC
    checked(_libc.statx(fd, b"", flags, _STATX_INO, status))
    inode, major, minor = _STATX.unpack(status.raw)
    return os.makedev(major, minor), inode


def close(fd: int) -> None:
    """Close an fd, while other Python threads run: of a socket that lingers it may take long."""
    _libc.close(fd)


def open_by_handle_at(directory_fd: int, handle: ctypes.Array[ctypes.c_char], flags: int) -> int:
    """An fd of the file that a ``struct file_handle`` names."""
    return checked(_libc.open_by_handle_at(directory_fd, handle, flags))


def ioctl(fd: int, request: int, argument: Any) -> int:
    """Any request; `argument` is an int, or memory that ctypes made."""
    return checked(_libc.ioctl(fd, ctypes.c_ulong(request), argument))


def bind(fd: int, address: bytes) -> None:
    """Bind the socket to a raw sockaddr, as it stands in another process's memory."""
    checked(_libc.bind(fd, address, len(address)))


def listen(fd: int, backlog: int) -> None:
    """Let the socket listen; `backlog` is any int."""
    checked(_libc.listen(fd, backlog))


def signalfd(signals: Iterable[int]) -> int:
    """An fd, close-on-exec and non-blocking, from which signals are read."""
    mask = sum(1 << number - 1 for number in signals)
    raw = ctypes.create_string_buffer(mask.to_bytes(8, sys.byteorder), _SIGSET_BYTES)
    return checked(_libc.signalfd(-1, raw, os.O_CLOEXEC | os.O_NONBLOCK))


def syscall(number: int, *arguments: Any) -> int:
    """Any other system call; an argument is an int, or a pointer that ctypes made."""
    words = (ctypes.c_long(word) if isinstance(word, int) else word for word in arguments)
    return checked(_libc.syscall(ctypes.c_long(number), *words))


def checked(result: int) -> int:
    """The result of a call made through ctypes, unless it is negative: then OSError."""
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result
