"""What a unix socket's name refers to: a file, and the sockets that are bound to it."""

from __future__ import annotations

import errno
import os
import socket
import stat
import struct
from collections.abc import Iterable
from contextlib import suppress
from typing import Final, NamedTuple

from sockwatch.failure import Failure, FolderFault, UnixName, UnixNameStatus, UnixOwner
from sockwatch.kernel.failures.path_probe import OWN_LINK, PathStatus, SeenFault, SeenPath, our_root
from sockwatch.kernel.failures.process import DEAD
from sockwatch.kernel.proc import holders
from sockwatch.kernel.proc.processes import ProcessNames
from sockwatch.kernel.sock_diag.inet_diag import SOCK_DIAG_BY_FAMILY, attributes
from sockwatch.kernel.sock_diag.netlink import NETLINK_SOCK_DIAG, dump, open_netlink
from sockwatch.model import AS_ROOT, Gap, GapCode, KernelError
from sockwatch.text import NAME_LIMIT, clean

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


LIFE_UNSEEN: Final = Gap(
    GapCode.UNIX_PATH_UNSEEN,
    "whether a socket is bound to the file could not be found out: it may not be connected to,"
    " or other hosts share its file system",
    "ask on each host that mounts it",
)


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


def seen_path(failure: Failure) -> SeenPath | Gap | None:
    """The path of a failure as its process follows it; after its end as we do, if that is the same.

    None for an abstract name, or none; a Gap where the process has gone, and with it its directory.
    """
    name = failure.unix
    if name is None or name.is_abstract:
        return None
    if failure.process is not None and failure.process.state != DEAD:
        return SeenPath.of(failure.process.pid, name.raw, _credentials(failure))
    if not name.raw.startswith(b"/") or OWN_LINK.fullmatch(name.raw):
        return _unseen("its working directory is gone with the process", None)
    if name.root is None or name.root != our_root():
        return _unseen(
            "the process is gone, and with it its root directory, which was not known to be ours",
            "look for it where the process runs",
        )
    return SeenPath.from_our_root(name.raw, _credentials(failure))


def name_status(
    name: UnixName, path: SeenPath | Gap | None, status: PathStatus | None, rows: Iterable[UnixRow]
) -> UnixNameStatus:
    """What is at a failure's name, and which of the sockets have it.

    `path` is what seen_path() says, `status` that of it, None where nobody answered.
    """
    if name.is_abstract:
        alike = [row for row in rows if row.name == name.raw and name.type in (None, row.type)]
        return UnixNameStatus(True, None, _owners(alike))
    if path is None or isinstance(path, Gap):
        return UnixNameStatus(False, gaps=(path,) if path else ())
    if status is None:
        return UnixNameStatus(False, gaps=(_unseen("the file system does not answer", None),))
    if _has_moved(name, status):
        why = "the process has changed its root or working directory since the call"
        return UnixNameStatus(False, gaps=(_unseen(why, None),))
    if status.fault is not None:
        return UnixNameStatus(True, fault=_fault(name.raw, status.fault))
    if status.errno == errno.ENOENT:
        return UnixNameStatus(True)
    if status.errno:
        remedy = AS_ROOT if os.geteuid() else None
        return UnixNameStatus(False, gaps=(_unseen(os.strerror(status.errno), remedy),))
    kind = KINDS.get(stat.S_IFMT(status.mode), "other")
    here = exact_name(path.here) if status.is_here else None
    if kind != "socket":
        return UnixNameStatus(True, kind, path=here)
    alike = [row for row in rows if _is_bound_to(row, status, name.raw)]
    owners = _owners(alike)
    gaps = () if owners or status.is_alive is not None else (LIFE_UNSEEN,)
    return UnixNameStatus(True, kind, owners, gaps, status.is_alive, here)


def _credentials(failure: Failure) -> bytes:
    """For whom the file was to be made: see SeenPath. Empty if it failed as the file was there."""
    if failure.errno == "EADDRINUSE" or failure.gid is None:
        return b""
    groups = b""
    if failure.process is not None and failure.process.state != DEAD:
        with suppress(OSError), open(f"/proc/{failure.tid or failure.pid}/status", "rb") as lines:
            groups = b" ".join(line[7:].strip() for line in lines if line.startswith(b"Groups:"))
    wanted = getattr(errno, failure.errno, 0)
    numbers = (wanted, failure.dac_override, failure.uid, failure.gid)
    return b"%d %d %d %d %s" % (*numbers, groups)


def _fault(path: bytes, fault: SeenFault) -> FolderFault:
    """A relative path may start with no folder: it is the working directory then."""
    text = clean(path[: fault.length], 2 * NAME_LIMIT)
    if b"/" not in path:
        text = "its working directory"
    name = errno.errorcode.get(fault.errno, str(fault.errno))
    return FolderFault(text, name, fault.uid, fault.gid, fault.mode, bool(fault.is_last))


def exact_name(path: bytes) -> str | None:
    """The path as text, None if its text could be taken for another one."""
    try:
        text = path.decode("ascii")  # a terminal of another encoding shows the rest otherwise
    except UnicodeDecodeError:
        return None
    return text if text.isprintable() and text.startswith("/") else None


def _has_moved(name: UnixName, status: PathStatus) -> bool:
    """Whether the process starts from other directories now than when the call failed."""
    if name.root is None or name.cwd is None or status.root is None:
        return False
    is_relative = not name.raw.startswith(b"/")
    return status.root != name.root or (is_relative and status.base != name.cwd)


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


def _unseen(why: str, remedy: str | None) -> Gap:
    return Gap(GapCode.UNIX_PATH_UNSEEN, f"the socket's path could not be inspected: {why}", remedy)
