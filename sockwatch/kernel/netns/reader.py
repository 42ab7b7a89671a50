"""Looks into other network namespaces, by a thread of their own that enters and leaves them."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

from sockwatch.kernel import libc
from sockwatch.kernel.netns import opening
from sockwatch.kernel.netns.catalogue import NetnsCatalogue
from sockwatch.kernel.snapshot import SnapshotReader
from sockwatch.model import KernelError, Netns, Snapshot
from sockwatch.text import NAME_LIMIT, clean

if TYPE_CHECKING:  # it imports this module
    from sockwatch.kernel.netns.rootless import RootlessReader

_OWN: Final = "/proc/thread-self/ns/net"
Answer = TypeVar("Answer")


class NetnsSnapshot(NamedTuple):
    """A snapshot of one network namespace, and the names of its devices by their index."""

    snapshot: Snapshot
    device_names: Mapping[int, str]


class _CannotReturn(KernelError):  # noqa: N818 - what the thread is
    """The thread has to stay in a foreign namespace, and keeps it alive."""


class NetnsReader:
    """Looks at network namespaces by inode; close() it.

    Only its thread moves; the caller's stays where it is. `catalogue` opens namespaces of which no
    process is known; None = one of its own.
    """

    def __init__(self, catalogue: NetnsCatalogue | None = None) -> None:
        self._catalogue = catalogue or NetnsCatalogue()
        self._owns_catalogue = catalogue is None
        self._thread = _one_thread()
        self._reader = SnapshotReader()
        self._rootless: RootlessReader | None = None
        self._home = os.open(_OWN, os.O_RDONLY | os.O_CLOEXEC)
        self.home_inode = os.fstat(self._home).st_ino

    def take(
        self,
        inode: int,
        pids: Iterable[int],
        port: int | None,
        *,
        identity: int | None = None,
        fresh_facts: bool = False,
    ) -> NetnsSnapshot:
        """A snapshot of that namespace, of one port or of all.

        `fresh_facts` reads its sysctls and addresses again, which are else up to 3 s old.

        `pids` are processes that are probably in it. `identity` is its id, as far as known: another
        one is given its number later. An ordinary user may look into those of own rootless
        containers. Raises KernelError.
        """

        def take_here() -> NetnsSnapshot:
            if fresh_facts:
                self._reader.forget_facts()
            return NetnsSnapshot(self._reader.take(port, fold=False), device_names())

        pids = tuple(pids)
        try:
            return self.run(inode, pids, take_here, identity)
        except KernelError as refusal:
            if refusal.errno != errno.EPERM:
                raise
            return self._thread.submit(self._take_rootless, inode, pids, port, refusal).result()

    def _take_rootless(
        self, inode: int, pids: Iterable[int], port: int | None, refusal: KernelError
    ) -> NetnsSnapshot:
        from sockwatch.kernel.netns.rootless import RootlessReader, entry_of  # noqa: PLC0415

        if (pid := entry_of(inode, pids)) is None:
            raise refusal
        if self._rootless is None:
            self._rootless = RootlessReader()
        return self._rootless.take(inode, pid, port)

    def run(
        self,
        inode: int,
        pids: Iterable[int],
        function: Callable[[], Answer],
        identity: int | None = None,
    ) -> Answer:
        """What the function returns, called in that namespace, as take(). Raises KernelError."""

        def visit() -> Answer:
            if os.stat(_OWN).st_ino == inode:
                return function()
            with self._opened(inode, pids, identity) as there:
                _enter(there, inode)
                try:
                    return function()
                finally:
                    self._return_home()

        thread = self._thread
        try:
            return thread.submit(visit).result()
        except _CannotReturn:
            self._thread = _one_thread()  # the other one ends where it is
            thread.shutdown(wait=False)
            raise
        except RuntimeError as error:  # RLIMIT_NPROC, or pids.max of the cgroup
            raise KernelError(str(error), errno.EAGAIN) from error

    def close(self) -> None:
        """End the thread."""
        with suppress(RuntimeError):  # no thread could be started, and none is
            self._thread.submit(self._close).result()
        self._thread.shutdown()
        os.close(self._home)
        if self._owns_catalogue:
            self._catalogue.close()

    def _close(self) -> None:
        self._reader.close()
        if self._rootless is not None:
            self._rootless.close()

    def _return_home(self) -> None:
        try:
            _enter(self._home, self.home_inode)
        except KernelError as error:
            raise _CannotReturn(str(error), error.errno) from error

    @contextmanager
    def _opened(self, inode: int, pids: Iterable[int], identity: int | None) -> Iterator[int]:
        """An fd of the namespace for the visit alone. Raises KernelError."""
        for pid in pids:
            fd = opening.of_process(pid, inode, identity)
            if fd is not None:
                break
        else:
            with self._catalogue.opened(Netns(inode, None, identity)) as fd:
                yield fd
            return
        with opening.closing(fd):
            yield fd


def _one_thread() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max_workers=1, thread_name_prefix="netns")


def _enter(fd: int, inode: int) -> None:
    try:
        libc.setns(fd, libc.CLONE_NEWNET)
    except OSError as error:
        raise KernelError(
            f"the network namespace {inode} cannot be entered: {error.strerror}", error.errno or 0
        ) from error


def device_names() -> dict[int, str]:
    """The names of the devices of this thread's network namespace, by their index."""
    try:
        return {index: clean(name, NAME_LIMIT) for index, name in socket.if_nameindex()}
    except OSError:
        return {}
