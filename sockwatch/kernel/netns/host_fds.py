"""Who has an fd of a socket, read once for all network namespaces of a look."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Final

from sockwatch.kernel.held import FdSources
from sockwatch.kernel.leftovers import Leftovers, held
from sockwatch.kernel.proc.fd_tables import FdTables
from sockwatch.kernel.proc.holders import HolderScan, scan_every_socket
from sockwatch.model import Holder

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
    """The same for several namespaces: a pass for one of them may show what others need."""

    _newest: Records | None = None  # the last such pass of this look

    def begin(self) -> None:
        """Begin a look."""
        self._newest = None

    def _by_pass(self, inodes: set[int]) -> dict[int, tuple[Holder, ...]] | None:
        found = {} if self._newest is None else held(self._newest, inodes)
        if rest := inodes - found.keys():
            self._newest = self._another_pass()
            if self._newest is None:
                return None
            found |= held(self._newest, rest)
        return found


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
