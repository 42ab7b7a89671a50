"""What a unix socket's name refers to: a file, and the sockets that are bound to it."""

from __future__ import annotations

import errno
import os
import socket
import stat
import struct
from collections.abc import Iterable
from typing import Final, NamedTuple

from sockwatch.failure import Failure, UnixName, UnixNameStatus, UnixOwner
from sockwatch.kernel.failures.path_probe import PathStatus, SeenPath
from sockwatch.kernel.failures.process import DEAD
from sockwatch.kernel.proc import holders
from sockwatch.kernel.proc.processes import ProcessNames
from sockwatch.kernel.sock_diag.inet_diag import SOCK_DIAG_BY_FAMILY, attributes
from sockwatch.kernel.sock_diag.netlink import NETLINK_SOCK_DIAG, dump, open_netlink
from sockwatch.model import Gap, GapCode, KernelError

SHOW_NAME_AND_FILE: Final = 0x03  # UDIAG_SHOW_NAME, UDIAG_SHOW_VFS: include/uapi/linux/unix_diag.h
_MESSAGE: Final = struct.Struct("<BBBxI8x")  # unix_diag_msg: family, type, state, inode
_NAME, _VFS = 0, 1
_STATES: Final = {10: "LISTEN", 1: "CONNECTED"}
KINDS: Final = {
    stat.S_IFSOCK: "socket",
    stat.S_IFREG: "file",
    stat.S_IFDIR: "directory",
    stat.S_IFLNK: "symlink",
}


class UnixRow(NamedTuple):
    """A unix socket with a name. `file` is (inode, device) of its path as the kernel has it."""

    type: int
    state: str
    inode: int
    name: bytes
    file: tuple[int, int] | None


def unix_sockets() -> list[UnixRow]:
    """Those with a name in this thread's network namespace. Raises KernelError."""
    request = struct.pack(
        "<BBHIIIII", socket.AF_UNIX, 0, 0, 0xFFFFFFFF, 0, SHOW_NAME_AND_FILE, 0, 0
    )
    rows: list[UnixRow] = []
    try:
        with open_netlink(NETLINK_SOCK_DIAG) as netlink:
            for message in dump(netlink, SOCK_DIAG_BY_FAMILY, request, _MESSAGE.size):
                row = _row(message)
                if row.name:
                    rows.append(row)
    except OSError as error:
        raise KernelError(f"sock_diag: {error.strerror}", error.errno or 0) from error
    return rows


def _row(message: bytes) -> UnixRow:
    _, type_, state, inode = _MESSAGE.unpack_from(message)
    name, file = b"", None
    for attribute, at, end in attributes(message, _MESSAGE.size, len(message)):
        if attribute == _NAME:
            name = message[at:end]
        elif attribute == _VFS and end - at >= 8:
            file = struct.unpack_from("<II", message, at)
    return UnixRow(type_, _STATES.get(state, "BOUND"), inode, name, file)


def seen_path(failure: Failure) -> SeenPath | None:
    """The path of a failure, as its process follows it; after its end, as we do.

    None for an abstract name, and for a relative one where the process has gone.
    """
    name = failure.unix
    if name is None or name.is_abstract:
        return None
    if failure.process is not None and failure.process.state != DEAD:
        return SeenPath.of(failure.process.pid, name.raw)
    return SeenPath.of(os.getpid(), name.raw) if name.raw.startswith(b"/") else None


def name_status(
    name: UnixName, status: PathStatus | None, rows: Iterable[UnixRow], *, is_known: bool
) -> UnixNameStatus:
    """What is at a failure's name, and which of the sockets have it.

    `status` is that of its path, None where nobody answered; `is_known`: whether there is a path
    to ask for.
    """
    if name.is_abstract:
        alike = [row for row in rows if row.name == name.raw and name.type in (None, row.type)]
        return UnixNameStatus(True, None, _owners(alike))
    if not is_known:
        return UnixNameStatus(
            False, gaps=(_unseen("its working directory is gone with the process"),)
        )
    if status is None:
        return UnixNameStatus(False, gaps=(_unseen("the file system does not answer"),))
    if status.errno == errno.ENOENT:
        return UnixNameStatus(True)
    if status.errno:
        return UnixNameStatus(False, gaps=(_unseen(os.strerror(status.errno)),))
    kind = KINDS.get(stat.S_IFMT(status.mode), "other")
    if kind != "socket":
        return UnixNameStatus(True, kind)
    alike = [row for row in rows if _is_bound_to(row, status, name.raw)]
    return UnixNameStatus(True, kind, _owners(alike), is_alive=status.is_alive)


def _is_bound_to(row: UnixRow, status: PathStatus, path: bytes) -> bool:
    """By the file; some file systems show another device number to stat() than the kernel has."""
    if row.file is None or row.file[0] != status.inode & 0xFFFFFFFF:
        return False
    device = os.major(status.device) << 20 | os.minor(status.device)  # include/linux/kdev_t.h
    return row.file[1] == device or row.name.rstrip(b"\0") == path


def _owners(rows: list[UnixRow]) -> tuple[UnixOwner, ...]:
    """With their holders. What a server accepted has its name, and does not own it."""
    owning = [row for row in rows if row.state != "CONNECTED" or row.type == socket.SOCK_DGRAM]
    if not owning:
        return ()
    held = holders.scan(row.inode for row in owning).holders
    names = ProcessNames()
    return tuple(
        UnixOwner(
            row.state,
            row.inode,
            tuple(h._replace(process=names.identify(h.pid)) for h in held.get(row.inode, ())),
        )
        for row in owning
    )


def _unseen(why: str) -> Gap:
    return Gap(
        GapCode.UNIX_PATH_UNSEEN, f"the socket's path could not be inspected: {why}", "run as root"
    )
