"""Who has an fd of a socket, read once for all network namespaces of a look."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Final

from sockwatch.kernel.bpf.errors import BpfUnavailable
from sockwatch.kernel.held import FdSources
from sockwatch.kernel.proc.fd_tables import FdTables
from sockwatch.kernel.proc.holders import (
    AGAIN_AFTER_S,
    HoldersByInode,
    HolderScan,
    Leftovers,
    scan,
    scan_every_socket,
)
from sockwatch.model import Holder, KernelError

if TYPE_CHECKING:
    from sockwatch.kernel.bpf.rows import Records

MOST_WALKS: Final = 2  # through /proc, in one look


class HostFds(FdTables):
    """Every holder of every socket of the host, for namespaces that are looked at one by one."""

    def __init__(self) -> None:
        super().__init__()
        self._seen: Mapping[int, tuple[Holder, ...]] = {}
        self._hidden = 0
        self._walks = 0
        self._unfound: set[int] = set()  # inodes that nobody holds, in the last look and this one
        self._unfound_now: set[int] = set()

    def begin(self) -> None:
        """Begin a look: what /proc has shown is no longer so."""
        self._seen, self._hidden, self._walks = {}, 0, 0
        self._unfound, self._unfound_now = self._unfound_now, set()

    def scan(self, inodes: Iterable[int]) -> HolderScan:
        """The holders of these, by a walk that the look has made already if that has them all."""
        wanted = set(inodes)
        is_newer = bool(wanted - self._seen.keys() - self._unfound)
        if wanted and (not self._walks or (is_newer and self._walks < MOST_WALKS)):
            self._walks += 1
            self._seen, self._hidden = scan_every_socket()
        self._unfound_now |= wanted - self._seen.keys()
        found = {inode: self._seen[inode] for inode in wanted & self._seen.keys()}
        return HolderScan(found, self._hidden if wanted else 0)

    @property
    def unreadable(self) -> int:
        """As FdTables.unreadable."""
        return self._hidden

    def update(self, live: set[int]) -> None:
        """As FdTables.update()."""
        self.scan(live)

    def holders(self, inodes: set[int]) -> dict[int, tuple[Holder, ...]]:
        """As FdTables.holders()."""
        return {inode: self._seen[inode] for inode in inodes & self._seen.keys()}

    def holders_of_groups(self, group_of: Mapping[int, int]) -> dict[int, list[Holder]]:
        """As FdTables.holders_of_groups()."""
        found: defaultdict[int, dict[int, Holder]] = defaultdict(dict)
        for inode, group in group_of.items():
            for holder in self._seen.get(inode, ()):
                found[group].setdefault(holder.pid, holder)
        return {group: list(by_pid.values()) for group, by_pid in found.items()}


class HostLeftovers(Leftovers):
    """Looks for the few servers that a pass of BPF did not show, of several namespaces.

    By another pass, for those that are newer than the last one; in /proc where that fails.
    """

    def __init__(self, pass_again: Callable[[], Records]) -> None:
        super().__init__()
        self._pass_again = pass_again
        self._newest: Records | None = None  # the last such pass of this look
        self._missing_since: dict[int, float] = {}  # by inode; time.monotonic()
        self._hidden = 0

    def begin(self) -> None:
        """Begin a look."""
        self._newest = None
        now = time.monotonic()
        self._missing_since = {
            inode: since
            for inode, since in self._missing_since.items()
            if now - since < AGAIN_AFTER_S
        }

    def scan(self, inodes: set[int]) -> HolderScan:
        """Every holder of these inodes; none for those that a scan has just not found."""
        found: dict[int, tuple[Holder, ...]] = {}
        if wanted := inodes - self._missing_since.keys():
            try:
                found, self._hidden = self._by_passes(wanted), 0
            except (KernelError, BpfUnavailable):
                found, self._hidden = scan(wanted)
            self._missing_since |= dict.fromkeys(wanted - found.keys(), time.monotonic())
        return HolderScan(found, self._hidden if inodes else 0)

    def _by_passes(self, wanted: set[int]) -> dict[int, tuple[Holder, ...]]:
        """Raises KernelError, BpfUnavailable."""
        found = {} if self._newest is None else _held(self._newest, wanted)
        if rest := wanted - found.keys():
            self._newest = self._pass_again()
            found |= _held(self._newest, rest)
        return found


def _held(records: Records, inodes: set[int]) -> dict[int, tuple[Holder, ...]]:
    """The holders of these inodes."""
    holders = HoldersByInode()
    for inode, pid, fd in records.fds():
        if inode in inodes:
            holders.add(inode, pid, fd)
    return holders.holders()


class HostFdSources:
    """Those of one look for the finders of all namespaces."""

    def __init__(self, pass_again: Callable[[], Records]) -> None:
        self._walked = HostFds()
        self._leftovers = HostLeftovers(pass_again)
        self.sources = FdSources(self._walked.scan, self._leftovers, self._walked)

    def begin(self) -> None:
        """Begin a look."""
        self._walked.begin()
        self._leftovers.begin()
