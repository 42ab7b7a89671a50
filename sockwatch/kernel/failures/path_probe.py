"""The status of a path as a certain process sees it, read by a process that can be left behind.

Below a FUSE mount whose server does not answer, lstat() waits for ever, and neither a signal nor
exit() ends the wait (request_wait_answer() of fs/fuse/dev.c): a thread of ours would keep us from
exiting. A process of its own is killed and not waited for. It also takes the root and the working
directory of the process in question, so that symbolic links and ``..`` lead where they lead there,
and tells whether a name leads to the same file from our own root.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from sockwatch.failure import Directory
from sockwatch.kernel.failures.path_program import PROGRAM
from sockwatch.readable import readable

LIMIT_S: Final = 1.0  # the interpreter starts in 20 ms, on a busy host in some hundred
MOST_LEFT_BEHIND: Final = 3  # a minute; then no more are started
MINUTE_S: Final = 60.0

# These mean the process in question, not the one that reads them: proc(5).
OWN_LINK: Final = re.compile(
    rb"/(?:proc/(?:self|thread-self)|dev(?=/fd))/(cwd|root|fd/\d+)(?:/+(.*))?", re.DOTALL
)

_ALIVE: Final = (0, 91, 1)  # connected; EPROTOTYPE; EPERM: it talks to another peer alone
_DEAD: Final = 111  # ECONNREFUSED
# A socket of another host or virtual machine may be bound to a file of these; fuse has any prefix.
_SHARED_BY_HOSTS: Final = ("afs", "ceph", "cifs", "gfs2", "lustre", "nfs", "nfs4", "ocfs2", "smb3")
_SHARED: Final = {*_SHARED_BY_HOSTS, "9p", "fuse", "vboxsf", "virtiofs"}


class SeenPath(NamedTuple):
    """A path, and the directories from which its process starts: links in /proc.

    `here` is an absolute name that may lead to the same file from our own root; empty for none.
    `credentials` is empty for a file that is there. Else it has decimal numbers: the errno by which
    the file was not made, whether modes do not count (CAP_DAC_OVERRIDE), uid, gid and groups.
    """

    root: bytes
    base: bytes
    path: bytes
    here: bytes = b""
    credentials: bytes = b""

    @classmethod
    def of(cls, pid: int, path: bytes, credentials: bytes = b"") -> SeenPath:
        """As the process with that pid would follow it."""
        own = f"/proc/{pid}/".encode()
        if link := OWN_LINK.fullmatch(path):
            rest = link[2] or b"."
            return cls(
                own + b"root", own + link[1], rest, _joined(own + link[1], rest), credentials
            )
        here = path if path.startswith(b"/") else _joined(own + b"cwd", path)
        return cls(own + b"root", own + b"cwd", path, here, credentials)

    @classmethod
    def from_our_root(cls, path: bytes, credentials: bytes = b"") -> SeenPath:
        """As we follow an absolute path."""
        return cls(b"/", b"/", path, path, credentials)


def _joined(link: bytes, path: bytes) -> bytes:
    """The path below the folder that the link names, which another root may have as well."""
    try:
        return os.path.join(os.readlink(link), path)
    except OSError:
        return b""


class PathStatus(NamedTuple):
    """`errno` of lstat(), or 0 and the file's mode, inode and device.

    `is_alive`: whether a socket is bound to the file; None if it is no socket's, may not be written
    to, or is on a file system that other hosts share. `is_here`: the name `here` leads to this very
    file. `root` and `base` are the directories it started from; None if they could not be opened.
    `fault` is what the folders refuse to the credentials.
    """

    errno: int
    mode: int = 0
    inode: int = 0
    device: int = 0
    is_alive: bool | None = None
    is_here: bool = False
    root: Directory | None = None
    base: Directory | None = None
    fault: SeenFault | None = None


class SeenFault(NamedTuple):
    """The first folder that refuses, as so many bytes of the path, and why; see FolderFault."""

    length: int
    errno: int
    uid: int
    gid: int
    mode: int
    is_last: int


class PathProbe:
    """Reads the status of paths, all of one call in one process. Needs CAP_SYS_CHROOT."""

    def __init__(self) -> None:
        self._left_behind_at: list[float] = []  # time.monotonic()

    def statuses(self, paths: Iterable[SeenPath]) -> dict[SeenPath, PathStatus | None]:
        """The status of each path; None if it was not read in time, or no process started."""
        statuses: dict[SeenPath, PathStatus | None] = {}
        waiting = deque(dict.fromkeys(paths))
        while waiting and self._may_leave_one_behind():
            try:
                process = _start(waiting)
            except OSError:  # no more processes, or no more fds
                break
            for answer in _answers(process, len(waiting)):
                statuses[waiting.popleft()] = answer
            if waiting:
                statuses[waiting.popleft()] = None
                self._left_behind_at.append(time.monotonic())
            process.kill()  # not the child of it that is stuck
            process.wait()
        return statuses | dict.fromkeys(waiting)

    def _may_leave_one_behind(self) -> bool:
        since = time.monotonic() - MINUTE_S
        self._left_behind_at = [at for at in self._left_behind_at if at > since]
        return len(self._left_behind_at) < MOST_LEFT_BEHIND


def _start(paths: Iterable[SeenPath]) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", PROGRAM],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={},
        cwd="/",
        start_new_session=True,  # the terminal's signals are not for it
    )
    assert process.stdin is not None
    with process.stdin:
        process.stdin.write(b"\0".join(text for path in paths for text in path))
    return process


def _answers(process: subprocess.Popen[bytes], count: int) -> Iterator[PathStatus]:
    """Those that come, each within the limit, at most so many."""
    assert process.stdout is not None
    with process.stdout:
        fd = process.stdout.fileno()
        data = b""
        while count and readable([fd], LIMIT_S):
            part = os.read(fd, 65536)
            if not part:
                return
            *lines, data = (data + part).split(b"\n")
            count -= len(lines)
            yield from map(_status, lines)


def _status(line: bytes) -> PathStatus:
    *words, file_system = line.decode().split()
    error, mode, inode, device, connect, is_here, *more = map(int, words)
    directories, fault = more[:4], SeenFault(*more[4:])
    is_alive = True if connect in _ALIVE else None
    if connect == _DEAD and file_system.partition(".")[0] not in _SHARED:
        is_alive = False
    status = PathStatus(error, mode, inode, device, is_alive, bool(is_here))
    if fault.errno:
        status = status._replace(fault=fault)
    root, base = Directory(*directories[:2]), Directory(*directories[2:])
    return status._replace(root=root, base=base) if root.mount else status


def our_root() -> Directory | None:
    """The root directory of this process; None if /proc does not tell."""
    try:
        fd = os.open("/", os.O_PATH | os.O_CLOEXEC)
        try:
            with open(f"/proc/self/fdinfo/{fd}", "rb") as lines:
                mounts = [int(line.split()[1]) for line in lines if line.startswith(b"mnt_id:")]
            return Directory(mounts[0], os.fstat(fd).st_ino) if mounts else None
        finally:
            os.close(fd)
    except OSError:
        return None
