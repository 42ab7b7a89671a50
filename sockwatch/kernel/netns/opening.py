"""Ways to a network namespace: each gives an fd of it, or none. What is opened, is compared.

An fd is for one visit: it keeps the namespace alive. Nothing here waits for a file system: a
foreign fd or path is opened with O_PATH first, which asks nobody, and looked at without
synchronising; see open(2), statx(2).
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from typing import Final

from sockwatch.kernel import expendable
from sockwatch.kernel.libc import file_identity
from sockwatch.kernel.netns.handles import namespace_id
from sockwatch.kernel.proc.pidfd import open_pidfd, socket_netns

OWN_NETNS: Final = "/proc/thread-self/ns/net"
MOST_THREADS: Final = 4096  # of a process that are looked through


def of_process(pid: int, inode: int, identity: int | None) -> int | None:
    """That of the process, if it is in it."""
    return _opened(f"/proc/{pid}/ns/net", inode, identity)


def of_thread(pid: int, inode: int, identity: int | None) -> int | None:
    """That of the first of its threads that is in it."""
    wanted = f"net:[{inode}]"
    with suppress(OSError):
        for tid in os.listdir(f"/proc/{pid}/task")[:MOST_THREADS]:
            path = f"/proc/{pid}/task/{tid}/ns/net"
            with suppress(OSError):
                if os.readlink(path) == wanted:
                    return _opened(path, inode, identity)
    return None


def of_path(path: bytes, inode: int, identity: int | None) -> int | None:
    """What is mounted there. The caller knows that the path leads through nothing that waits."""
    return _reopened(path, os.O_NOFOLLOW, inode, identity)


def of_path_elsewhere(pid: int, path: bytes, inode: int, identity: int | None) -> int | None:
    """What is mounted there for that process; a path that does not answer is left behind."""
    opening = _ExpendableOpening(b"/proc/%d/root%s" % (pid, path), inode, identity)
    expendable.call(opening)
    return opening.take()


def of_fd(pid: int, fd: int, inode: int, identity: int | None) -> int | None:
    """What the process has as that fd."""
    return _reopened(f"/proc/{pid}/fd/{fd}".encode(), 0, inode, identity)


def of_socket(pid: int, fd: int, inode: int, identity: int | None) -> int | None:
    """That of a socket that the process has as that fd."""
    try:
        with open_pidfd(pid) as pidfd:
            found = socket_netns(pidfd, fd)
    except OSError:
        return None
    return checked(found, inode, identity)


def checked(fd: int, inode: int, identity: int | None) -> int | None:
    """The fd if it is of the namespace, else None, and the fd is closed.

    A number is given again, an id never; an id of None is not compared.
    """
    if _is_netns(fd, inode) and identity in (None, namespace_id(fd)):
        return fd
    os.close(fd)
    return None


@contextmanager
def closing(fd: int) -> Iterator[int]:
    """The fd, open until the block is left."""
    try:
        yield fd
    finally:
        os.close(fd)


def _opened(path: str, inode: int, identity: int | None) -> int | None:
    """For links of /proc that are namespaces and nothing else."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    return checked(fd, inode, identity)


def _reopened(path: bytes, flags: int, inode: int, identity: int | None) -> int | None:
    """For what may be another file meanwhile: to open that could wait, or wind a tape."""
    try:
        with closing(os.open(path, os.O_PATH | os.O_CLOEXEC | flags)) as place:
            if not _is_netns(place, inode):
                return None
            fd = os.open(f"/proc/thread-self/fd/{place}", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    return checked(fd, inode, identity)


def _is_netns(fd: int, inode: int) -> bool:
    try:
        return file_identity(fd) == (_nsfs_device(), inode)
    except OSError:
        return False


@cache
def _nsfs_device() -> int:
    return os.stat(OWN_NETNS).st_dev


class _ExpendableOpening:
    """Opens in a thread that may be left behind, and closes what comes too late."""

    def __init__(self, path: bytes, inode: int, identity: int | None) -> None:
        self._arguments = (path, os.O_NOFOLLOW, inode, identity)
        self._lock = threading.Lock()
        self._fd: int | None = None
        self._is_over = False

    def __call__(self) -> None:
        fd = _reopened(*self._arguments)
        with self._lock:
            if self._is_over and fd is not None:
                os.close(fd)
            else:
                self._fd = fd

    def take(self) -> int | None:
        """What it has opened by now."""
        with self._lock:
            self._is_over = True
            return self._fd
