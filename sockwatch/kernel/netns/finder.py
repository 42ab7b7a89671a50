"""Finds the network namespaces of the host, and opens them by whatever way leads there."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from sockwatch.kernel.bpf.errors import BpfUnavailable
from sockwatch.kernel.netns import opening
from sockwatch.kernel.netns.found import MOST_NAMESPACES, FoundNetns, from_kernel, from_proc
from sockwatch.kernel.netns.handles import open_by_id
from sockwatch.kernel.netns.names import NetnsMount, netns_mounts
from sockwatch.kernel.netns.unentered import SearchedWays, Way
from sockwatch.model import KernelError

if TYPE_CHECKING:
    from sockwatch.kernel.bpf.layout import Layout
    from sockwatch.kernel.bpf.netns_iterators import Keeper, NetnsIterators, NetnsLook


class NetnsFinder:
    """Ask it again by look(). What BPF needs is opened at the first look, and kept until close().

    After a look, `found` are all namespaces by inode, `unopened` those of them that cannot be
    opened. `kernel_refusal` is why the kernel's own list could not be read; None if it was.
    `hidden` processes do not tell their namespace. `is_whole` is whether there are not too many.
    """

    def __init__(self, layout: Layout | None = None, *, by_id: bool = True) -> None:
        self.found: Mapping[int, FoundNetns] = {}
        self.mounts: list[NetnsMount] = []
        self.unopened: list[int] = []
        self.kernel_refusal: BpfUnavailable | KernelError | None = None
        self.hidden = 0
        self.is_whole = True
        self._layout = layout
        self._by_id = by_id
        self._iterators: NetnsIterators | None = None
        self._safe_paths: dict[int, list[bytes]] = {}
        self._searched = SearchedWays()

    def look(self) -> None:
        """Find them anew."""
        self.mounts = netns_mounts()
        self._safe_paths = defaultdict(list)
        for mount in self.mounts:
            if mount.is_safe:
                self._safe_paths[mount.inode].append(mount.path)
        try:
            look = self._ask_kernel()
        except (BpfUnavailable, KernelError) as error:
            self.kernel_refusal = error
            self._look_in_proc()
        else:
            self.kernel_refusal, self.hidden = None, 0
            self.found, self.is_whole = from_kernel(look), look.is_whole
        self.unopened = self._find_unopened()

    def open(self, inode: int, identity: int | None) -> int | None:
        """An fd of that namespace, which the caller closes soon; None if no way leads there."""
        found = self.found.get(inode, FoundNetns(inode))
        if identity is None:
            identity = found.id
        for way in self._ways(found):
            fd = way(inode, identity)
            if fd is not None:
                return fd
        return None

    def close(self) -> None:
        """Close what BPF needs."""
        if self._iterators is not None:
            self._iterators.close()
            self._iterators = None

    def _ask_kernel(self) -> NetnsLook:
        """Raises BpfUnavailable, KernelError."""
        if self._iterators is None:
            from sockwatch.kernel.bpf.netns_iterators import NetnsIterators  # noqa: PLC0415

            self._iterators = NetnsIterators(self._layout, MOST_NAMESPACES)
        return self._iterators.look()

    def _look_in_proc(self) -> None:
        found, self.hidden = from_proc(MOST_NAMESPACES)
        for mount in self.mounts:
            found.setdefault(mount.inode, FoundNetns(mount.inode))
        self.found, self.is_whole = found, len(found) < MOST_NAMESPACES

    def _ways(self, found: FoundNetns) -> Iterator[Way]:
        """The cheap ones first."""
        if found.pid is not None:
            yield partial(opening.of_process, found.pid)
        if found.thread_of is not None:
            yield partial(opening.of_thread, found.thread_of)
        for path in self._safe_paths.get(found.inode, ()):
            yield partial(opening.of_path, path)
        if self._by_id:
            yield _of_id
        yield from self._searched.to(found.inode)

    def _find_unopened(self) -> list[int]:
        """Those that nobody is in are opened for a moment, to see whether they can be."""
        nobodys = [
            found for found in self.found.values() if found.pid is None and found.thread_of is None
        ]
        unopened = [found for found in nobodys if not self._can_open(found)]
        wanted = {found.inode: found.id for found in unopened}
        self._searched.forget_others(self.found.keys())
        if unopened and self._searched.search(wanted, self._keepers):
            unopened = [found for found in unopened if not self._can_open(found)]
            self._searched.keep_in_vain([found.inode for found in unopened], wanted)
        return [found.inode for found in unopened]

    def _can_open(self, found: FoundNetns) -> bool:
        fd = self.open(found.inode, found.id)
        if fd is None:
            return False
        with opening.closing(fd):
            return True

    def _keepers(self) -> list[Keeper]:
        with suppress(BpfUnavailable, KernelError):
            if self._iterators is not None:
                return self._iterators.keepers()
        return []


def _of_id(inode: int, identity: int | None) -> int | None:
    if identity is None:
        return None
    try:
        return opening.checked(open_by_id(identity, inode), inode, identity)
    except OSError:
        return None
