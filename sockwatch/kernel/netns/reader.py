"""Looks into other network namespaces, by a thread of their own that enters and leaves them."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from sockwatch.kernel.netns import opening
from sockwatch.kernel.netns.catalogue import NetnsCatalogue
from sockwatch.kernel.netns.visitor import Visitor
from sockwatch.kernel.snapshot import SnapshotReader
from sockwatch.model import KernelError, Netns, Snapshot
from sockwatch.text import NAME_LIMIT, clean

if TYPE_CHECKING:  # it imports this module
    from sockwatch.kernel.netns.rootless import RootlessReader

Answer = TypeVar("Answer")


class NetnsSnapshot(NamedTuple):
    """A snapshot of one network namespace, and the names of its devices by their index."""

    snapshot: Snapshot
    device_names: Mapping[int, str]


class NetnsReader:
    """Looks at network namespaces by inode; close() it.

    Only its thread moves; the caller's stays where it is. `catalogue` opens namespaces of which no
    process is known; None = one of its own.
    """

    def __init__(self, catalogue: NetnsCatalogue | None = None) -> None:
        self._catalogue = catalogue or NetnsCatalogue()
        self._owns_catalogue = catalogue is None
        self._visitor = Visitor()
        self._reader = SnapshotReader()
        self._rootless: RootlessReader | None = None
        self.home_inode = self._visitor.home_inode

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
            return self._visitor.run(partial(self._take_rootless, inode, pids, port, refusal))

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
            if os.stat(opening.OWN_NETNS).st_ino == inode:
                return function()
            with self._opened(inode, pids, identity) as there, self._entered(there, inode):
                return function()

        try:
            return self._visitor.run(visit)
        except RuntimeError as error:  # a look that wants a thread of its own, and gets none
            raise KernelError(str(error), errno.EAGAIN) from error

    def close(self) -> None:
        """End the thread."""
        with suppress(KernelError):  # no thread could be started, and none is
            self._visitor.run(self._close)
        self._visitor.close()
        if self._owns_catalogue:
            self._catalogue.close()

    def _close(self) -> None:
        self._reader.close()
        if self._rootless is not None:
            self._rootless.close()

    @contextmanager
    def _entered(self, fd: int, inode: int) -> Iterator[None]:
        """Be in that namespace. Raises KernelError."""
        with ExitStack() as stack:
            try:
                stack.enter_context(self._visitor.visit(fd))
            except OSError as error:
                text = f"the network namespace {inode} cannot be entered: {error.strerror}"
                raise KernelError(text, error.errno or 0) from error
            yield

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


def device_names() -> dict[int, str]:
    """The names of the devices of this thread's network namespace, by their index."""
    try:
        return {index: clean(name, NAME_LIMIT) for index, name in socket.if_nameindex()}
    except OSError:
        return {}
