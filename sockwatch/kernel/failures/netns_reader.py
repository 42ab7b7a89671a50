"""Looks into other network namespaces, by a thread of their own that enters and leaves them."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Final, NamedTuple, TypeVar

from sockwatch.kernel import libc
from sockwatch.kernel.host import NAMED_NETNS
from sockwatch.kernel.snapshot import SnapshotReader
from sockwatch.model import KernelError, Snapshot
from sockwatch.text import NAME_LIMIT, clean

_OWN: Final = "/proc/thread-self/ns/net"
Answer = TypeVar("Answer")


class NetnsSnapshot(NamedTuple):
    """A snapshot of one network namespace, and the names of its devices by their index."""

    snapshot: Snapshot
    device_names: Mapping[int, str]


class NetnsReader:
    """Looks at network namespaces by inode; close() it.

    Only its thread moves; the caller's stays where it is.
    """

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="netns")
        self._reader = SnapshotReader()
        self._home = os.open(_OWN, os.O_RDONLY | os.O_CLOEXEC)
        self.home_inode = os.fstat(self._home).st_ino

    def take(
        self,
        inode: int,
        pids: Iterable[int],
        port: int | None,
        *,
        fresh_facts: bool = False,
    ) -> NetnsSnapshot:
        """A snapshot of that namespace, of one port or of all.

        `fresh_facts` reads its sysctls and addresses again, which are else up to 3 s old.

        `pids` are processes that are probably in it. Raises KernelError.
        """

        def take_here() -> NetnsSnapshot:
            if fresh_facts:
                self._reader.forget_facts()
            return NetnsSnapshot(self._reader.take(port), _device_names())

        return self.run(inode, pids, take_here)

    def run(self, inode: int, pids: Iterable[int], function: Callable[[], Answer]) -> Answer:
        """What the function returns, called in that namespace. Raises KernelError."""

        def visit() -> Answer:
            if os.stat(_OWN).st_ino == inode:
                return function()
            with _opened(inode, pids) as there:
                _enter(there, inode)
                try:
                    return function()
                finally:
                    _enter(self._home, self.home_inode)

        try:
            return self._thread.submit(visit).result()
        except RuntimeError as error:  # RLIMIT_NPROC, or pids.max of the cgroup
            raise KernelError(str(error), errno.EAGAIN) from error

    def close(self) -> None:
        """End the thread."""
        with suppress(RuntimeError):  # no thread could be started, and none is
            self._thread.submit(self._reader.close).result()
        self._thread.shutdown()
        os.close(self._home)


@contextmanager
def _opened(inode: int, pids: Iterable[int]) -> Iterator[int]:
    """An fd of the namespace, open for the visit alone, since it keeps the namespace alive."""
    fd = _find(inode, pids)
    if fd is None:
        raise KernelError(f"no visible process is left in the network namespace {inode}", 0)
    try:
        yield fd
    finally:
        os.close(fd)


def _find(inode: int, pids: Iterable[int]) -> int | None:
    for path in _candidates(pids):
        try:
            if os.stat(path).st_ino != inode:
                continue
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            continue
        if os.fstat(fd).st_ino == inode:
            return fd
        os.close(fd)
    return None


def _candidates(pids: Iterable[int]) -> Iterator[str]:
    """The likely processes, names given by ip-netns(8), then every process."""
    yield from (f"/proc/{pid}/ns/net" for pid in pids)
    with suppress(OSError):
        yield from (str(NAMED_NETNS / name) for name in os.listdir(NAMED_NETNS))
    yield from (f"/proc/{name}/ns/net" for name in os.listdir("/proc") if name.isdigit())


def visible_namespaces(most: int) -> dict[int, int]:
    """The network namespaces of the processes in /proc, at most so many: inode -> a pid in it."""
    pids: dict[int, int] = {}
    for name in os.listdir("/proc"):
        if name.isdigit() and len(pids) < most:
            with suppress(OSError, ValueError):
                link = os.readlink(f"/proc/{name}/ns/net")  # net:[4026531840]
                pids.setdefault(int(link[len("net:[") : -1]), int(name))
    return pids


def _enter(fd: int, inode: int) -> None:
    try:
        libc.setns(fd, libc.CLONE_NEWNET)
    except OSError as error:
        raise KernelError(
            f"the network namespace {inode} cannot be entered: {error.strerror}", error.errno or 0
        ) from error


def _device_names() -> dict[int, str]:
    try:
        return {index: clean(name, NAME_LIMIT) for index, name in socket.if_nameindex()}
    except OSError:
        return {}
