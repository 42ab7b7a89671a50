"""Looks into other network namespaces, from a screen that has seen something there."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final

from sockwatch.kernel.descriptors import check_descriptors
from sockwatch.kernel.host import current_netns
from sockwatch.model import KernelError, Netns, Snapshot
from sockwatch.tui.watched import Watched

if TYPE_CHECKING:  # loaded with the first visit
    from sockwatch.kernel.netns.reader import NetnsReader
    from sockwatch.kernel.surroundings import Surroundings

FDS_OF_A_VISIT: Final = 4


class Visits:
    """The first look opens what all of them need, until close().

    `home_inode` is the network namespace that we are in; None means unknown.
    """

    def __init__(self) -> None:
        self.home_inode: int | None = None
        with suppress(KernelError):
            self.home_inode = current_netns().inode
        self._lock = threading.Lock()
        self._reader: NetnsReader | None = None
        self._surroundings: Surroundings | None = None
        self._closed = False

    def watched(self, inode: int, pids: Iterable[int], port: int) -> Watched:
        """A port in the network namespace; `pids` are processes that are probably in it."""
        look = partial(self._take, inode, tuple(pids))
        return Watched(look, port, is_outside=inode != self.home_inode)

    def take_in(self, netns: Netns, port: int) -> Snapshot:
        """A snapshot of that port. Raises KernelError where there is no way into the namespace."""
        if netns.inode is None:
            raise KernelError(f"{netns.label} cannot be entered: its number may not be read", 0)
        pids = () if netns.pid is None else (netns.pid,)
        # There one does not see what the namespace belongs to.
        return replace(self._take(netns.inode, pids, port, netns.id), netns=netns)

    def _take(
        self, inode: int, pids: tuple[int, ...], port: int | None, identity: int | None = None
    ) -> Snapshot:
        """Raises KernelError where the namespace is gone, or may not be entered."""
        from sockwatch.kernel.surroundings import Surroundings  # noqa: PLC0415

        try:
            reader = self._opened()
            snapshot = reader.take(inode, pids, port, identity=identity).snapshot
            if port is None:
                return snapshot
            if self._surroundings is None:
                self._surroundings = Surroundings()
            # An own rootless container is looked into by a child, and cannot be entered from here.
            with suppress(KernelError):
                complete = partial(self._surroundings.complete, snapshot)
                snapshot = reader.run(inode, pids, complete, identity)
        except OSError as error:  # no more file descriptors, in the middle of it
            raise KernelError(f"no answer: {error.strerror}", error.errno or 0) from error
        return snapshot

    def _opened(self) -> NetnsReader:
        from sockwatch.kernel.netns.reader import NetnsReader  # noqa: PLC0415

        with self._lock:
            if self._closed:
                raise KernelError("the visit is over", 0)
            if self._reader is None:
                check_descriptors(FDS_OF_A_VISIT)
                self._reader = NetnsReader()
            return self._reader

    def close(self) -> None:
        """Wait for a look under way, and make no other."""
        with self._lock:
            reader, self._reader, self._closed = self._reader, None, True
        if reader is not None:
            reader.close()
