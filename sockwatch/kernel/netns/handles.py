"""Namespaces by their id, which the kernel has since Linux 6.18 and never gives again."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import struct
from collections.abc import Iterator
from typing import Final

from sockwatch.kernel import libc

# include/uapi/linux/nsfs.h, exportfs.h, fcntl.h
NS_GET_ID: Final = 0x8008B70D
FILEID_NSFS: Final = 0xF1
FD_NSFS_ROOT: Final = -10003
_HANDLE = struct.Struct("=IiQII")  # struct file_handle, and struct nsfs_file_handle in it
_HANDLE_BYTES = 16
_SYS_LISTNS = {"x86_64": 470, "aarch64": 470}.get(os.uname().machine)
_REQUEST = struct.Struct("=IIQIIQ")  # struct ns_id_req
_PAGE = 512  # ids


def namespace_id(fd: int) -> int | None:
    """The id of the namespace behind the fd; None where the kernel has none."""
    answer = bytearray(8)
    try:
        fcntl.ioctl(fd, NS_GET_ID, answer)
    except OSError:
        return None
    return int.from_bytes(answer, "little")


def open_by_id(identity: int, inode: int) -> int:
    """An fd of the network namespace with that id and number; see open_by_handle_at(2).

    The number 0 stands for any, since Linux 6.19. Raises OSError: ESTALE where there is none, and
    since 6.19 for one that only sockets keep.
    """
    kind = libc.CLONE_NEWNET if inode else 0
    handle = _HANDLE.pack(_HANDLE_BYTES, FILEID_NSFS, identity, kind, inode)
    buffer = ctypes.create_string_buffer(handle, len(handle))
    return libc.open_by_handle_at(FD_NSFS_ROOT, buffer, os.O_RDONLY | os.O_CLOEXEC)


def list_ids() -> Iterator[int]:
    """The ids of the network namespaces that listns(2) shows this user, from Linux 6.19 on.

    Those that only sockets keep are not among them. Raises OSError: ENOSYS on older kernels.
    """
    if _SYS_LISTNS is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    last, count = 0, _PAGE
    while count == _PAGE:
        request = _REQUEST.pack(_REQUEST.size, 0, last, libc.CLONE_NEWNET, 0, 0)
        ids = (ctypes.c_uint64 * _PAGE)()
        count = libc.syscall(_SYS_LISTNS, ctypes.c_char_p(request), ctypes.byref(ids), _PAGE, 0)
        yield from ids[:count]
        if count:
            last = ids[count - 1]
